"""The text formats of the time series archives: `.ts`, `.arff` and `.tsv`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError, UnsupportedError

from .dates import parse_dates, seconds_since_first
from .delimited import Layout, TextLines, is_number, read_lines, shortened
from .labelled_sequences import Sequences, default_names, padded, trimmed
from .sequence_labels import encode_words
from .time_axis import JITTER

# Texts that `float` does not know and that mean a missing value.
MARKS = {"?": np.nan, "": np.nan}


@dataclass(frozen=True)
class _Header:
    """What the lines before `@data` say.

    Args:
        rows: how many lines they are.
        classes: those listed, if any.
        is_labelled: whether a class ends each line.
        dimensions: variables of each case, if said.
        steps: of each series, if said.
        is_equal: whether all series are said to have one length.
        is_stamped: whether each value comes with its time.
        is_relational: whether a case is a bag of series in quotes.
    """

    rows: int
    classes: tuple[str, ...] | None
    is_labelled: bool = True
    dimensions: int | None = None
    steps: int | None = None
    is_equal: bool = False
    is_stamped: bool = False
    is_relational: bool = False


def parse_series(text: str, where: str) -> Float[np.ndarray, " time"]:
    """The numbers between commas; NaN for `?`, `NaN` or nothing.

    Args:
        text: of one dimension of a case.
        where: file, row and dimension for the message.

    Raises:
        InputDataError: a text that is not a number, or an infinite one; it is named.
    """
    cells = text.split(",")
    try:
        values = np.array([float(cell.replace("_", "x")) for cell in cells])
    except ValueError:
        values = np.array([_parse_cell(cell.strip(), f"{where}, value {n}") for n, cell in enumerate(cells)])
    for index in np.flatnonzero(np.isinf(values))[:1]:
        raise InputDataError(f"{where}, value {index}: {cells[index]!r} is infinite; correct it or write ?")
    return values


def _parse_cell(cell: str, where: str) -> float:
    if cell in MARKS:
        return MARKS[cell]
    try:
        # Python reads 1_000 as a number; no writer of series means it so.
        return float(cell.replace("_", "x"))
    except ValueError:
        raise InputDataError(
            f"{where}: {shortened(cell)} is not a number; correct it, or write ? if it is missing"
        ) from None


def stack_dimensions(
    dimensions: Sequence[Float[np.ndarray, " _"]],
) -> Float[np.ndarray, "time variables"]:
    """Dimensions of a case side by side; a shorter one ends in missing values."""
    return padded([one[:, None] for one in dimensions])[0][:, :, 0].T


def _read_case(parts: Sequence[str], where: str, steps: int | None) -> Float[np.ndarray, "time variables"]:
    """A case from the text of each dimension."""
    dimensions = []
    for number, part in enumerate(parts, 1):
        at = f"{where}, dimension {number}"
        dimensions.append(parse_series(part, at))
        if steps is not None and len(dimensions[-1]) != steps:
            raise InputDataError(
                f"{at}: {len(dimensions[-1])} values where the header has {steps} numeric attributes; "
                "complete the row, with ? for what is missing"
            )
    return stack_dimensions(dimensions)


def _assemble(
    text: TextLines, header: _Header, cases: Sequence[Float[np.ndarray, "_ _"]], words: Sequence[str]
) -> Sequences:
    """Labelled cases from what a reader found, without the padding at their ends.

    Raises:
        InputDataError: no case, cases that differ where they must not, or a class that is not listed.
    """
    if not cases:
        raise InputDataError(f"{text.path}: the file has a header but no case below @data")

    def where(case: int) -> str:
        return text.where(header.rows + case)

    begin, (steps, dimensions) = f"row {text.numbers[header.rows]}", cases[0].shape
    for position, case in enumerate(cases):
        if case.shape[1] != dimensions:
            raise InputDataError(
                f"{where(position)}: {case.shape[1]} dimensions, {begin} has {dimensions}; every case needs "
                "the same"
            )
        if header.is_equal and len(case) != steps:
            raise InputDataError(
                f"{where(position)}: {len(case)} steps, {begin} has {steps}, and the header says "
                "@equalLength true; complete the row, or say false"
            )
    labels, known = None, header.classes or ()
    if header.is_labelled:
        labels, known = encode_words(words, where, header.classes)
    values, lengths = padded([trimmed(case, where(position)) for position, case in enumerate(cases)])
    rows = np.asarray(text.numbers[header.rows :])[:, None]
    return Sequences(
        values, lengths, default_names(dimensions), labels, known, rows=rows, source=str(text.path)
    )


_TRUTH = {"true": True, "false": False}
# A dimension of a case with times, which may hold colons, and a pair of time and value.
_PART = re.compile(r"(?:^|(?<=:))((?:\([^()]*\)|[^:()])*)(?::|$)")
_PAIR = re.compile(r"\(([^(),]*),([^(),]*)\)")
# How many steps there may be for each value: more of them means that the times are no grid.
_MOST_STEPS = 50


def read_ts(path: str | Path) -> Sequences:
    """Read labelled series from a `.ts` file.

    Each line is a case: the dimensions separated by colons, their values by commas, the class at the end.
    With `@timeStamps true` each value is a pair `(time,value)`; times are numbers or dates, one step apart in
    the whole file, and a time that is left out is a missing value.
    `?` and `NaN` are missing values. Steps at the end of a case that have no value in any dimension are
    padding, as the archive pads series of unequal length, and are cut off. Dimensions of one case may differ
    in length; the rest of the shorter ones is missing.

    Args:
        path: the file.

    Returns:
        The cases, called by their position; variables are v1, v2, ...; classes in the order of the header.

    Raises:
        InputDataError: the file cannot be used; the message names file, row and dimension.
        UnsupportedError: the file holds values to predict in place of classes.

    Example:
        >>> train = read_ts("BasicMotions_TRAIN.ts")  # doctest: +SKIP
    """
    text = read_lines(path)
    header = _read_header(text)
    cases, words, steps = [], [], []
    for row, line in enumerate(text.lines[header.rows :], header.rows):
        where = text.where(row)
        parts = _PART.findall(line) if header.is_stamped else line.split(":")
        if header.is_labelled:
            words.append(parts.pop().strip())
        if not parts or (header.dimensions or len(parts)) != len(parts):
            after = " and the class" if header.is_labelled else "; there is no class, as @classLabel is false"
            raise InputDataError(
                f"{where}: {len(parts)} dimensions where the header says "
                f"{header.dimensions or 'one or more'}; colons separate the dimensions{after}"
            )
        if not header.is_stamped:
            cases.append(_read_case(parts, where, None))
            continue
        case, step = _read_stamped(parts, where)
        cases.append(case)
        steps += [] if step is None else [step]
        # A model knows steps, not times.
        if step is not None and abs(step / steps[0] - 1) > JITTER:
            raise InputDataError(
                f"{where}: times are {step:g} apart, {steps[0]:g} in the first case; bring all cases to one "
                "step"
            )
    return _assemble(text, header, cases, words)


def _read_header(text: TextLines) -> _Header:
    said: dict[str, tuple[list[str], str]] = {}
    for row, line in enumerate(text.lines):
        if not line.lstrip().startswith("@"):
            raise InputDataError(
                f"{text.where(row)}: the text {line[:40]!r} comes before @data; a .ts file begins with "
                "lines such as @classLabel true a b, then @data, then one line for each case"
            )
        key, *rest = line.strip()[1:].split() or [""]
        if key.casefold() == "data":
            break
        said[key.casefold()] = (rest, text.where(row))
    else:
        raise InputDataError(f"{text.path}: the line @data is missing; the cases come after it")
    if _truth(said, "targetlabel"):
        raise UnsupportedError(
            f"{said['targetlabel'][1]}: the file holds numbers to predict (@targetLabel), not classes; a "
            "classifier needs @classLabel"
        )
    if "classlabel" not in said:
        raise InputDataError(
            f"{text.path}: the header has no @classLabel; add '@classLabel true' with the classes, or "
            "'@classLabel false'"
        )
    return _Header(
        rows=row + 1,
        classes=tuple(said["classlabel"][0][1:]) or None,
        is_labelled=_truth(said, "classlabel"),
        dimensions=_read_dimensions(said),
        is_equal=_truth(said, "equallength"),
        is_stamped=_truth(said, "timestamps"),
    )


def _truth(said: dict[str, tuple[list[str], str]], key: str) -> bool:
    rest, where = said.get(key, (["false"], ""))
    truth = _TRUTH.get(rest[0].casefold()) if rest else None
    if truth is None:
        raise InputDataError(
            f"{where}: @{key} is followed by {' '.join(rest)[:40]!r}, expected true or false"
        )
    return truth


def _read_dimensions(said: dict[str, tuple[list[str], str]]) -> int | None:
    if _truth(said, "univariate"):
        return 1
    rest, where = said.get("dimensions", said.get("dimension", ([], "")))
    if not where:
        return None
    if len(rest) != 1 or not rest[0].isdecimal() or not 0 < len(rest[0]) < 9 or int(rest[0]) < 1:
        raise InputDataError(
            f"{where}: @dimensions is followed by {' '.join(rest)[:40]!r}, expected a number from 1 on"
        )
    return int(rest[0])


def _read_stamped(parts: list[str], where: str) -> tuple[Float[np.ndarray, "time variables"], float | None]:
    """A case whose values come with their times, on a grid of equal steps, and the step."""
    times, values, columns = [], [], []
    for dimension, part in enumerate(parts):
        at = f"{where}, dimension {dimension + 1}"
        pairs = _PAIR.findall(part)
        if _PAIR.sub("", part).strip(" ,") or not pairs:
            raise InputDataError(
                f"{at}: {shortened(part)} are not pairs (time,value), as @timeStamps true says they are"
            )
        times += [time.strip() for time, _ in pairs]
        values += [_parse_cell(value.strip(), f"{at}, value {n}") for n, (_, value) in enumerate(pairs)]
        columns += [dimension] * len(pairs)
    instants = _instants(times, where)
    steps = np.diff(np.unique(instants))
    step = float(np.min(steps)) if len(steps) else 1.0
    position = (instants - instants.min()) / step
    steps_off = np.flatnonzero(np.abs(position - np.rint(position)) > JITTER)
    if len(steps_off) or position.max() > _MOST_STEPS * len(times):
        shown = times[int(steps_off[0])] if len(steps_off) else times[int(position.argmax())]
        raise InputDataError(
            f"{where}: the time {shown} does not lie on equal steps of {step:g} from the first; interpolate "
            "the series onto equal steps"
        )
    rows = np.rint(position).astype(int)
    case = np.full((rows.max() + 1, len(parts)), np.nan)
    case[rows, columns] = values
    return case, step if len(steps) else None


def _instants(texts: list[str], where: str) -> Float[np.ndarray, " values"]:
    """Times as numbers: as they are, or seconds from the first of some dates."""
    if is_number(texts[0]):
        return np.array([_parse_cell(text, f"{where}, time {n}") for n, text in enumerate(texts)])
    dates = parse_dates(texts)
    for index in np.flatnonzero(np.isnat(dates))[:1]:
        raise InputDataError(f"{where}: {shortened(texts[index])} is neither a number nor a date and time")
    return seconds_since_first(dates)


# A name, bare or in quotes, and what follows it.
_ATTRIBUTE = re.compile(r"@attribute\s+(?P<name>'[^']*'|\"[^\"]*\"|\S+)\s+(?P<kind>.+)", re.IGNORECASE)
_NOMINAL = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"][^,]*)")
_NUMERIC = frozenset({"numeric", "real", "integer"})
# What stands before a comment that begins in the middle of a line; % in quotes is text.
_BEFORE_COMMENT = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^%'\"]|['\"])*")


def read_arff(path: str | Path) -> Sequences:
    r"""Read labelled series from an ARFF file of the time series archives.

    A univariate file has one numeric attribute for each step. A multivariate one has a relational attribute:
    a text in quotes in which the two characters `\n` separate the dimensions. The last attribute is the
    class. `?` is a missing value; steps at the end of a case without any value are padding and are cut off.

    Args:
        path: the file.

    Returns:
        The cases, called by their position; variables are v1, v2, ...; classes in the order of the header. If
        the class of every case is `?`, there are no labels.

    Raises:
        InputDataError: the file cannot be used; the message names file, row and dimension.
        UnsupportedError: sparse rows, or a numeric target in place of a class.

    Example:
        >>> train = read_arff("BasicMotions_TRAIN.arff")  # doctest: +SKIP
    """
    read = read_lines(path)
    lines = [match[0] if (match := _BEFORE_COMMENT.match(line)) else line for line in read.lines]
    text = replace(read, lines=lines)
    header = _read_attributes(text)
    cases, words = [], []
    for row, line in enumerate(text.lines[header.rows :], header.rows):
        where = text.where(row)
        body, word = _split_class(line.strip(), header, where)
        cases.append(_read_case(body.split("\\n"), where, header.steps))
        words.append(word)
    return _assemble(text, header, cases, words)


def _read_attributes(text: TextLines) -> _Header:
    kinds: list[str] = []
    for row, line in enumerate(text.lines):
        word = line.strip().split(None, 1)[0].casefold()
        if word == "@data":
            break
        if word == "@attribute":
            match = _ATTRIBUTE.fullmatch(line.strip())
            if match is None:
                raise InputDataError(
                    f"{text.where(row)}: {line.strip()[:60]!r} is not of the form '@attribute name kind'"
                )
            kinds.append(match["kind"].strip())
        elif word not in ("@relation", "@end"):
            raise InputDataError(
                f"{text.where(row)}: the text {line[:40]!r} comes before @data; expected @relation, "
                "@attribute, @end or @data"
            )
    else:
        raise InputDataError(f"{text.path}: the line @data is missing; the cases come after it")
    if not kinds or kinds[-1].casefold() in _NUMERIC:
        raise UnsupportedError(
            f"{text.path}: the last attribute must be the class, as in '@attribute class {{a,b}}'; numbers "
            "to predict are not classes"
        )
    is_relational = kinds[0].casefold() == "relational"
    steps = kinds[1:-1] if is_relational else kinds[:-1]
    odd = [kind for kind in steps if kind.casefold() not in _NUMERIC]
    if odd or not steps:
        what = f"one is {odd[0][:40]!r}" if odd else "there is none"
        raise InputDataError(
            f"{text.path}: every attribute before the class must be numeric, one for each step, inside one "
            f"relational attribute if there are several dimensions; {what}"
        )
    classes = _read_classes(kinds[-1], text)
    return _Header(row + 1, classes, steps=len(steps), is_relational=is_relational)


def _read_classes(kind: str, text: TextLines) -> tuple[str, ...] | None:
    if kind.casefold() == "string":
        return None
    if not (kind.startswith("{") and kind.endswith("}")):
        raise InputDataError(
            f"{text.path}: the class attribute is {kind[:60]!r}, expected a list such as {{a,b}}"
        )
    found = _NOMINAL.findall(kind[1:-1])
    return tuple(one or two or three.strip() for one, two, three in found)


def _split_class(line: str, header: _Header, where: str) -> tuple[str, str]:
    """The series of a row as text, and its class without quotes."""
    if line.startswith("{"):
        raise UnsupportedError(f"{where}: sparse rows in braces are not read; write every value")
    if not header.is_relational:
        # The class may be in quotes, with commas inside.
        start = line.rfind("," + line[-1]) if line[-1:] in ("'", '"') else -1
        start = line.rfind(",") if start < 0 else start
        return line[: max(start, 0)], _unquoted(line[start + 1 :].strip())
    end = line.find(line[0], 1)
    body, rest = line[1:end], line[end + 1 :].lstrip()
    if line[0] not in "'\"" or end < 0 or not rest.startswith(","):
        raise InputDataError(
            f"{where}: expected the series in quotes, a comma and the class, found {line[:40]!r}"
        )
    return body, _unquoted(rest[1:].strip())


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def read_case_rows(text: TextLines, layout: Layout) -> Sequences:
    """Series of one variable from a `.tsv` file of the UCR archive: a row for each case, its class in front.

    Blanks, `NaN` and `?` are missing values; at the end of a row they are padding and are cut off.

    Args:
        text: the file, all of whose cells are numbers.
        layout: what separates them.

    Raises:
        InputDataError: the file cannot be used; the message names file, row and value.
    """
    rows = [layout.split_row(line) for line in text.lines]
    check_class_in_front(rows, text)
    cases = [parse_series(",".join(cells), text.where(row))[:, None] for row, (_, *cells) in enumerate(rows)]
    return _assemble(text, _Header(0, None), cases, [word for word, *_ in rows])


# With fewer rows, numbers may look counted by chance; a class has so many cases on average, or more.
_FEWEST_ROWS, _CASES_OF_CLASS = 8, 4


def check_class_in_front(rows: Sequence[Sequence[str]], text: TextLines) -> None:
    """Refuse rows whose class stands last: every value in front would be a class of its own.

    Raises:
        InputDataError: names the row, what stands in front, and what to do.
    """
    front, last = [one[0] for one in rows], [one[-1] for one in rows]
    odd = [row for row, cell in enumerate(front) if not _may_be_class(cell)]
    are_many = len(rows) >= _FEWEST_ROWS and 2 * len(set(front)) > len(rows)
    if odd or (are_many and _are_classes(last)):
        row = odd[0] if odd else 0
        raise InputDataError(
            f"{text.where(row)}: the class of a case stands in front of its row, and {shortened(front[row])} "
            f"looks like a value of the series{_last_column(last)}; of a table with a header, name the "
            "columns"
        )


def _are_classes(cells: Sequence[str]) -> bool:
    """Whether a column looks like classes: words or whole numbers that come again and again."""
    return all(map(_may_be_class, cells)) and 1 < len(set(cells)) <= max(len(cells) // _CASES_OF_CLASS, 2)


def _may_be_class(cell: str) -> bool:
    """Whether a cell is a word, a mark of an unknown class, or a whole number."""
    try:
        number = float(cell)
    except ValueError:
        return True
    return number.is_integer() or not np.isfinite(number)


def _last_column(cells: Sequence[str]) -> str:
    if not _are_classes(cells):
        return ": put a column of classes in front"
    return f". The last column looks like the classes ({len(set(cells))} different ones): put it in front"
