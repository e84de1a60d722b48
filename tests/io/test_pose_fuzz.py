"""Real files with bytes changed, cut or repeated: our own errors, or tracks."""

from __future__ import annotations

import contextlib
import resource
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.io import deeplabcut, movement, nwb, sleap
from seurat_tracks.io.formats import export, read, recognise
from tests.fixtures.cube import make_cube
from tests.fixtures.poses import FRAME_SIZE, sleap_labels, write_deeplabcut, write_nwb

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")

READERS = {
    "csv": deeplabcut.read_deeplabcut,
    "table": deeplabcut.read_deeplabcut,
    "fixed": deeplabcut.read_deeplabcut,
    "slp": sleap.read_sleap,
    "analysis": sleap.read_sleap,
    "nwb": nwb.read_nwb,
    "netcdf": movement.read_movement,
}
MODULES = (deeplabcut, sleap, nwb, movement)
MOST_BYTES = 400 * 2**20


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    pytest.importorskip("h5py", reason="h5py is not installed")
    folder = tmp_path_factory.mktemp("poses")
    made = {"csv": write_deeplabcut(folder / "a.csv")}
    for form in ("table", "fixed"):
        made[form] = write_deeplabcut(folder / f"{form}.h5", form=form)
    sio = pytest.importorskip("sleap_io", reason="sleap-io is not installed")
    sio.save_slp(sleap_labels(), str(folder / "a.slp"))
    sio.save_analysis_h5(sleap_labels(), str(folder / "analysis.h5"))
    made |= {"slp": folder / "a.slp", "analysis": folder / "analysis.h5"}
    made["nwb"] = write_nwb(folder / "a.nwb")
    made["netcdf"] = movement.write_movement(make_cube(), folder / "a.nc")
    return {kind: path.read_bytes() for kind, path in made.items()}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("csv", "deeplabcut"),
        ("table", "deeplabcut"),
        ("fixed", "deeplabcut"),
        ("slp", "sleap"),
        ("analysis", "sleap"),
        ("nwb", "nwb"),
        ("netcdf", "movement"),
    ],
)
def test_content_says_what_a_file_is(kind, name, originals, tmp_path):
    path = tmp_path / "file"  # no ending helps
    path.write_bytes(originals[kind])
    assert recognise(path).name == name
    ds = read(path, **({} if kind == "netcdf" else {"frame_size": FRAME_SIZE}))
    assert ds.sizes["track"] == (8 if kind == "netcdf" else 4)


@pytest.mark.parametrize("ending", [".ply", ".glb", ".nc"])
def test_poses_go_out_by_the_ending_and_replace_nothing(ending, tmp_path):
    path = tmp_path / f"x{ending}"
    if ending == ".nc":
        pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
    assert export(make_cube(), path) == path
    before = path.read_bytes()
    with pytest.raises(SeuratTracksError, match="overwrite=True"):
        export(make_cube(), path)
    assert path.read_bytes() == before
    export(make_cube(), path, overwrite=True)


@st.composite
def damage(draw):
    """Give a list of changes: where (0..1), what, and which bytes."""
    where = st.floats(0, 1, exclude_max=True)
    what = st.sampled_from(["set", "set", "set", "cut", "drop", "repeat"])
    one = st.tuples(where, what, st.binary(min_size=1, max_size=9))
    return draw(st.lists(one, min_size=1, max_size=5))


def apply(raw: bytes, changes) -> bytes:
    out = bytearray(raw)
    for where, what, new in changes:
        at = int(where * max(len(out), 1))
        if what == "set":
            out[at : at + len(new)] = new
        elif what == "cut":
            del out[at:]
        elif what == "drop":
            del out[at : at + len(new)]
        else:
            out[at:at] = out[at : at + 64]
    return bytes(out)


# h5netcdf's destructor fails on a file that its constructor refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", READERS)
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=damage())
def test_damaged_files_give_our_errors(kind, originals, tmp_path, changes):
    path = tmp_path / "damaged"
    path.write_bytes(apply(originals[kind], changes))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of odd contents
        for module in MODULES:
            assert module.recognises(path) in (True, False)
        with contextlib.suppress(SeuratTracksError):
            READERS[kind](path, frame_size=FRAME_SIZE).load()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MOST_BYTES
