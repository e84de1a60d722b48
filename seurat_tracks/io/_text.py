"""Tables in text, read part by part; a bad row is named by its line."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from seurat_tracks.errors import FormatError

SEPARATORS = (",", ";", "\t")
"""What may stand between two fields."""

LONGEST = 2**20
"""No line of a table is longer, in characters."""

MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "ø"})
"""What stands for no value, in small letters ("ø" is TrackMate's)."""

_PART = 50_000
_TRUE = {"1": True, "true": True, "t": True, "yes": True, "1.0": True}
_FALSE = {"0": False, "false": False, "f": False, "no": False, "0.0": False}
_FLAGS = _TRUE | _FALSE


@dataclass
class Part:
    """Some rows.

    Attributes
    ----------
    lines
        Line number of each row, from 1.
    fields
        Fields of each row.
    """

    lines: list[int]
    fields: list[list[str]]


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a table as UTF-8, with or without a byte-order mark.

    Raises
    ------
    FormatError
        If it turns out not to be text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            yield file
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not UTF-8 text (byte {error.object[error.start]:#04x}): save "
            "it as CSV in UTF-8"
        ) from None


def split(line: str, separator: str) -> list[str]:
    """Split a line into fields, quotes removed.

    Raises
    ------
    ValueError
        If a quote is not closed on the line.
    """
    line = line.rstrip("\n")
    if '"' not in line:
        return line.split(separator)
    try:
        (fields,) = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        raise ValueError("a quoted field does not end on its line") from None
    return fields


POSE_ROWS = {
    3: ("scorer", "bodyparts", "coords"),
    4: ("scorer", "individuals", "bodyparts", "coords"),
}
"""Several rows of names, as DeepLabCut writes them: what each begins with."""


def pose_rows(lines: Sequence[str]) -> int:
    """Say how many rows of names the first lines of a table of DeepLabCut are, or 0."""
    firsts = [columns(line)[1][0] for line in lines[:4]]
    return next((n for n, v in POSE_ROWS.items() if firsts[:n] == list(v)), 0)


def header(head: bytes) -> list[str] | None:
    """Return the column names in the first bytes of a file.

    None if it is no text, or has several rows of names: whatever stands in the first of
    them, such as a scorer called ``track``, is no name of a column.
    """
    if b"\0" in head:
        return None
    text = head.decode("utf-8-sig", errors="replace")
    first = text.lstrip().splitlines()[:1]
    if not first or "�" in first[0] or pose_rows(text.splitlines()):
        return None
    return columns(first[0])[1]


def columns(line: str) -> tuple[str, list[str]]:
    """Return the separator of a header, and its names."""
    separator = max(SEPARATORS, key=line.count)
    try:
        names = split(line, separator)
    except ValueError:
        names = line.split(separator)
    return separator, [name.strip() for name in names]


def next_line(path: Path, file: TextIO, number: int) -> str:
    """Read a line; empty at the end of the file."""
    line = file.readline(LONGEST)
    if len(line) >= LONGEST:
        raise FormatError(
            f"{path}, line {number} has more than {LONGEST} characters: it is no table"
        )
    return line


def parts(
    path: Path, file: TextIO, separator: str, names: Sequence[str], first: int
) -> Iterator[Part]:
    """Read the rows after the header; lines without text are passed over.

    Parameters
    ----------
    path, file
        The file, at the line after the header.
    separator, names
        As in the header.
    first
        Number of the next line.

    Raises
    ------
    FormatError
        If a row has more or fewer fields than the header; names its line.
    """
    n, number = len(names), first
    while True:
        lines, fields, before = [], [], number
        for line in itertools.islice(file, _PART):
            if line.strip():
                try:
                    row = split(line, separator)
                except ValueError as error:
                    raise bad_row(path, number, line, str(error)) from None
                if len(row) != n:
                    hint = ""
                    if len(row) < n and not line.endswith("\n"):
                        hint = "; the file is cut short"
                    raise bad_row(
                        path, number, line, f"it has {len(row)} fields, not {n}{hint}"
                    )
                lines.append(number)
                fields.append(row)
            number += 1
        if lines:
            yield Part(lines, fields)
        if number == before:
            return


def bad_row(path: Path, number: int, line: str, why: str) -> FormatError:
    """Make the error that names a row by its line and text."""
    text = line.strip()
    text = text if len(text) <= 120 else text[:120] + "..."
    return FormatError(f"{path}, line {number}: {why}. The line: {text!r}")


def convert(
    path: Path,
    part: Part,
    column: int,
    name: str,
    one: Callable[[str], Any],
    separator: str,
) -> list[Any]:
    """Turn the fields of a column into values; a bad one names its row.

    Raises
    ------
    FormatError
        If `one` raises ValueError.
    """
    try:
        return [one(row[column]) for row in part.fields]
    except (ValueError, OverflowError):
        pass
    for number, row in zip(part.lines, part.fields, strict=True):
        try:
            one(row[column])
        except (ValueError, OverflowError) as error:
            why = f"{name} is {row[column]!r}, which is {_said(error)}"
            if "," in row[column] and separator != ",":
                why += "; write decimals with a point"
            raise bad_row(path, number, separator.join(row), why) from None
    raise AssertionError("the fault was gone when looked for")


def _said(error: Exception) -> str:
    text = str(error)
    return text if text.startswith("no ") else "no number"


def number(text: str) -> float:
    """Read a number; NaN where there is none."""
    try:
        value = float(text)
    except ValueError:
        if text.strip().lower() in MISSING:
            return math.nan
        raise ValueError("no number") from None
    if value in (math.inf, -math.inf):
        raise ValueError("no finite number")
    return value


def whole(text: str) -> int:
    """Read an integer, written as one or as 3.0."""
    try:
        value = int(text)
    except ValueError:
        try:
            real = float(text)
        except ValueError:
            raise ValueError("no frame number") from None
        if not math.isfinite(real) or real != int(real):
            raise ValueError("no whole frame number") from None
        value = int(real)
    if abs(value) >= 2**62:
        raise ValueError("no possible frame number")
    return value


def flag(text: str) -> int:
    """Read a flag: 1, 0, or -1 where there is none."""
    value = _FLAGS.get(text)
    if value is not None:
        return value
    text = text.strip().lower()
    if text in _FLAGS:
        return _FLAGS[text]
    if text in MISSING:
        return -1
    raise ValueError("no flag: write 1 or 0, true or false")


def label(text: str) -> str:
    """Read an id."""
    text = text.strip()
    if text.lower() in MISSING:
        raise ValueError("no id")
    return text


def array(values: list[Any], dtype: Any) -> np.ndarray:
    """Make an array of values that fit."""
    return np.array(values, dtype)


def choose(
    names: Sequence[str],
    wanted: Mapping[str, Sequence[str]],
    given: Mapping[str, str] | None,
    path: Path,
) -> dict[str, int]:
    """Find columns by the names they may have, capitals or not.

    Parameters
    ----------
    names
        Those of the table.
    wanted
        For each column its names, the first found counts.
    given
        The caller's own names for some.
    path
        For errors.

    Returns
    -------
    dict
        Position of each column that is there.

    Raises
    ------
    FormatError
        If a given name is not there, or not one of `wanted`.
    """
    small = [name.strip().lower() for name in names]
    given = dict(given or {})
    unknown = sorted(set(given) - set(wanted))
    absent = sorted(name for name in given.values() if name not in names)
    if unknown or absent:
        raise FormatError(
            f"{path}: columns= names {', '.join([*unknown, *absent])}: its keys are "
            f"among {', '.join(wanted)}, its values among {', '.join(names)}"
        )
    found = {}
    for key, spellings in wanted.items():
        if key in given:
            found[key] = list(names).index(given[key])
            continue
        for spelling in spellings:
            if spelling in small:
                found[key] = small.index(spelling)
                break
    return found
