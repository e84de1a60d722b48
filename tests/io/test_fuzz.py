"""Damaged, random and lying files: our own errors and bounded memory, nothing else."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import seurat_tracks as st
from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io.formats import FORMATS, recognise
from tests.io.test_formats import SIZE, make

KINDS = {
    "csv": ("csv", {}),
    "others.csv": ("csv", {"frame_size": SIZE}),
    "pq": ("parquet", {}),
    "cotracker.npz": ("cotracker", {}),
    "npy": ("cotracker", {"frame_size": SIZE}),
    "tapvid.npz": ("tapvid", {}),
    "tapvid3d.npz": ("tapvid3d", {"frame_size": SIZE}),
    "pointodyssey.npz": ("pointodyssey", {"frame_size": SIZE}),
    "xml": ("trackmate", {}),
    "tracks.xml": ("trackmate", {"frame_size": SIZE}),
    "trackmate.csv": ("trackmate", {"frame_size": SIZE}),
    "napari.csv": ("napari", {"frame_size": SIZE}),
    "napari.npy": ("napari", {"frame_size": SIZE}),
}
MOST = 400 * 2**20
"""Bytes: the arrays of `seurat_tracks.io._rows.CELLS` cells, and their checks."""

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small real files of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    ds = make(5, 6)
    files = {}
    for kind, (name, _) in KINDS.items():
        path = folder / f"x.{kind}"
        options = {"layout": "tracks"} if kind == "tracks.xml" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            st.export(ds, path, name, **options)
        files[kind] = path.read_bytes()
    files["csv.json"] = (folder / "x.csv.json").read_bytes()
    return files


def attempt(path: Path, name: str | None, **options: Any) -> None:
    """Read; nothing but our own errors, and little memory."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            st.read(path, name, **options)
    except SeuratTracksError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST


@some.composite
def damage(draw: some.DrawFn, data: bytes) -> bytes:
    """Cut, overwrite, repeat, or remove bytes."""
    mutable = bytearray(data)
    for _ in range(draw(some.integers(1, 4))):
        at = draw(some.integers(0, max(len(mutable) - 1, 0)))
        how = draw(some.sampled_from(["cut", "write", "repeat", "remove", "insert"]))
        if how == "cut":
            del mutable[at:]
        elif how == "write":
            new = draw(some.binary(min_size=1, max_size=8))
            mutable[at : at + len(new)] = new
        elif how == "repeat":
            mutable[at:at] = mutable[at : at + draw(some.integers(1, 200))]
        elif how == "remove":
            del mutable[at : at + draw(some.integers(1, 20))]
        else:
            text = [
                "9" * 12,
                "-1",
                "nan",
                "1e308",
                "inf",
                '"',
                ",",
                "\n",
                "\0",
                "<",
                "ø",
            ]
            mutable[at:at] = draw(some.sampled_from(text)).encode()
    return bytes(mutable)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, whole, tmp_path):
    name, options = KINDS[kind]

    @QUICK
    @given(some.data())
    def run(data):
        path = tmp_path / f"x.{kind}"
        path.write_bytes(data.draw(damage(whole[kind])))
        if kind == "csv":
            (tmp_path / "x.csv.json").write_bytes(whole["csv.json"])
        attempt(path, name, **options)

    run()


def test_damaged_metadata(whole, tmp_path):
    @QUICK
    @given(some.data())
    def run(data):
        (tmp_path / "x.csv").write_bytes(whole["csv"])
        side = data.draw(damage(whole["csv.json"]))
        (tmp_path / "x.csv.json").write_bytes(side)
        attempt(tmp_path / "x.csv", "csv")

    run()


def test_random_bytes(tmp_path):
    starts = [
        b"",
        b"PK\3\4",
        b"\x93NUMPY\1\0",
        b"PAR1",
        b"<Tracks",
        b"\xef\xbb\xbfID,T",
    ]
    starts += [
        b"track,frame,x,y\n",
        b"ID,T,Y,X\n",
        b"TRACK_ID,FRAME,POSITION_X,POSITION_Y\n",
    ]
    names = [None, *(n for n in FORMATS if n != "zarr")]

    @QUICK
    @given(
        some.sampled_from(starts), some.binary(max_size=300), some.sampled_from(names)
    )
    def run(start, rest, name):
        path = tmp_path / "x"
        path.write_bytes(start + rest)
        options = {} if name is None else {"frame_size": SIZE}
        attempt(path, name, **options)

    run()


def test_tables_of_random_fields(tmp_path):
    field = some.one_of(
        some.integers(-3, 40).map(str),
        some.floats().map(str),
        some.text(max_size=4),
        some.sampled_from(["", "nan", "1", "0", "true", "7.5", "1_0", "٣"]),
    )
    row = some.lists(field, min_size=6, max_size=6).map(",".join)

    @QUICK
    @given(some.lists(row, max_size=12))
    def run(rows):
        path = tmp_path / "x.csv"
        head = "track,frame,x,y,visible,confidence\n"
        path.write_bytes((head + "\n".join(rows)).encode("utf-8", "surrogatepass"))
        attempt(path, "csv", frame_size=SIZE)

    run()


def test_lying_headers(tmp_path):
    shapes = some.lists(some.integers(0, 10**13), max_size=5).map(tuple)
    types = ["<f4", ">f8", "|b1", "<i8", "|O", "|S5", "<U3", "<M8[s]", "|V4", "<c16"]
    names = ["tracks", "points", "occluded", "visibility", "tracks_XYZ", "trajs_2d"]

    @QUICK
    @given(
        some.dictionaries(
            some.sampled_from(names),
            some.tuples(shapes, some.sampled_from(types), some.binary(max_size=96)),
        ),
        some.booleans(),
    )
    def run(members, shrink):
        how = zipfile.ZIP_DEFLATED if shrink else zipfile.ZIP_STORED
        with zipfile.ZipFile(tmp_path / "x.npz", "w", how) as archive:
            for name, (shape, descr, data) in members.items():
                file = io.BytesIO()
                header = {"descr": descr, "fortran_order": shrink, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                archive.writestr(f"{name}.npy", file.getvalue() + data)
        for form in ("cotracker", "tapvid", "tapvid3d", "pointodyssey"):
            attempt(tmp_path / "x.npz", form, frame_size=SIZE)
        with contextlib.suppress(SeuratTracksError):
            recognise(tmp_path / "x.npz")

    run()
