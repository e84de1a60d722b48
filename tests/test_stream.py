from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import seurat_tracks as st
from seurat_tracks.depth import Known
from seurat_tracks.errors import (
    CameraError,
    DepthError,
    SchemaError,
    SeuratTracksError,
    TrackerError,
    VideoError,
    WeightsError,
)
from seurat_tracks.model.pretrained import cached_network, find_weights, load_model
from seurat_tracks.schema import validate
from seurat_tracks.streaming import join
from seurat_tracks.streaming.batch import Batch
from seurat_tracks.streaming.shot import Settings, Shot
from seurat_tracks.streaming.support import FromTracks, Schedule
from seurat_tracks.windows import plan_windows
from tests.fixtures.videos import planar_clip

SIZE = (320, 240)
CALM = {"strides": (1, 2), "device": "cpu"}
"""Blocks of 14 frames, a delay of 28."""


def drive(
    n: int = 12, frames: int = 62, *, seed: int = 0, confidence: bool = False
) -> xr.Dataset:
    """Points that a camera drives towards, hidden once they leave the frame."""
    rng = np.random.default_rng(seed)
    world = rng.uniform((-4, -3, 6), (4, 3, 14), (n, 3))
    z = world[:, None, 2] - 0.05 * np.arange(frames)
    xy = 260 * world[:, None, :2] / z[..., None] + np.array([159.5, 119.5])
    xy += rng.normal(0, 0.05, xy.shape)
    seen = ((xy >= 0) & (xy <= np.array(SIZE) - 1)).all(-1)
    seen[0, :20] = False  # comes late
    keep = seen.any(1)
    return st.from_arrays(
        np.where(seen[..., None], xy, np.nan)[keep],
        seen[keep],
        frame_size=SIZE,
        fps=25,
        ids=[f"p{k}" for k in np.flatnonzero(keep)],
        confidence=np.where(seen, 0.5, np.nan)[keep] if confidence else None,
    )


def cut_up(ds: xr.Dataset, length: int) -> list[xr.Dataset]:
    n = ds.sizes["time"]
    return [ds.isel(time=slice(k, k + length)) for k in range(0, n, length)]


def same(a: xr.Dataset, b: xr.Dataset, atol: float, sigma: float = 0.0) -> None:
    """Compare two answers wherever the point had been seen before.

    Error bars may differ by a share ``sigma`` as well: a stream judges windows by how
    they have disagreed so far, the whole fit by how they do over the whole track.
    """
    assert a.track.values.tolist() == b.track.values.tolist()
    known = b.visible.cumsum("time").values > 0
    for name, rtol in (("log_depth_ratio", 1e-7), ("depth_ratio_sigma", sigma + 1e-7)):
        np.testing.assert_allclose(
            *(d[name].values[known] for d in (a, b)), rtol, atol, err_msg=name
        )
        assert np.isnan(a[name].values[~known]).all()


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return drive(confidence=True)


@pytest.fixture(scope="module")
def whole(ds: xr.Dataset) -> xr.Dataset:
    return st.depth_ratio(ds, **CALM)


@pytest.fixture(scope="module")
def pieces(ds: xr.Dataset) -> list[xr.Dataset]:
    return list(st.stream(cut_up(ds, 5), **CALM))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return planar_clip("zoom", 34, (160, 120))[0]


# -- windows ------------------------------------------------------------------------


@pytest.mark.parametrize("strides", [(1,), (1, 2, 4), (3,)])
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 14, 15, 16, 29, 30, 45, 61])
def test_windows_are_those_of_the_whole_video(
    strides: tuple[int, ...], n: int, rng: np.random.Generator
) -> None:
    schedule = Schedule(strides)
    found = set()
    for k in [*np.sort(rng.integers(0, n, 3)).tolist(), n]:
        start, stride = schedule.due(k)
        assert (start + 7 * stride < k).all()
        found |= set(zip(start.tolist(), stride.tolist(), strict=True))
    start, stride = schedule.last(n)
    last = set(zip(start.tolist(), stride.tolist(), strict=True))
    assert not last & found
    plan = plan_windows(n, strides=strides)
    assert found | last == set(
        zip(plan.start.tolist(), plan.stride.tolist(), strict=True)
    )


# -- answers ------------------------------------------------------------------------


def test_with_all_blocks_open_it_is_the_answer_of_the_whole_video(
    ds: xr.Dataset, whole: xr.Dataset
) -> None:
    same(join(st.stream(ds, lag=9, **CALM)), whole, 2e-5)


def test_with_a_delay_it_is_nearly_that(
    pieces: list[xr.Dataset], whole: xr.Dataset
) -> None:
    assert len(pieces) > 2
    out = join(pieces)
    assert abs(whole.log_depth_ratio).max() > 0.2
    same(out, whole, 3e-3, sigma=0.3)
    for name in ("xy", "visible", "confidence", "seconds", "reference_frame"):
        xr.testing.assert_identical(out[name].drop_attrs(), whole[name].drop_attrs())
        assert out[name].dtype == whole[name].dtype


def test_how_frames_are_bundled_does_not_matter(
    ds: xr.Dataset, pieces: list[xr.Dataset]
) -> None:
    for length in (1, 14, 40, 62):
        other = list(st.stream(cut_up(ds, length), **CALM))
        assert len(other) == len(pieces)
        for a, b in zip(pieces, other, strict=True):
            xr.testing.assert_identical(a, b)


def test_every_piece_keeps_the_contract(pieces: list[xr.Dataset]) -> None:
    time = np.concatenate([p.time.values for p in pieces])
    assert time.tolist() == list(range(62))
    for piece in pieces:
        validate(piece, require=("log_depth_ratio", "depth_ratio_sigma"))
        assert piece.log_depth_ratio.dtype == np.float32
        assert piece.attrs["model_hash"] == load_model().hash
        assert piece.attrs["delay"] == 28
        assert "reference_frame" not in piece.coords
    assert pieces[0].first_seen.sel(track="p0") == -1
    assert pieces[1].first_seen.sel(track="p0") == 20
    late = join(pieces[1:])
    assert late.first_seen.sel(track="p0") == 20
    assert "reference_frame" not in late.coords
    validate(join(pieces), require=("log_depth_ratio",))


def test_order_of_tracks_does_not_matter(
    ds: xr.Dataset, pieces: list[xr.Dataset]
) -> None:
    turned = ds.isel(track=slice(None, None, -1))
    mixed = [
        p if k % 2 else turned.sel(time=p.time) for k, p in enumerate(cut_up(ds, 5))
    ]
    out = join(st.stream(mixed, **CALM))
    assert out.track.values.tolist() == turned.track.values.tolist()
    same(out.sel(track=ds.track.values), join(pieces), 2e-5)


@pytest.mark.parametrize("lag", [1, 2])
def test_the_delay_is_what_it_says(ds: xr.Dataset, lag: int) -> None:
    come = 0

    def source() -> Iterator[xr.Dataset]:
        nonlocal come
        for piece in cut_up(ds, 1):
            come += 1
            yield piece

    for piece in st.stream(source(), lag=lag, **CALM):
        first, delay = int(piece.time[0]), piece.attrs["delay"]
        assert delay == (lag + 1) * 14
        # frame `first` is there when the frame `delay` after it is, or at the end
        assert come - 1 == min(first + delay, 61)


def test_a_block_may_end_with_the_stream(ds: xr.Dataset) -> None:
    """The last windows are shifted back into frames that must still be open."""
    short = ds.isel(time=slice(0, 28))
    out = join(st.stream(short, **CALM))
    same(out, st.depth_ratio(short, **CALM), 2e-5)


def test_short_streams(ds: xr.Dataset) -> None:
    for n in (2, 7, 8):
        some = ds.isel(time=slice(0, n), track=slice(1, None))
        (piece,) = st.stream(some, **CALM)
        same(join([piece]), st.depth_ratio(some, **CALM), 2e-5)


# -- memory -------------------------------------------------------------------------


def settings(lag: int = 1, forget: int = 30) -> Settings:
    info, path = load_model(), find_weights()
    network = cached_network(str(path), info.hash, "cpu")
    return Settings(network, SIZE, None, None, None, lag, forget)


def test_nothing_grows_with_time() -> None:
    """Points come and go for ever; what is held stays as it is."""
    shot = Shot(settings(forget=5), FromTracks((1,), SIZE), {})
    sizes = []
    rng = np.random.default_rng(0)
    for t in range(140):
        ids = np.arange(t // 10 * 4, t // 10 * 4 + 8)
        place = rng.uniform(10, 200, (8, 1, 2)).astype(np.float32)
        batch = Batch(np.array([t]), ids, place, np.ones((8, 1), bool))
        for _ in shot.add(batch):
            windows = shot._curves._groups[0].fit._windows
            assert windows is not None
            sizes.append(
                (
                    len(shot._buffer),
                    len(shot._buffer.time),
                    len(shot._curves),
                    len(shot._curves._groups),
                    len(windows.frames),
                )
            )
    later = np.array(sizes[4:])
    assert later.shape == (14, 5)
    assert later[:, 0].max() <= 24
    assert later[:, 1].max() <= 14
    assert (later[:, 2] <= later[:, 0]).all()
    assert (later[:, 3] == 1).all()
    assert later[:, 4].max() <= 4


def test_a_lazy_dataset_is_read_bit_by_bit(ds: xr.Dataset) -> None:
    read = []

    def look(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info:
            read.append(block_info[0]["chunk-location"][1])
        return block

    lazy = ds.copy()
    array = da.from_array(ds.xy.values, chunks=(-1, 7, -1))
    lazy["xy"] = (ds.xy.dims, array.map_blocks(look, dtype=np.float32))
    found = st.stream(lazy, **CALM)
    assert read == []
    next(found)
    assert 0 < max(read) < 7  # of 9 chunks
    found.close()


# -- tracks that come and go --------------------------------------------------------


def test_tracks_come_go_and_are_forgotten(ds: xr.Dataset) -> None:
    ids = ds.track.values
    parts = [
        ds.isel(time=slice(0, 9), track=[3, 2, 1]),
        ds.isel(time=slice(9, 45), track=[4, 2]),
        ds.isel(time=slice(45, 62), track=[4, 2, 1]),
    ]
    found = list(st.stream(parts, forget=5, **CALM))
    listed = [p.track.values.tolist() for p in found]
    assert listed[0] == [ids[3], ids[2], ids[1], ids[4]]
    assert listed[1] == [ids[2], ids[4]]  # 14 .. 27: more than 5 frames after 8
    assert listed[-1] == [ids[2], ids[4], ids[1]]
    gone = found[0].sel(track=ids[3])
    assert not gone.visible.values[9:].any()
    assert np.isfinite(gone.log_depth_ratio).all()  # hidden, but still known
    again = found[-1].sel(track=ids[1])
    assert again.first_seen == 45
    assert again.log_depth_ratio.sel(time=45) == 0
    out = join(found)
    assert out.track.values.tolist() == [ids[3], ids[2], ids[1], ids[4]]
    assert out.visible.dtype == bool
    assert np.isnan(out.xy.sel(track=ids[3]).values[20:]).all()
    stayed = join(st.stream(parts, forget=99, **CALM))
    assert stayed.sel(track=ids[1]).reference_frame == 0


def test_frames_without_tracks_are_left_out(clip: np.ndarray) -> None:
    late = {"x": [60.0], "y": [50.0], "frame": [20]}
    found = list(st.stream(iter(clip), queries=late, cuts=None, **CALM))
    assert [p.time.values[[0, -1]].tolist() for p in found] == [[14, 33]]
    assert found[0].first_seen == 20


def test_nothing_seen_for_a_while_is_no_fault(ds: xr.Dataset) -> None:
    dark = ds.copy(deep=True)
    dark["visible"][:, 20:30] = False
    found = list(st.stream(cut_up(dark, 5), **CALM))
    assert np.isfinite(join(found).log_depth_ratio.values[1:]).all()


def test_a_camera_that_sees_nothing_at_first(ds: xr.Dataset) -> None:
    dark = ds.copy(deep=True)
    dark["visible"][:, :33] = False
    found = list(st.stream(cut_up(dark, 5), **CALM))
    assert np.isnan(found[0].log_depth_ratio).all()
    out = join(found)
    same(out, st.depth_ratio(dark, **CALM), 3e-3)


# -- cuts and support ---------------------------------------------------------------


def test_nothing_is_known_across_a_cut(ds: xr.Dataset) -> None:
    cut = ds.assign_attrs(cuts=[33])
    out = join(st.stream(cut_up(cut, 10), **CALM))
    assert out.attrs["cuts"] == [33]
    late = ds.visible.values.argmax(1) >= 33
    assert not late.any()
    assert np.isnan(out.log_depth_ratio.values[:, 33:]).all()
    part = st.depth_ratio(ds.isel(time=slice(0, 33)), **CALM)
    same(out.isel(time=slice(0, 33)).assign_attrs(cuts=[]), part, 3e-3, sigma=0.3)
    # other tracks begin after the cut
    other = ds.assign_coords(track=[f"q{k}" for k in range(ds.sizes["track"])])
    shots = [ds.isel(time=slice(0, 33)), other.isel(time=slice(33, 62))]
    shots[1].attrs["cuts"] = [33]
    found = list(st.stream(shots, **CALM))
    begun = {int(p.time[0]): p.attrs.get("cuts") for p in found}
    assert begun == {0: None, 14: None, 33: [33], 47: None}
    there = np.flatnonzero(ds.visible.values[:, 33])
    new = found[2].sel(track=[f"q{k}" for k in there])
    assert np.isfinite(new.log_depth_ratio).all()
    assert (new.first_seen == 33).all()


def with_support(ds: xr.Dataset, frames: int) -> xr.Dataset:
    """Give a Dataset the points of another drive as its windows' support."""
    other = drive(60, frames, seed=9)
    plan = plan_windows(frames, strides=(1, 2), cuts=ds.attrs.get("cuts") or ())
    at = np.maximum(plan.frames, 0)
    seen = np.moveaxis(other.visible.values[:, at] & (plan.frames >= 0), 0, 1)
    places = np.moveaxis(other.xy.values[:, at], 0, 1)
    dims = ("window", "support", "step")
    return ds.assign(
        support_xy=((*dims, "coord"), np.where(seen[..., None], places, np.nan)),
        support_visible=(dims, np.ascontiguousarray(seen)),
    ).assign_coords(
        window_start=("window", plan.start), window_stride=("window", plan.stride)
    )


@pytest.mark.parametrize("cuts", [[], [33]])
def test_support_of_a_dataset_is_used(ds: xr.Dataset, cuts: list[int]) -> None:
    own = with_support(ds.assign_attrs(cuts=cuts), 62)
    out = join(st.stream(own, lag=9, **CALM))
    same(
        out.isel(time=slice(0, cuts[0] if cuts else 62)),
        st.depth_ratio(own, device="cpu").isel(time=slice(0, cuts[0] if cuts else 62)),
        1e-4,
    )
    drawn = st.depth_ratio(ds, **CALM)
    far = abs(out.log_depth_ratio - drawn.log_depth_ratio).max()
    assert far > 1e-4


def test_support_that_leaves_gaps_is_refused(ds: xr.Dataset) -> None:
    own = with_support(ds, 62)
    hole = own.isel(window=np.flatnonzero(abs(own.window_start - 20) > 15))
    with pytest.raises(SchemaError, match="no windows link frame"):
        next(st.stream(hole, **CALM))


# -- metres -------------------------------------------------------------------------


def test_metres_hold_where_a_track_is_first_seen(ds: xr.Dataset) -> None:
    found = list(st.stream(ds, depth=3.0, intrinsics={"fov": 63}, **CALM))
    for piece in found:
        validate(piece, require=("scale", "depth", "xyz"))
        assert piece.depth.attrs["units"] == piece.attrs["units"] == "m"
    out = join(found)
    at = out.depth.sel(time=out.reference_frame, drop=True)
    np.testing.assert_allclose(at, 3.0, rtol=1e-6)
    np.testing.assert_allclose(out.depth, 3 * np.exp(out.log_depth_ratio), rtol=1e-5)
    np.testing.assert_allclose(out.xyz.sel(axis="z"), out.depth.where(out.visible))


def test_metres_by_track(ds: xr.Dataset) -> None:
    kept = ds.track.values
    with pytest.warns(UserWarning, match="never came, such as 'nobody'"):
        out = join(
            st.stream(
                ds, depth={kept[2]: 4.0, "nobody": 1.0}, intrinsics={"fov": 63}, **CALM
            )
        )
    assert float(out.depth.sel(track=kept[2])[0]) == 4.0
    assert np.isnan(out.depth.sel(track=kept[3])).all()


def test_relative_depth_says_so(ds: xr.Dataset) -> None:
    short = ds.isel(time=slice(0, 12))
    out = join(st.stream(short, intrinsics=(300, 300, 159.5, 119.5), **CALM))
    assert out.attrs["units"].startswith("relative")
    assert "depth_note" in out.attrs
    with pytest.warns(UserWarning, match="field of view"):
        list(st.stream(short, depth=2, **CALM))


def test_a_stated_camera_is_told_to_the_network(ds: xr.Dataset) -> None:
    short = ds.isel(time=slice(0, 20))
    camera = (260.0, 260.0, 159.5, 119.5)
    told = join(st.stream(short, intrinsics=camera, lag=9, **CALM))
    expected = st.depth_ratio(short.assign_attrs(intrinsics=list(camera)), **CALM)
    same(told, expected, 2e-5)
    assert (
        abs(told.log_depth_ratio - st.depth_ratio(short, **CALM).log_depth_ratio).max()
        > 1e-4
    )


@pytest.mark.parametrize(
    "depth",
    [
        {("p1", 0): 2.0},
        np.ones((62, 4, 4)),
        Known({"p1": 2.0}, ray_length=True),
        -1.0,
    ],
)
def test_depth_that_is_not_known_at_once_is_refused(ds: xr.Dataset, depth: Any) -> None:
    with pytest.raises(DepthError):
        st.stream(ds, depth=depth, **CALM)


# -- bad input ----------------------------------------------------------------------


def test_settings_are_refused_at_once(ds: xr.Dataset) -> None:
    with pytest.raises(SeuratTracksError, match=r"lag.*forget.*refill"):
        st.stream(ds, lag=0, forget=-1, refill=0)
    with pytest.raises(SeuratTracksError, match="refill is for the grid"):
        st.stream(ds, refill=5, queries=[[1, 2]])
    with pytest.raises(SeuratTracksError, match="strides"):
        st.stream(ds, strides=())
    with pytest.raises(WeightsError):
        st.stream(ds, model="nothing")
    with pytest.raises(WeightsError):
        st.stream(ds, device="nowhere")


BAD: dict[str, tuple[Callable[[list[xr.Dataset]], list[Any]], str]] = {
    "out of order": (lambda p: [p[0], p[2], p[1]], "Piece 2.*frame 29 has come"),
    "overlap": (lambda p: [p[0], p[0]], "Piece 1.*begins with frame 0"),
    "size": (
        lambda p: [p[0], p[1].assign_attrs(frame_size=[400, 300])],
        r"frame_size.*\[400, 300\]",
    ),
    "camera": (
        lambda p: [p[0], p[1].assign_attrs(intrinsics=[9.0, 9.0, 1.0, 1.0])],
        "intrinsics.*missing in the first",
    ),
    "dims": (
        lambda p: [p[0], p[1].rename(track="time", time="track")],
        "Piece 1.*xy",
    ),
    "no frames": (lambda p: [p[0], p[1].isel(time=[])], "no frames"),
    "no tracks": (lambda p: [p[0], p[1].isel(track=[])], "no tracks"),
    "ids": (
        lambda p: [p[0], p[1].assign_coords(track=range(p[1].sizes["track"]))],
        "integers in one piece and strings",
    ),
    "confidence": (lambda p: [p[0], p[1].drop_vars("confidence")], "confidence.*it"),
    "seconds": (lambda p: [p[0], p[1].drop_vars("seconds")], "seconds"),
    "seconds again": (
        lambda p: [p[0], p[1].assign_coords(seconds=("time", p[0].seconds.values))],
        "seconds: they begin at 0",
    ),
    "positions": (
        lambda p: [p[0], p[1].assign(xy=p[1].xy * np.float32(9))],
        "far outside",
    ),
    "no Dataset": (lambda p: [p[0], 3], "expected an xarray.Dataset"),
    "support": (lambda p: [p[0], with_support(p[1], 10)], "support of a piece"),
    "nothing": (lambda p: [], "after 0 frames"),
    "one frame": (lambda p: [p[0].isel(time=[0])], "after 1 frame;"),
    "nothing seen": (
        lambda p: [q.assign(visible=q.visible & False) for q in p],
        "visible in any of the stream's 62 frames",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pieces_are_refused(ds: xr.Dataset, name: str) -> None:
    spoil, text = BAD[name]
    with pytest.raises(SchemaError, match=f"(?s){text}"):
        list(st.stream(spoil(cut_up(ds, 10)), **CALM))


def test_all_faults_of_a_piece_are_told(ds: xr.Dataset) -> None:
    first, second = cut_up(ds, 10)[:2]
    bad = first.assign_attrs(frame_size=[10, 10]).drop_vars("confidence")
    with pytest.raises(SchemaError) as error:
        list(st.stream([second, bad], **CALM))
    for text in ("time: it begins", "frame_size", "confidence"):
        assert text in str(error.value)


def test_other_sources_are_refused(ds: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(SeuratTracksError, match="from a int"):
        next(st.stream(3, **CALM))
    with pytest.raises(VideoError, match="does not exist"):
        next(st.stream(tmp_path / "none.mp4", **CALM))
    with pytest.raises(SeuratTracksError, match="queries and cuts: only where frames"):
        next(st.stream(ds, queries=[[1, 2]], cuts=[4], **CALM))
    with pytest.raises(CameraError):
        next(st.stream(ds, intrinsics=(1, 2), **CALM))
    with pytest.raises(SchemaError, match="no pieces"):
        join([])


def test_a_source_that_breaks_breaks_the_stream(ds: xr.Dataset) -> None:
    def source() -> Iterator[xr.Dataset]:
        yield from cut_up(ds, 10)[:4]
        raise OSError("unplugged")

    found = st.stream(source(), **CALM)
    assert next(found).time[0] == 0
    with pytest.raises(OSError, match="unplugged"):
        list(found)


# -- frames -------------------------------------------------------------------------


def test_frames_give_what_track_and_lift_give(clip: np.ndarray) -> None:
    ds = st.track(clip, grid=5, strides=(1, 2), progress=False)
    expected = st.depth_ratio(ds, device="cpu")
    found = list(st.stream(iter(clip), grid=5, **CALM))
    assert [p.sizes["time"] for p in found] == [14, 20]
    for piece in found:
        validate(piece)
        assert piece.attrs["tracker"] == "lk"
    out = join(found)
    np.testing.assert_array_equal(out.track, ds.track)
    both = out.visible.values & ds.visible.values
    assert both.sum() > 0.97 * ds.visible.values.sum()
    np.testing.assert_allclose(out.xy.values[both], ds.xy.values[both], atol=0.05)
    np.testing.assert_allclose(
        out.log_depth_ratio.values[both],
        expected.log_depth_ratio.values[both],
        atol=5e-3,
    )


@pytest.mark.parametrize(("cuts", "delay"), [("auto", 15), (None, 14)])
def test_the_delay_of_frames(clip: np.ndarray, cuts: str | None, delay: int) -> None:
    come = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal come
        for frame in clip[:20]:
            come += 1
            yield frame

    follow = {"grid": 2, "cuts": cuts, "strides": (1,), "device": "cpu"}
    first = next(st.stream(camera(), **follow))
    assert first.time[0] == 0
    assert first.attrs["delay"] == come - 1 == delay


def test_a_video_is_streamed(clip: np.ndarray) -> None:
    video = st.open_video(clip[:12], fps=20)
    queries = {
        "x": [50.0, 90.0],
        "y": [40.0, 60.0],
        "frame": [0, 3],
        "track": ["a", "b"],
    }
    out = join(st.stream(video, queries=queries, cuts=None, **CALM))
    assert out.track.values.tolist() == ["a", "b"]
    assert out.reference_frame.values.tolist() == [0, 3]
    assert out.attrs["fps"] == 20
    np.testing.assert_allclose(out.seconds, np.arange(12) / 20)
    assert not out.visible.sel(track="b").values[:3].any()
    np.testing.assert_allclose(out.xy.sel(track="b", time=3), [90, 60])


def test_cuts_between_frames(clip: np.ndarray) -> None:
    other = planar_clip("zoom", 12, (160, 120), seed=7)[0]
    film = np.concatenate([clip[:12], other])
    queries = np.array([[0, 60, 50], [12, 80, 60.0]])
    for cuts in ("auto", [12]):
        found = list(st.stream(iter(film), queries=queries, cuts=cuts, **CALM))
        assert [p.sizes["time"] for p in found] == [12, 12]
        assert found[1].attrs["cuts"] == [12]
        assert np.isfinite(found[1].log_depth_ratio.sel(track=1)).all()
    with pytest.raises(TrackerError, match="cuts"):
        list(st.stream(iter(film), cuts="all", **CALM))


def test_lost_points_are_replaced() -> None:
    pan = planar_clip("translate", 30, (160, 120))[0]
    follow = {"grid": 4, "refill": 8, "forget": 2, "cuts": None}
    out = join(st.stream(iter(pan), strides=(1,), device="cpu", **follow))
    assert out.track.values.tolist() == list(range(out.sizes["track"]))
    assert out.sizes["track"] > 18
    born = np.unique(out.reference_frame)
    assert set(born.tolist()) <= {0, 8, 16, 24}
    assert len(born) > 1
    # every cell has its point again
    assert int(out.visible.sel(time=24).sum()) >= 15


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([np.zeros((8, 9, 3))], "frame 0 .* float64, expected uint8"),
        ([np.zeros((8, 9, 4), np.uint8)], "shape"),
        ([np.zeros((0, 9, 3), np.uint8)], "no pixel"),
        (
            [np.zeros((40, 50), np.uint8), np.zeros((50, 40), np.uint8)],
            "frame 1.* 40 x 50 pixels, the first frame was 50 x 40",
        ),
        ([np.zeros((40, 50), np.uint8), "x"], "a str"),
    ],
)
def test_bad_frames_are_refused(frames: list[Any], text: str) -> None:
    with pytest.raises(VideoError, match=text):
        list(st.stream(frames, grid=2, cuts=None, **CALM))


def test_bad_queries_are_refused(clip: np.ndarray) -> None:
    with pytest.raises(TrackerError, match="outside the image"):
        next(st.stream(iter(clip), queries=[[500.0, 3.0]], **CALM))
    with pytest.raises(TrackerError, match="grid"):
        next(st.stream(iter(clip), grid=2.5, **CALM))
    late = [[0, 50.0, 40.0], [99, 50.0, 40.0]]
    with pytest.warns(UserWarning, match="1 queries are on frames that never came"):
        list(st.stream(iter(clip[:10]), queries=late, cuts=None, **CALM))
