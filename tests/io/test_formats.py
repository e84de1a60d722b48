from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import seurat_tracks as st
from seurat_tracks.errors import FormatError
from seurat_tracks.io.formats import FORMATS, KEEPS, export, read, recognise
from seurat_tracks.schema import annotate, validate

SIZE = (160, 120)
K = [150.0, 151.0, 79.5, 59.5]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"

# options with which each file says enough to come back
WRITE: dict[str, dict[str, Any]] = {}
READ: dict[str, dict[str, Any]] = {
    "tapvid3d": {"frame_size": SIZE},
    "pointodyssey": {"frame_size": SIZE},
    "napari": {"frame_size": SIZE, "fps": 25.0},
}


def make(n: int = 30, t: int = 21, *, start: int = 4, ids: Any = None) -> xr.Dataset:
    """Tracks with gaps, guesses while hidden, a track never seen, and all variables."""
    rng = np.random.default_rng(5)
    z = rng.uniform(2, 4, (n, 1)) * np.exp(rng.normal(0, 0.01, (n, t)).cumsum(1))
    xy = rng.uniform(30, 90, (n, 1, 2)) + rng.normal(0, 0.3, (n, t, 2)).cumsum(1)
    gap = rng.random((n, t)) < 0.2
    visible = ~gap & (rng.random((n, t)) < 0.8)
    visible[:, [0, -1]] = True
    gap[:, [0, -1]] = False
    visible[3] = False
    xy[gap] = np.nan
    confidence = rng.random((n, t))
    confidence[0, 5] = np.nan
    ds = st.from_arrays(
        xy,
        visible,
        frame_size=SIZE,
        fps=25.0,
        ids=np.arange(n) * 3 + 2 if ids is None else ids,
        time=np.arange(t) + start,
        confidence=confidence,
        query_frame=start,
    )
    xyz = np.stack(
        [(xy[..., 0] - K[2]) / K[0] * z, (xy[..., 1] - K[3]) / K[1] * z, z], -1
    )
    xyz[gap] = np.nan
    dims = ("track", "time")
    ds = ds.assign_coords(axis=["x", "y", "z"], kind=("track", ["cell"] * n)).assign(
        log_depth_ratio=(dims, np.log(z / z[:, :1]).astype("f4")),
        depth_ratio_sigma=(dims, rng.random((n, t)).astype("f4")),
        depth=(dims, z.astype("f4")),
        xyz=((*dims, "axis"), xyz.astype("f4")),
        area=(dims, rng.integers(0, 9, (n, t))),
        mass=("track", rng.random(n)),
    )
    ds.attrs |= {"units": "m", "intrinsics": K, "tracker": "test", "cuts": [start + 2]}
    return annotate(ds)


def there_and_back(ds: xr.Dataset, name: str, folder: Path) -> xr.Dataset:
    form = FORMATS[name]
    path = folder / f"x{form.endings[0]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert export(ds, path, name, **WRITE.get(name, {})) == path
    assert recognise(path).name == name
    assert [p.name for p in folder.iterdir() if "partial" in p.name] == []
    back = read(path, **READ.get(name, {})).compute()
    validate(back)
    return back


def keeps(ds: xr.Dataset, back: xr.Dataset, what: str, place: float) -> bool:
    """Say whether `back` holds what `ds` does; positions are compared to `place`."""
    if what == "all_tracks":
        return back.sizes["track"] == ds.sizes["track"]
    if what == "time":
        return back.time.values.tolist() == ds.time.values.tolist()
    if what in ("frame_size", "fps"):
        return bool(back.attrs.get(what) == pytest.approx(ds.attrs[what]))
    if what == "units":
        return {"units", "tracker", "cuts"} <= back.attrs.keys()
    if what == "own":
        return {"area", "mass", "kind"} <= set(back.variables)
    if what == "support":
        return "support_xy" in back
    seen = ds.visible.any("time").values
    kept = ds.isel(track=seen) if back.sizes["track"] < ds.sizes["track"] else ds
    if what == "ids":
        return list(back.track.values) == list(kept.track.values)
    if what == "visibility":
        where = kept.visible.values
        same = np.array_equal(back.visible.values, where)
        return same and np.allclose(
            back.xy.values[where], kept.xy.values[where], atol=place, rtol=0
        )
    if what == "hidden":
        return np.allclose(
            back.xy.values, kept.xy.values, atol=place, rtol=0, equal_nan=True
        )
    names = {
        "confidence": ["confidence"],
        "3d": ["xyz"],
        "depth_ratio": ["log_depth_ratio", "depth_ratio_sigma"],
    }[what]
    return all(
        n in back and np.allclose(back[n].values, kept[n].values, equal_nan=True)
        for n in names
    )


ROUND = [name for name, f in FORMATS.items() if f.read and f.write]


class TestRoundTrip:
    @pytest.mark.parametrize("name", ROUND)
    def test_what_is_said_to_be_kept_is_kept_and_the_rest_is_lost(self, name, tmp_path):
        ds = make()
        back = there_and_back(ds, name, tmp_path)
        # a fraction of the frame in float32 is good to 1e-5 pixels
        found = {
            w
            for w in KEEPS
            if w not in ("names", "support") and keeps(ds, back, w, 2e-5)
        }
        found -= READ.get(name, {}).keys()  # that was told, not read
        assert found == FORMATS[name].keeps - {"names", "support"}

    @pytest.mark.parametrize("name", [n for n in ROUND if "names" in FORMATS[n].keeps])
    def test_string_ids(self, name, tmp_path):
        ids = ['a,"b"', "ö b", "7", "-1", " x", *(f"n{i}" for i in range(25))]
        ds = make(ids=ids)
        back = there_and_back(ds, name, tmp_path)
        assert back.track.values.tolist() == ids
        np.testing.assert_array_equal(back.visible.values, ds.visible.values)

    @pytest.mark.parametrize("name", ["trackmate", "napari"])
    def test_string_ids_are_numbered_only_when_asked(self, name, tmp_path):
        ds = make(ids=[f"n{i}" for i in range(30)])
        with pytest.raises(FormatError, match="number_ids=True"):
            export(ds, tmp_path / "x", name)
        with pytest.warns(UserWarning, match="has no place for"):
            export(ds, tmp_path / "x", name, number_ids=True)
        assert not (
            set(read(tmp_path / "x", frame_size=SIZE).track.values) - {*range(30)}
        )

    @pytest.mark.parametrize("name", ["zarr", "csv", "parquet"])
    def test_everything_comes_back_exactly(self, name, tmp_path):
        ds = make()
        xr.testing.assert_identical(there_and_back(ds, name, tmp_path), ds)

    @pytest.mark.parametrize("name", ["csv", "parquet"])
    def test_lazy_data_and_other_orders_of_dimensions(self, name, tmp_path):
        ds = make()
        ds["area"] = ds["area"].transpose("time", "track")
        back = there_and_back(ds.chunk({"track": 7}), name, tmp_path)
        xr.testing.assert_identical(back, ds)

    def test_all_that_a_format_keeps_has_a_name(self):
        for form in FORMATS.values():
            assert form.keeps <= set(KEEPS)


class TestDoors:
    def test_the_accessor(self, tmp_path):
        ds = make()
        path = ds.seurat.export(tmp_path / "x.parquet")
        xr.testing.assert_identical(st.read(path), ds)

    def test_content_decides_not_the_ending(self, tmp_path):
        path = export(make(), tmp_path / "x.parquet").rename(tmp_path / "x.csv")
        assert recognise(path).name == "parquet"

    def test_an_unknown_file_lists_what_was_looked_for(self, tmp_path):
        path = tmp_path / "x.bin"
        path.write_bytes(b"nothing that anyone knows\n1 2 3\n")
        with pytest.raises(
            FormatError, match=r"(?s)Looked for.*csv:.*parquet:.*napari"
        ):
            read(path)

    def test_empty_and_absent(self, tmp_path):
        (tmp_path / "x.csv").write_bytes(b"")
        with pytest.raises(FormatError, match="is empty"):
            read(tmp_path / "x.csv")
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "y.csv")

    def test_two_formats_that_fit_are_an_error(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez(
            path,
            tracks=np.zeros((4, 3, 2)),
            points=np.zeros((3, 4, 2)),
            occluded=np.zeros((3, 4), bool),
        )
        with pytest.raises(FormatError, match=r"cotracker .*tapvid .*format="):
            read(path, frame_size=SIZE)
        named = path.rename(tmp_path / "x.tapvid.npz")
        assert recognise(named).name == "tapvid"

    def test_an_ending_of_several_formats_is_an_error(self, tmp_path):
        with pytest.raises(FormatError, match=r"several formats.*x\.cotracker\.npz"):
            export(make(), tmp_path / "x.npz")
        with pytest.raises(FormatError, match=r"no format ends so.*\.parquet"):
            export(make(), tmp_path / "x.doc")
        assert list(tmp_path.iterdir()) == []

    def test_names_are_checked(self, tmp_path):
        with pytest.raises(FormatError, match=r"'cvs'; .*csv"):
            export(make(), tmp_path / "x", "cvs")
        export(make(), tmp_path / "x.csv")
        with pytest.raises(FormatError, match="takes no size; its options are frame_s"):
            read(tmp_path / "x.csv", size=SIZE)

    @pytest.mark.parametrize("name", ROUND)
    def test_nothing_is_replaced_unless_asked(self, name, tmp_path):
        path = tmp_path / f"x{FORMATS[name].endings[0]}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            export(make(), path, name)
            with pytest.raises(ValueError, match="overwrite=True"):
                export(make(), path, name)
            export(make(9), path, name, overwrite=True)
        assert read(path, **READ.get(name, {})).sizes["track"] in (8, 9)

    @pytest.mark.parametrize("name", ["csv", "parquet", "cotracker", "trackmate"])
    def test_a_failed_write_leaves_what_was_there(self, name, tmp_path, monkeypatch):
        path = tmp_path / f"x{FORMATS[name].endings[0]}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            export(make(), path, name)
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

        def full(*args: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("seurat_tracks.io._files.os.replace", full)
        with pytest.raises(OSError, match="No space"):
            export(make(9), path, name, overwrite=True)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    def test_support_is_named_as_lost(self, tmp_path):
        ds = make()
        ds = ds.assign_coords(
            window_start=("window", [4]), window_stride=("window", [1])
        ).assign(
            support_xy=(
                ("window", "support", "step", "coord"),
                np.zeros((1, 2, 8, 2), "f4"),
            ),
            support_visible=(("window", "support", "step"), np.ones((1, 2, 8), bool)),
        )
        with pytest.warns(
            UserWarning, match="no place for support_xy, support_visible"
        ):
            export(ds, tmp_path / "x.csv")
        assert "support_xy" not in read(tmp_path / "x.csv")
        export(ds, tmp_path / "x.zarr")
        assert "support_xy" in read(tmp_path / "x.zarr")

    def test_tracks_that_are_not_lifted_have_no_3d(self, tmp_path):
        ds = make()[["xy", "visible"]]
        for name in ("tapvid3d", "pointodyssey"):
            with pytest.raises(FormatError, match="lift3d"):
                export(ds, tmp_path / "x.npz", name)
        with pytest.raises(FormatError, match="lift3d"):
            export(ds, tmp_path / "x.napari.csv", space="camera")

    def test_docs_speak_of_every_format(self):
        text = DOCS.read_text("utf-8")
        for name, form in FORMATS.items():
            assert f"| `{name}` |" in text
            for ending in form.endings:
                assert ending in text
