"""`attractor-vnnlib`: a solver with the command line of the VNN-LIB 2.0 standard (chapter 5).

The verdict stands alone on the first line of what is printed, the satisfying assignment behind it; progress
and errors go to the other stream. What a question about abilities is answered with is what is really read.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attractor.certify.verify.query import Query

# Each ability that the standard asks for, and its lines.
_ABILITIES: Mapping[str, Callable[[], list[str]]] = {
    "onnx-operators": lambda: _operators(),
    "onnx-opset-versions": lambda: ["7", "23"],
    "onnx-element-types": lambda: ["float32", "float64"],
    "vnnlib-versions": lambda: ["1.0", "2.0"],
    "multiple-network-theories": lambda: ["SNET", "MNET", "MENET", "MINET"],
    "hidden-node-theories": lambda: ["NH", "H"],
    "multiple-input-output-theories": lambda: ["SIO", "MIO"],
    "multiple-node-comparison-theories": lambda: ["SNC", "MNC"],
    "arithmetic-complexity-theories": lambda: ["BND", "OUTC", "LIN", "POLY"],
    "optimised-disjunctive-reasoning": lambda: ["false"],
    "serialise-assignments": lambda: ["true"],
}

# What the process itself takes before and after the search, so that a limit holds for the whole.
_RESERVE = 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the solver.

    Args:
        arguments: of the command line; those of the process when None.

    Returns:
        The exit status: 0 with a verdict, 2 where the query or a file is at fault, 4 where one cannot be
        written; the verdict is printed before.
    """
    began = time.monotonic()
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.name or given.version:
        print("attractor" if given.name else version("attractor"))
        return 0
    if given.command == "supports":
        return _answer_abilities(parser, given.abilities)
    if given.command == "verify":
        return _verify(given, began)
    parser.print_usage(sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("attractor-vnnlib", description="Decide queries of VNN-LIB 1.0 and 2.0.")
    parser.add_argument("--name", action="store_true", help="print the name of the solver")
    parser.add_argument("--version", action="store_true", help="print its version")
    commands = parser.add_subparsers(dest="command")
    verify = commands.add_parser("verify", help="decide a query")
    verify.add_argument("query", type=Path, help="a file of VNN-LIB")
    verify.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the ONNX file of a network; repeatable",
    )
    verify.add_argument("--timeout", type=_seconds, default=None, metavar="SECONDS", help="when to stop")
    verify.add_argument(
        "--serialise-assignments",
        type=Path,
        metavar="FOLDER",
        help="write each array of a sat verdict as FOLDER/NAME.pb",
    )
    verify.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="write the proof, or the input, for `attractor recheck FILE`; done after the verdict is printed",
    )
    supports = commands.add_parser("supports", help="say what is read")
    for name in _ABILITIES:
        supports.add_argument(f"--{name}", dest="abilities", action="append_const", const=name)
    return parser


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no time limit: give a number of seconds above zero")
    return found


def _operators() -> list[str]:
    from attractor.onnx_reader import OPERATORS

    return sorted(OPERATORS)


def _answer_abilities(parser: argparse.ArgumentParser, abilities: Sequence[str] | None) -> int:
    if not abilities:
        parser.error("supports: name what to tell, such as --onnx-operators")
    for name in abilities or ():
        print("\n".join(_ABILITIES[name]()))
    return 0


def _verify(given: argparse.Namespace, began: float) -> int:
    from attractor.errors import AttractorError, UnsupportedError

    try:
        return _decided(given, began)
    except UnsupportedError as problem:
        print("unknown")
        print(f"attractor-vnnlib: {problem}", file=sys.stderr)
        return 0
    except AttractorError as problem:
        print("unknown")
        print(f"attractor-vnnlib: {problem}", file=sys.stderr)
        return problem.exit_code


def _decided(given: argparse.Namespace, began: float) -> int:
    from attractor.certify.verify.certified import check_target_of
    from attractor.certify.verify.solve import Satisfied, solve_query, write_certificate
    from attractor.certify.verify.vnnlib_files import read_query
    from attractor.sweeps import spread

    query = read_query(given.query)
    networks = networks_of(given.network, query)
    if given.certificate is not None:
        check_target_of(given.certificate, given.query, *networks.values())
    seconds = 3600.0 if given.timeout is None else given.timeout - _RESERVE - (time.monotonic() - began)
    with spread():  # what takes longer than a few seconds goes over all cores
        found = solve_query(
            query,
            networks,
            seconds=max(seconds, 0.0),
            tell=lambda line: print(line, file=sys.stderr),
            proofs=given.certificate is not None,
        )
    print(found.answer.value, flush=True)
    status = 0
    if found.answer is Satisfied.SAT and found.assignment is not None:
        status = _give_assignment(found.assignment, given.serialise_assignments)
    if given.certificate is not None and found.parts is not None:
        sys.stdout.flush()  # the verdict does not wait until its proof is checked
        said = write_certificate(found, networks, given.query, given.certificate)
        print(f"attractor-vnnlib: {said}", file=sys.stderr)
    return status


def networks_of(pairs: Sequence[str], query: "Query") -> dict[str, Path]:
    """Files of networks by name; a single file needs none, and one of a query of version 1.0 may have any.

    Args:
        pairs: NAME=FILE each.
        query: whose networks they are.

    Raises:
        ConfigError: a name that the query does not have, or has a file already.
    """
    from attractor.errors import ConfigError

    names, found = [one.name for one in query.networks], {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not sign and (len(pairs) > 1 or len(names) > 1):
            raise ConfigError(f"--network {pair}: write NAME=FILE; the query has {', '.join(names)}")
        if not sign:
            name, path = names[0], pair
        elif query.version == "1.0":  # names of networks came with version 2.0
            name = names[0]
        if name not in names:
            raise ConfigError(f"--network {pair}: the query has no network {name}, but {', '.join(names)}")
        if name in found:
            raise ConfigError(f"--network {pair}: the network {name} of the query has a file already")
        found[name] = Path(path)
    return found


def _give_assignment(assignment: Mapping[str, object], folder: Path | None) -> int:
    """Print or write an assignment behind its verdict; the exit status."""
    from attractor.errors import StorageError

    try:
        if folder is None:
            _print_assignment(assignment)
        else:
            _write_assignment(assignment, folder)
    except StorageError as problem:
        print(f"attractor-vnnlib: {problem}", file=sys.stderr)
        return problem.exit_code
    return 0


def _print_assignment(assignment: Mapping[str, object]) -> None:
    import numpy as np

    for name, array in assignment.items():
        for index, value in np.ndenumerate(np.asarray(array)):
            place = ",".join(map(str, index)) or "0"
            print(f"({name}[{place}] {float(value)!r})")


def _write_assignment(assignment: Mapping[str, object], folder: Path) -> None:
    import numpy as np
    from onnx import numpy_helper

    from attractor.files import make_folder, write_atomically

    make_folder(folder)
    for name, array in assignment.items():
        tensor = numpy_helper.from_array(np.asarray(array), name)
        write_atomically(folder / f"{name}.pb", tensor.SerializeToString())


def program() -> None:
    """The console script."""
    sys.exit(main())
