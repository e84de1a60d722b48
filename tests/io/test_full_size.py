"""Every format at the size of a real video: 1,000 tracks over 500 frames."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from seurat_tracks.io.formats import FORMATS, KEEPS, export, read
from tests.benchmarks.pose_files import KINDS, names_of, write_poses
from tests.io.test_formats import READ, ROUND, keeps, make

TRACKS, FRAMES = 1000, 500
PACKAGES = {"deeplabcut ": "tables", "sleap": "sleap_io", "nwb": "pynwb"}
"""What writes files of poses, where it is more than pandas."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return make(TRACKS, FRAMES)


@pytest.mark.parametrize("name", ROUND)
def test_what_a_format_keeps_comes_back(
    name: str, ds: xr.Dataset, tmp_path: Path
) -> None:
    path = tmp_path / f"x{FORMATS[name].endings[0]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what has no place
        export(ds, path, name)
    back = read(path, **READ.get(name, {})).compute()
    apart = {"names", "support"}  # tested on small ones
    found = {w for w in KEEPS if w not in apart and keeps(ds, back, w, 1e-4)}
    found -= READ.get(name, {}).keys()
    assert found == FORMATS[name].keeps - apart


@pytest.mark.parametrize("kind", KINDS)
def test_poses_of_the_programs_own_libraries(
    kind: str, ds: xr.Dataset, tmp_path: Path
) -> None:
    if kind in PACKAGES or kind.strip() in PACKAGES:
        pytest.importorskip(PACKAGES.get(kind) or PACKAGES[kind.strip()])
    if kind == "nwb":
        pytest.importorskip("ndx_pose")
    path = tmp_path / f"x{KINDS[kind][1]}"
    write_poses(ds, kind, path)
    back = read(path, frame_size=ds.attrs["frame_size"])
    back = back.sel(track=names_of(ds))
    assert back.sizes["time"] == FRAMES
    seen = ds["visible"].transpose("track", "time").values
    xy = ds["xy"].transpose("track", "time", "coord").values
    np.testing.assert_array_equal(back["visible"].values, seen)
    np.testing.assert_allclose(back["xy"].values[seen], xy[seen], rtol=0, atol=1e-3)
    score = back["confidence"].values
    np.testing.assert_allclose(score[seen], 0.9, atol=1e-6)
