"""Lists of names that pandas pickles into HDF5 attributes, parsed without running."""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

from seurat_tracks.errors import SeuratTracksError

_STRINGS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_MARK = object()
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, StopIteration)


def names_of(path: Path, pickled: Any) -> list[tuple[str, ...]]:
    """Read a pickled list of tuples of strings, opcode by opcode.

    Nothing is unpickled: the few opcodes that make strings, tuples and lists are
    understood, and any other (those that import or call something first of all) is
    refused.

    Parameters
    ----------
    path
        The file, for errors.
    pickled : bytes
        The pickle.

    Returns
    -------
    list of tuple of str

    Raises
    ------
    SeuratTracksError
        If it is anything but a list of tuples of strings.

    Examples
    --------
    >>> import pickle
    >>> names_of(Path("a.h5"), pickle.dumps([("nose", "x")], protocol=0))
    [('nose', 'x')]
    """
    try:
        found = _evaluate(path, bytes(pickled))
    except SeuratTracksError:
        raise
    except _DAMAGE as error:
        raise SeuratTracksError(
            f"{path}: the names of its columns are damaged: {error}"
        ) from None
    if not isinstance(found, list) or not all(
        isinstance(names, tuple) and all(isinstance(n, str) for n in names)
        for names in found
    ):
        raise SeuratTracksError(
            f"{path}: the names of its columns are not tuples of strings"
        )
    return found


def _evaluate(path: Path, pickled: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        at = (
            len(stack)
            - 1
            - next(i for i, item in enumerate(reversed(stack)) if item is _MARK)
        )
        items = stack[at + 1 :]
        del stack[at:]
        return items

    for opcode, arg, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in _STRINGS:
            stack.append(arg)
        elif name in _PUTS:
            memo[int(str(arg))] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _GETS:
            stack.append(memo[int(str(arg))])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("LIST", "TUPLE"):
            items = marked()
            stack.append(items if name == "LIST" else tuple(items))
        elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append([] if name == "EMPTY_LIST" else ())
        elif name in _TUPLES:
            n = _TUPLES[name]
            items = stack[-n:]
            del stack[-n:]
            stack.append(tuple(items))
        elif name == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif name == "APPENDS":
            items = marked()
            stack[-1].extend(items)
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise SeuratTracksError(
                f"{path}: the names of its columns are a pickle that wants to do more "
                f"than list strings ({name}), which could run anything, and is not "
                "read. Cure: use the CSV file that DeepLabCut writes beside it"
            )
    raise ValueError("they end too early")
