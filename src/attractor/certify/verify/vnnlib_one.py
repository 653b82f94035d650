"""Reader of VNN-LIB 1.0: declared numbers X_0, X_1 .. and Y_0, Y_1 .., and assertions about them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from attractor.errors import InputDataError

from .formula import AllOf, AnyOf, Formula, Polynomial, Relation, Variable, compared
from .numerals import exact, is_numeral, product
from .query import Kind, NetworkDeclaration, Query, Tensor
from .source import DEEPEST, Source

_TOKEN = re.compile(r"\s+|;[^\n]*|([()]|[^\s();]+)")
_NAME = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})")
_RELATIONS: dict[str, Relation] = {"<=": "<=", "<": "<", ">=": ">=", ">": ">", "=": "=="}
_OPERATORS = "and or <= < >= > = + - *"


@dataclass(frozen=True)
class _Word:
    text: str
    offset: int


@dataclass(frozen=True)
class _Value:
    """What a closed pair of parentheses says; None after a command."""

    content: Formula | Polynomial | None
    offset: int


_Part = _Word | _Value


@dataclass
class _Open:
    """Parentheses that are not closed yet."""

    offset: int
    parts: list[_Part] = field(default_factory=list)


def read_one(source: Source) -> Query:
    """A specification in VNN-LIB 1.0.

    Args:
        source: the file.

    Returns:
        One network N with the tensors X and Y, flat; all assertions must hold.

    Raises:
        InputDataError: something else stands there; file, line and word are named.
        UnsupportedError: a product of polynomials is too large.
    """
    return _Reader(source).read()


class _Reader:
    """Reads words into a stack of open parentheses: no depth of a file meets the depth of calls."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.declared: dict[str, dict[int, Polynomial]] = {"X": {}, "Y": {}}
        self.assertions: list[Formula] = []

    def read(self) -> Query:
        stack: list[_Open] = []
        for word in _words(self.source.text):
            if word.text == "(":
                self._open(stack, word)
            elif not stack:
                raise self._fault(word, "stands outside of parentheses: only ( commands ) may")
            elif word.text == ")":
                self._close(stack)
            else:
                stack[-1].parts.append(word)
        if stack:
            raise self._fault(_Word("(", stack[-1].offset), "is never closed: add the ')' that is missing")
        return self._query()

    def _open(self, stack: list[_Open], word: _Word) -> None:
        if len(stack) >= DEEPEST:
            raise self._fault(word, f"is deeper than {DEEPEST} parentheses: write the formula flatter")
        stack.append(_Open(word.offset))

    def _close(self, stack: list[_Open]) -> None:
        closed = stack.pop()
        value = self._said(closed, at_top=not stack)
        if stack:
            stack[-1].parts.append(value)

    def _said(self, closed: _Open, at_top: bool) -> _Value:
        """The meaning of a pair of parentheses."""
        head, parts = self._head(closed), closed.parts[1:]
        if head.text in {"declare-const", "assert"}:
            if not at_top:
                raise self._fault(head, "is a command: it may not stand inside of another one")
            self._declare(head, parts) if head.text == "declare-const" else self._assert(head, parts)
            return _Value(None, closed.offset)
        if at_top:
            raise self._fault(head, "is no command: only declare-const and assert are read")
        return _Value(self._expression(head, parts), closed.offset)

    def _head(self, closed: _Open) -> _Word:
        head = closed.parts[0] if closed.parts else _Word("()", closed.offset)
        if isinstance(head, _Value):
            raise self._fault(head, f"an operator is expected there: one of {_OPERATORS}")
        return head

    def _declare(self, head: _Word, parts: list[_Part]) -> None:
        words = [part.text for part in parts if isinstance(part, _Word)]
        found = _NAME.fullmatch(words[0]) if words else None
        if len(words) != len(parts) or len(words) != 2 or found is None or words[1] != "Real":
            raise self._fault(head, f"{' '.join(words)!r} is not understood: write (declare-const X_0 Real)")
        letter, index = found[1], int(found[2])
        if index in self.declared[letter]:
            raise self._fault(parts[0], "is declared twice: delete one declaration")
        self.declared[letter][index] = Polynomial.of(Variable(letter, index))

    def _assert(self, head: _Word, parts: list[_Part]) -> None:
        if len(parts) != 1:
            raise self._fault(head, f"has {len(parts)} formulas: write one, joined by and / or")
        self.assertions.append(self._formula(parts[0]))

    def _expression(self, head: _Word, parts: list[_Part]) -> Formula | Polynomial:
        if not parts and head.text in _OPERATORS.split():
            raise self._fault(head, "joins nothing: give it a part, or delete it")
        match head.text:
            case "and":
                return AllOf(tuple(map(self._formula, parts)))
            case "or":
                return AnyOf(tuple(map(self._formula, parts)))
            case "+":
                return Polynomial.total(map(self._polynomial, parts))
            case "-":
                return self._minus(parts)
            case "*":
                return self._times(head, parts)
            case _:
                return self._comparison(head, parts)

    def _comparison(self, head: _Word, parts: list[_Part]) -> Formula:
        if head.text not in _RELATIONS:
            raise self._fault(head, f"is no operator: use one of {_OPERATORS}")
        if len(parts) != 2:
            raise self._fault(head, f"compares {len(parts)} quantities: give it two")
        left, right = map(self._polynomial, parts)
        return compared(left, _RELATIONS[head.text], right)

    def _minus(self, parts: list[_Part]) -> Polynomial:
        first, *others = map(self._polynomial, parts)
        return first - Polynomial.total(others) if others else -first

    def _times(self, head: _Word, parts: list[_Part]) -> Polynomial:
        factors = [self._polynomial(part) for part in parts]
        with self.source.at(lambda: self.source.line_at(head.offset)):
            return product(factors)

    def _formula(self, part: _Part) -> Formula:
        content = part.content if isinstance(part, _Value) else None
        if content is None or isinstance(content, Polynomial):
            raise self._fault(part, "a formula is expected there, such as (<= X_0 0.5)")
        return content

    def _polynomial(self, part: _Part) -> Polynomial:
        if isinstance(part, _Word):
            return self._atom(part)
        if not isinstance(part.content, Polynomial):
            raise self._fault(part, "a quantity is expected there, not a formula: such as X_0 or 0.5")
        return part.content

    def _atom(self, word: _Word) -> Polynomial:
        """A number or a declared name."""
        if is_numeral(word.text):
            with self.source.at(lambda: self.source.line_at(word.offset)):
                return Polynomial.constant(exact(word.text))
        found = _NAME.fullmatch(word.text)
        declared = None if found is None else self.declared[found[1]].get(int(found[2]))
        if declared is None:
            raise self._fault(word, f"is not declared: add (declare-const {word.text[:40]} Real) before")
        return declared

    def _query(self) -> Query:
        if not self.assertions:
            raise self.source.fault(None, "nothing is asserted: add an (assert ...), or get the whole file")
        network = NetworkDeclaration("N", (self._tensor("X", "input"),), (), (self._tensor("Y", "output"),))
        return Query((network,), AllOf(tuple(self.assertions)), "1.0")

    def _tensor(self, letter: str, kind: Kind) -> Tensor:
        indices = self.declared[letter].keys()
        missing = next(index for index in range(len(indices) + 1) if index not in indices)
        if missing <= max(indices, default=0):
            raise self.source.fault(
                None, f"{letter}_{missing} is not declared: add (declare-const {letter}_{missing} Real)"
            )
        return Tensor(letter, (len(indices),), "real", kind)

    def _fault(self, part: _Part, problem: str) -> InputDataError:
        word = f"'{part.text[:60]}' " if isinstance(part, _Word) else ""
        return self.source.fault(self.source.line_at(part.offset), word + problem)


def _words(text: str) -> Iterator[_Word]:
    """Parentheses and what stands between them, without comments.

    Yields:
        One after the other.
    """
    for found in _TOKEN.finditer(text):
        if found[1] is not None:
            yield _Word(found[1], found.start())
