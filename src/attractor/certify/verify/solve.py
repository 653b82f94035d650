"""Answer a query of VNN-LIB about ONNX networks: satisfied by an input, by none, or not decided.

All comparisons of the formula become one function of the inputs, each of which must be at most zero; its
program is read as one network, so that conditions on inputs, hidden arrays, outputs, several networks and
products of any of them are bounded alike. Alternatives with the same box of inputs are searched together. An
input is shown only if the formula holds, exactly, for what the networks give there in float64 and in float32.

An input that is fixed at a number which no float holds, as in X = 0.1, cannot be given to a network. Here, as
wherever networks are run, it is the nearest number of the type that the file declares for that input: "sat"
shows it, and the formula holds both with 0.1 for X and, but for that equation, with the nearest number. The
answer is "unsat" only if neither that number nor 0.1 itself satisfies the formula: right for both readings.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from attractor.errors import InputDataError, UnsupportedError
from attractor.onnx_reader import OnnxFunction, read_onnx
from attractor.program import double_precision, trace

from ..dual.clauses import Clauses, of_clauses
from ..dual.lowering import network_of
from ..dual.search import Found, Search, search
from ..dual.spread import spread_search
from ..dual.tree import Journal
from ..recheck.certificate import Certificate, Part
from ..recheck.claim import Claim
from .certified import QUERY, check_target_of, sources_of, written
from .declared import check_shapes
from .exact_points import holds_at
from .formula import Comparison, Conjunction, Formula, Variable, disjuncts, holds, input_box
from .query import NetworkDeclaration, Query, Tensor

Tell = Callable[[str], None]


# Inputs without a bound are tried so far.
_BEYOND = Fraction(10**4)
# Smaller numbers of a query, and larger ones than one over it, are refused.
_LEAST = Fraction(1, 10**100)


class Satisfied(Enum):
    """The answers to a query, in the words of VNN-LIB."""

    SAT = "sat"
    UNSAT = "unsat"
    UNKNOWN = "unknown"
    TIMED_OUT = "timed-out"


@dataclass(frozen=True, eq=False)
class Solution:
    """What is known of a query.

    Args:
        answer: whether some input satisfies the formula.
        assignment: arrays by the names of the query's tensors, where one does; inputs, hidden and outputs.
        lower: no alternative's largest condition is below this (proved), over all that was searched.
        attained: the smallest of them that was met at an input.
        pieces: pieces of boxes bounded.
        seconds: how long it took.
        certificate: what became of the certificate, in words; empty where none was asked for.
        parts: what a certificate holds, see `write_certificate`; None where nothing is decided.
    """

    answer: Satisfied
    assignment: Mapping[str, np.ndarray] | None
    lower: float
    attained: float
    pieces: int
    seconds: float
    certificate: str = ""
    parts: tuple[Part, ...] | None = None


def solve_query(  # noqa: PLR0913 (a query, the limits of its search, and what is made of the answer)
    query: Query,
    networks: Mapping[str, Path],
    *,
    seconds: float | int = 60,
    tell: Tell = lambda _: None,
    seed: int = 0,
    proofs: bool = False,
    certificate: Path | None = None,
    query_file: Path | None = None,
) -> Solution:
    """Decide whether some input satisfies the formula of a query.

    Args:
        query: networks and formula.
        networks: the ONNX file of every network that is declared and is no copy of another.
        seconds: when to stop.
        tell: what to do with a line of progress.
        seed: of the attack.
        proofs: keep what a certificate holds, for `write_certificate`.
        certificate: the file to write the proof to, or the input that satisfies the formula; the proof is
            checked before, and only then written.
        query_file: the file of the query, whose digest the certificate names.

    Raises:
        StorageError: there is no folder for the certificate.
        InputDataError: files, shapes or bounds that do not fit the query; what is missing is named.
        UnsupportedError: an operator, or a kind of number, that is not read.
    """
    began = time.monotonic()
    if certificate is not None:
        check_target_of(certificate, *map(Path, networks.values()), *([query_file] if query_file else []))
    problem = _Problem.of(query, networks)
    results: list[_Searched] = []
    limits = _Limits(began + seconds, tell, seed)
    boxes, unbounded = _boxes_to_search(problem, query.formula)
    if not boxes:
        tell("the bounds of the inputs leave no input at all: the answer is about nothing")
    for box, rests in boxes.items():
        if limits.late():  # to state what is asked of a box takes time as well
            break
        journal = Journal() if proofs or certificate is not None else None
        results.append(_searched(problem, query.formula, box, rests, limits, journal))
        if results[-1].assignment is not None:
            break
    if unbounded is not None and (not results or results[-1].assignment is None):
        raise unbounded
    found = _solution(results, began, missing=len(boxes) - len(results), late=limits.late())
    if certificate is None or found.parts is None:
        return found
    return replace(found, certificate=write_certificate(found, networks, query_file, certificate))


def write_certificate(
    found: Solution, networks: Mapping[str, Path], query_file: Path | None, path: Path
) -> str:
    """Check what was found, and write it; that takes about as long as the search.

    Args:
        found: an answer other than "not decided".
        networks: the ONNX file of every network.
        query_file: the file of the query, if there is one.
        path: of the certificate.

    Returns:
        What became of it, in a sentence; empty for an answer that proves nothing.
    """
    if found.parts is None:
        return ""
    files = {name: Path(one) for name, one in networks.items()}
    files |= {} if query_file is None else {QUERY: query_file}
    return written(Certificate(found.parts, f"VNN-LIB: {found.answer.value}", sources_of(files)), path)


def claims_of_query(query: Query, networks: Mapping[str, Path]) -> tuple[Claim, ...]:
    """What has to be proved for the answer "unsat": a claim for every box of inputs.

    Args:
        query: networks and formula.
        networks: the ONNX file of every network that is declared and is no copy of another.
    """
    problem = _Problem.of(query, networks)
    boxes = _boxes(problem, query.formula)
    return tuple(_claim(problem, box, rests)[0] for box, rests in boxes.items())


_Ends: TypeAlias = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


def _boxes_to_search(
    problem: "_Problem", formula: Formula
) -> tuple[dict[_Ends, list[Conjunction]], InputDataError | None]:
    """The boxes, inputs without a bound up to a limit, and what is to be said where these show nothing."""
    try:
        return _boxes(problem, formula), None
    except InputDataError as unbounded:
        return _boxes(problem, formula, beyond=_BEYOND), unbounded


def _boxes(
    problem: "_Problem", formula: Formula, *, beyond: Fraction | None = None
) -> dict[_Ends, list[Conjunction]]:
    """Alternatives of a formula by their boxes of inputs, without the bounds of inputs."""
    boxes: dict[_Ends, list[Conjunction]] = {}
    for conjunction in disjuncts(formula):
        box = input_box(conjunction, problem.variables, beyond=beyond)
        if box is not None:
            boxes.setdefault((box.low, box.high), []).append(box.rest)
    return boxes


class _Searched(NamedTuple):
    """What was found on one box.

    Args:
        claim: that no input of it satisfies an alternative.
        search: what was found.
        assignment: all arrays at an input that satisfies the formula, and that input.
    """

    claim: Claim
    search: Search
    assignment: Mapping[str, np.ndarray] | None
    point: np.ndarray | None


def _parts(answer: Satisfied, results: Sequence[_Searched]) -> tuple[Part, ...] | None:
    """What a certificate of an answer holds."""
    if answer is Satisfied.SAT:
        return (Part(results[-1].claim, witness=results[-1].point),)
    if answer is Satisfied.UNSAT:
        trees = [Part(one.claim, one.search.tree) for one in results if one.search.tree is not None]
        return tuple(trees) if len(trees) == len(results) else None
    return None


def _solution(results: Sequence[_Searched], began: float, *, missing: int, late: bool) -> Solution:
    found = [one.search for one in results]
    assignment = results[-1].assignment if results else None
    if assignment is not None:
        answer = Satisfied.SAT
    elif not missing and all(one.found is Found.ABSENT for one in found):
        answer = Satisfied.UNSAT
    else:
        answer = Satisfied.TIMED_OUT if late else Satisfied.UNKNOWN
    return Solution(
        answer,
        assignment,
        -np.inf if missing and assignment is None else min((one.lower for one in found), default=np.inf),
        min((one.attained for one in found), default=np.inf),
        sum(one.pieces for one in found),
        time.monotonic() - began,
        parts=_parts(answer, results),
    )


class _Limits(NamedTuple):
    """Of one search: what is made before it begins takes from its time.

    Args:
        deadline: of the clock, when to stop.
        tell: see `solve_query`.
        seed: of the attack.
    """

    deadline: float
    tell: Tell
    seed: int

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.deadline


@dataclass(frozen=True, eq=False)
class _Problem:
    """The networks of a query.

    Args:
        declared: in order.
        functions: one for each.
    """

    declared: tuple[NetworkDeclaration, ...]
    functions: tuple[OnnxFunction, ...]

    @classmethod
    def of(cls, query: Query, networks: Mapping[str, Path]) -> "_Problem":
        functions, read = [], {}
        for one in query.networks:
            name = one.name if one.name in networks else one.equal_to or one.name
            if name not in networks:
                raise InputDataError(
                    f"the network {one.name} of the query has no file; name one with {one.name}=FILE"
                )
            path = Path(networks[name])
            read[path] = read.get(path) or read_onnx(path)
            check_shapes(one, read[path])
            functions.append(read[path])
        return cls(query.networks, tuple(functions))

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Of all networks, in order."""
        return tuple(tensor for one in self.declared for tensor in one.inputs)

    def nearest(self, box: _Ends) -> dict[int, float]:
        """Inputs that are fixed at a number which no float holds: the nearest one of their type."""
        kinds = [port.dtype for function in self.functions for port in function.inputs]
        kinds = np.repeat(np.array(kinds, object), [tensor.size for tensor in self.inputs])
        return {
            index: float(np.asarray(_number(low), kinds[index]))
            for index, (low, high) in enumerate(zip(*box, strict=True))
            if low == high and Fraction(_number(low)) != low
        }

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Entries of all inputs, end to end."""
        return tuple(variable for tensor in self.inputs for variable in tensor.variables)

    def arrays(self, flat: jax.Array | np.ndarray) -> dict[str, jax.Array]:
        """All arrays of the query at an input, by the names of their tensors."""
        found: dict[str, jax.Array] = {}
        begin = 0
        for one, function in zip(self.declared, self.functions, strict=True):
            given = []
            for tensor, port in zip(one.inputs, function.inputs, strict=True):
                given.append(jnp.reshape(jnp.asarray(flat[begin : begin + tensor.size]), port.shape))
                found[tensor.name] = given[-1]
                begin += tensor.size
            names = [tensor.onnx_name or tensor.name for tensor in one.hidden]
            names += [port.name for port in function.outputs]
            made = function.evaluate(given, names)
            tensors = [*one.hidden, *one.outputs]
            found.update({
                tensor.name: jnp.asarray(array) for tensor, array in zip(tensors, made, strict=True)
            })
        return found


def _claim(problem: _Problem, box: _Ends, rests: Sequence[Conjunction]) -> tuple[Claim, Clauses]:
    """That no input of a box satisfies any of the alternatives that share it."""
    conditions = list(dict.fromkeys(one for rest in rests for one in rest))
    numbers = {one: index for index, one in enumerate(conditions)}
    low, high = _outward(box[0], below=True), _outward(box[1], below=False)
    for index, number in problem.nearest(box).items():
        low[index], high[index] = min(low[index], number), max(high[index], number)
    with double_precision():
        network = network_of(trace(lambda x: _values(problem, conditions, x), jnp.asarray((low + high) / 2)))
    if (where := network.undefined) is not None:
        raise InputDataError(f"a weight or constant is no finite number ({where})")
    if not _are_floats(rests):  # what is exact of the network is not that of the query
        network = replace(network, output=replace(network.output, roundings=network.output.roundings + 2))
    clauses = of_clauses(
        [[numbers[one] for one in rest] for rest in rests],
        len(conditions),
        [one.strict for one in conditions],
    )
    return Claim(network, low, high, clauses.members, clauses.strict), clauses


def _searched(
    problem: _Problem,
    formula: Formula,
    box: _Ends,
    rests: Sequence[Conjunction],
    limits: "_Limits",
    journal: Journal | None,
) -> _Searched:
    """Search all alternatives with one box of inputs."""
    claim, clauses = _claim(problem, box, rests)
    shown: list[tuple[Mapping[str, np.ndarray], np.ndarray]] = []
    nearest = problem.nearest(box)
    fixed = {problem.variables[index]: box[0][index] for index in nearest}

    def check(point: np.ndarray) -> bool:
        inside = _within(point, *box)
        inside[list(nearest)] = list(nearest.values())
        assignment = _assigned(problem, formula, inside, fixed, rests)
        if assignment is not None:
            shown.append((assignment, inside))
        return assignment is not None

    sought = claim.network, claim.low, claim.high, clauses
    seconds, exact = max(limits.deadline - time.monotonic(), 0.0), _are_floats(rests)
    found = (
        spread_search(
            *sought, seconds=seconds, check=check, tell=limits.tell, seed=limits.seed, exact=exact
        )
        if journal is None
        else search(
            *sought, seconds=seconds, check=check, tell=limits.tell, seed=limits.seed, exact=exact,
            journal=journal,
        )
    )  # fmt: skip
    if found.found is Found.OPEN and box[0] == box[1] and not nearest:
        holds_there = holds_at(problem.arrays, formula, claim.low)
        if holds_there is False:
            found = replace(found, found=Found.ABSENT, left=0)
        elif holds_there and check(claim.low):
            found = replace(found, found=Found.PRESENT, point=claim.low)
    present = found.found is Found.PRESENT and shown
    return _Searched(claim, found, *(shown[-1] if present else (None, None)))


def _values(problem: _Problem, conditions: Sequence[Comparison], flat: jax.Array) -> jax.Array:
    """Left sides of all conditions, each to be at most zero."""
    if not conditions:
        return jnp.zeros(0, flat.dtype)
    arrays = {name: jnp.ravel(array) for name, array in problem.arrays(flat).items()}
    used = sorted({factors for one in conditions for factors in one.polynomial.terms})
    columns = [_monomial(arrays, factors, flat) for factors in used]
    matrix = np.array([
        [_number(one.polynomial.terms.get(factors, Fraction(0))) for factors in used] for one in conditions
    ])
    return jnp.matmul(matrix, jnp.stack(columns))


def _number(exact: Fraction) -> float:
    """A number of the query in float64, far from where that loses digits or ends.

    Raises:
        UnsupportedError: it is too small or too large: rounded to nothing it would change the question.
    """
    if exact and not _LEAST < abs(exact) < 1 / _LEAST:
        raise UnsupportedError("the query has a number beyond 1e-100 to 1e100; state it in other units")
    return float(exact)


def _are_floats(rests: Sequence[Conjunction]) -> bool:
    """Whether float64 holds all numbers of the conditions."""
    terms = [one.polynomial.terms for rest in rests for one in rest]
    return all(Fraction(_number(one)) == one for each in terms for one in each.values())


def _monomial(arrays: Mapping[str, jax.Array], factors: tuple[Variable, ...], like: jax.Array) -> jax.Array:
    product = jnp.ones((), like.dtype)
    for number, factor in enumerate(factors):
        entry = arrays[factor.tensor][factor.index].astype(like.dtype)
        product = entry if number == 0 else product * entry
    return product


def _outward(ends: Sequence[Fraction], *, below: bool) -> np.ndarray:
    """The nearest numbers of float64 that do not cut the box."""
    found = np.array([_number(end) for end in ends])
    for index, end in enumerate(ends):
        exact = Fraction(found[index])
        if (exact > end) if below else (exact < end):
            found[index] = np.nextafter(found[index], -np.inf if below else np.inf)
    return found


def _within(point: np.ndarray, low: Sequence[Fraction], high: Sequence[Fraction]) -> np.ndarray:
    """The point in float32, moved by a digit where that has left the box; in float64 where none is inside."""
    found = point.astype(np.float32)
    result = found.astype(np.float64)
    for index, (least, most) in enumerate(zip(low, high, strict=True)):
        if Fraction(float(found[index])) < least:
            result[index] = np.nextafter(found[index], np.float32(np.inf))
        elif Fraction(float(found[index])) > most:
            result[index] = np.nextafter(found[index], np.float32(-np.inf))
        if not least <= Fraction(result[index]) <= most:
            result[index] = point[index]
    return result


def _assigned(
    problem: _Problem,
    formula: Formula,
    point: np.ndarray,
    fixed: Mapping[Variable, Fraction],
    rests: Sequence[Conjunction],
) -> Mapping[str, np.ndarray] | None:
    """All arrays at an input, if the formula holds for them in float32 and in float64.

    Args:
        problem: of the formula.
        formula: to hold.
        point: the input.
        fixed: entries of the input that the formula fixes at a number which is no float.
        rests: of the alternatives, without bounds of inputs.
    """
    with double_precision():
        wide = {name: np.asarray(array) for name, array in problem.arrays(jnp.asarray(point)).items()}
    narrow = {
        name: np.asarray(array) for name, array in problem.arrays(jnp.asarray(point, jnp.float32)).items()
    }
    for arrays in (wide, narrow):
        if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
            return None
    exact = {tensor.name for tensor in problem.inputs}
    values = [
        _fractions({name: wide[name] if name in exact else arrays[name] for name in arrays})
        for arrays in (wide, narrow)
    ]
    met = all(holds(formula, {**one, **fixed}) for one in values)
    if met and fixed:
        met = any(all(holds(each, one) for each in rest for one in values) for rest in rests)
    return narrow if met else None


def _fractions(arrays: Mapping[str, np.ndarray]) -> dict[Variable, Fraction]:
    return {
        Variable(name, index): Fraction(float(value))
        for name, array in arrays.items()
        for index, value in enumerate(array.ravel())
    }
