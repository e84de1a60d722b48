"""Fingerprints of what goes into a lift, so that none is continued with other input."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

_ENDS = 2**20  # bytes at either end of a large file that are looked at
_CHECKSUM = 64  # last bytes of a chunk: the end of its data and its checksum


def digest(facts: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of JSON values."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_store(path: Path) -> str:
    """Fingerprint of a Zarr store, from metadata and the checksums of its chunks.

    Copying the store does not change it; changing any chunk does.
    """
    sha = hashlib.sha256()
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            size = file.stat().st_size
            sha.update(f"{file.relative_to(path).as_posix()} {size} ".encode())
            with file.open("rb") as data:
                if name != "zarr.json":
                    data.seek(max(0, size - _CHECKSUM))
                sha.update(data.read())
    return sha.hexdigest()[:16]


def of_file(path: Path) -> str:
    """Fingerprint of a file or a folder of files: sizes and both ends of each."""
    if path.is_dir():
        if (path / "zarr.json").is_file():
            return of_store(path)
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    else:
        files = [path]
    sha = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        sha.update(f"{name} {size} ".encode())
        with file.open("rb") as data:
            sha.update(data.read(_ENDS))
            data.seek(max(_ENDS, size - _ENDS))
            sha.update(data.read())
    return sha.hexdigest()[:16]


def of_array(values: Any) -> str:
    """Fingerprint of an array; of one not in memory, of three parts of its first axis.

    Parts that Dask would have to compute are not looked at, only their names.
    """
    shape, dtype = tuple(values.shape), str(values.dtype)
    data = getattr(values, "data", None)
    for lazy in (values, data):
        if hasattr(lazy, "dask"):
            return digest([shape, dtype, str(getattr(lazy, "name", ""))])
    if isinstance(values, np.ndarray) and not isinstance(values, np.memmap):
        parts = [values]
    else:
        n = shape[0]
        parts = [np.asarray(values[i]) for i in sorted({0, n // 2, n - 1} if n else ())]
    sha = hashlib.sha256(f"{shape} {dtype}".encode())
    for part in parts:
        sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()[:16]


def of_source(source: Any) -> Any:
    """JSON values that tell one depth source from another."""
    if source is None:
        return None
    facts: dict[str, Any] = {"type": type(source).__name__, "name": source.name}
    for name, value in sorted(vars(source).items()):
        if name.startswith("_"):
            continue
        if value is None or isinstance(value, bool | int | float | str):
            facts[name] = value
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            facts[name] = of_array(value)
        elif isinstance(value, dict):
            facts[name] = digest(sorted([repr(k), repr(v)] for k, v in value.items()))
    model, video = getattr(source, "model", None), getattr(source, "video", None)
    if model is not None:
        facts["model"] = [str(model.name), str(model.digest)]
    if isinstance(video, str | os.PathLike):
        facts["video"] = of_file(Path(video).expanduser())
    return facts
