import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.dense import correct_map, stabilise_depth
from seurat_tracks.depth import DepthMaps
from seurat_tracks.errors import DepthError, SchemaError
from seurat_tracks.scale import anchor


@pytest.fixture
def flicker(rng):
    """Two still surfaces, 2 and 4 m away; maps of them that flicker; lifted tracks."""
    truth = np.full((16, 60, 80), 2.0)
    truth[:, :, 40:] = 4.0
    gain = np.exp(0.1 * rng.normal(size=(16, 2)))
    maps = truth.copy()
    maps[:, :, :40] *= gain[:, :1, None]
    maps[:, :, 40:] *= gain[:, 1:, None]
    maps[:, :5, :5] = np.nan
    xy = rng.uniform([6, 6], [76, 56], (70, 2))
    xy = xy[np.abs(xy[:, 0] - 39.5) > 2][:60]
    ds = st.from_arrays(xy[:, None].repeat(16, 1), frame_size=(80, 60))
    zero = np.zeros((len(xy), 16), np.float32)
    ds = ds.assign(log_depth_ratio=(("track", "time"), zero))
    return anchor(ds, maps, gains=False), maps, truth


def unsteady(maps, truth):
    return np.nanmedian(np.abs(np.diff(np.log(maps / truth), axis=0)))


def test_each_surface_is_steadied_by_its_own_tracks(flicker):
    ds, maps, truth = flicker
    out = ds.seurat.stabilise_depth(maps)
    assert out.dims == ("time", "y", "x")
    assert out.dtype == np.float32
    assert out.attrs["units"] == "m"
    for side in (slice(0, 40), slice(40, 80)):
        before = unsteady(maps[..., side], truth[..., side])
        assert unsteady(out.values[..., side], truth[..., side]) < 0.2 * before
    # the edge stays where it was, one pixel wide
    step = np.diff(np.log(out.values[:, 30]), axis=1)
    assert (step[:, 39] > 0.4).all()
    assert np.abs(np.delete(step, 39, axis=1)).max() < 0.05


def test_holes_stay_and_nothing_computes(flicker, raise_if_dask_computes):
    ds, maps, _ = flicker
    lazy = da.from_array(maps, chunks=(5, 30, 80))
    with raise_if_dask_computes():
        out = stabilise_depth(ds.chunk(track=20), DepthMaps(lazy))
    assert out.data.chunks == ((1,) * 16, (60,), (80,))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(maps))
    np.testing.assert_array_equal(out, stabilise_depth(ds, maps))


def test_wild_tracks_bend_nothing(flicker):
    ds, maps, truth = flicker
    wild = ds.depth.values.copy()
    wild[::10] *= 3
    out = stabilise_depth(ds.assign(depth=ds.depth.copy(data=wild)), maps)
    assert np.nanmax(np.abs(np.log(out.values / truth))) < 0.4
    assert unsteady(out.values, truth) < 0.3 * unsteady(maps, truth)


def test_a_frame_without_tracks_is_left_as_it_is(rng):
    one = rng.uniform(1, 2, (12, 16))
    out = correct_map(
        one,
        np.full((3, 2), np.nan),
        np.ones(3),
        np.zeros(3, bool),
        frame_size=(16, 12),
    )
    np.testing.assert_allclose(out, one, rtol=1e-6)


def test_refuses(flicker):
    ds, maps, _ = flicker
    with pytest.raises(SchemaError, match="needs depth"):
        stabilise_depth(ds.drop_vars("depth"), maps)
    with pytest.raises(DepthError, match="scale of its own"):
        stabilise_depth(anchor(ds), maps)
    with pytest.raises(DepthError, match="15 maps for 16"):
        stabilise_depth(ds, maps[1:])
    with pytest.raises(DepthError, match="ray length"):
        stabilise_depth(ds, DepthMaps(maps, ray_length=True))
    with pytest.raises(DepthError, match="cell"):
        stabilise_depth(ds, maps, cell=0)


def test_memory_does_not_grow_with_the_video(rng):
    """Maps of six times as many frames: anchored, steadied, never held together."""
    peaks = []
    for frames in (2, 10, 60):  # the first loads what is imported late
        ds = st.from_arrays(
            rng.uniform(5, 300, (50, 1, 2)).repeat(frames, 1), frame_size=(640, 480)
        )
        zero = np.zeros((50, frames), np.float32)
        ds = ds.assign(log_depth_ratio=(("track", "time"), zero))

        def one(block_id):
            return np.full((1, 240, 320), 2 + 0.01 * (block_id[0] % 7), np.float32)

        chunks = ((1,) * frames, (240,), (320,))
        maps = da.map_blocks(one, chunks=chunks, dtype=np.float32)
        with dask.config.set(scheduler="synchronous"):
            tracemalloc.start()
            out = anchor(ds, maps)
            out = out.assign(depth=out.depth.compute())
            total = stabilise_depth(out, maps).mean().compute()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert 1.9 < total < 2.2
    extra = 50 * 240 * 320 * 4
    assert peaks[2] - peaks[1] < 0.2 * extra
