import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.cameras import Camera, resolve_camera
from seurat_tracks.cameras.camera import undistorted
from seurat_tracks.depth import AtTracks
from seurat_tracks.errors import CameraError
from seurat_tracks.ratios.settings import known_camera
from seurat_tracks.scale import add_xyz, anchor, set_intrinsics
from seurat_tracks.streaming import join
from seurat_tracks.support import support_from_tracks
from seurat_tracks.windows import plan_windows

K = (500.0, 510.0, 320.0, 240.0)
BENT = {
    "none": ("opencv", ()),
    "4": ("opencv", (-0.2, 0.05, 0.001, -0.002)),
    "5": ("opencv", (-0.2, 0.05, 0.001, -0.002, 0.01)),
    "8": ("opencv", (-0.2, 0.05, 0.001, -0.002, 0.01, 0.02, -0.01, 0.001)),
    "12": ("opencv", (-0.2, 0.05, 0, 0, 0, 0, 0, 0, 1e-3, 2e-3, 1e-3, 1e-3)),
    "14": ("opencv", (-0.2, 0.05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.01, 0.02)),
    "fisheye": ("fisheye", (0.05, -0.01, 0.002, -0.001)),
}


@pytest.mark.parametrize("name", BENT)
def test_undistort_undoes_distort(rng, name):
    lens, values = BENT[name]
    camera = Camera(K, values, lens, (640, 480))
    xy = rng.uniform([80, 60], [560, 420], (7, 5, 2))
    there = camera.distort(xy)
    np.testing.assert_allclose(camera.undistort(there), xy, atol=1e-3)
    assert camera.distorts == (name != "none")
    if camera.distorts:
        assert np.abs(there - xy).max() > 1


def test_distort_by_hand():
    # one coefficient, one point: r = 0.5, factor 1 + 0.1 r^2
    camera = Camera(K, (0.1, 0, 0, 0), frame_size=(640, 480))
    assert camera.distort([[570, 240]])[0, 0] == pytest.approx(320 + 250 * 1.025)


def test_nan_stays_and_what_has_no_ray_is_nan():
    camera = Camera(K, (-0.4, 0, 0, 0), frame_size=(640, 480))
    out = camera.undistort(np.array([[np.nan, 3], [320, 240], [6000, 240]]))
    assert np.isnan(out[[0, 2]]).all()
    np.testing.assert_allclose(out[1], (320, 240))


def test_other_sizes_of_the_same_aspect():
    camera = Camera(K, frame_size=(640, 480)).at_size((1280, 960))
    assert camera.intrinsics == (1000, 1020, 640.5, 480.5)
    with pytest.raises(CameraError, match="aspect"):
        camera.at_size((1280, 720))
    with pytest.raises(CameraError, match="turned"):
        camera.at_size((960, 1280))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"intrinsics": (-1, 1, 2, 3)}, "focal"),
        ({"intrinsics": (1, 2, 3)}, "fx, fy, cx, cy"),
        ({"intrinsics": K, "distortion": (1, 2, 3)}, "4 or 5"),
        ({"intrinsics": K, "distortion": (np.nan,) * 4}, "finite"),
        ({"intrinsics": K, "distortion": (1,) * 5, "lens": "fisheye"}, "fisheye"),
        ({"intrinsics": K, "lens": "mirror"}, "lens must be"),
    ],
)
def test_refused(settings, text):
    with pytest.raises(CameraError, match=text):
        Camera(**settings)


def lifted(make_tracks, **kwargs):
    ds = make_tracks(**kwargs)
    zero = np.zeros((ds.sizes["track"], ds.sizes["time"]), np.float32)
    return ds.assign(log_depth_ratio=(("track", "time"), zero))


def test_positions_are_corrected_and_xy_stays(make_tracks, raise_if_dask_computes):
    ds = anchor(lifted(make_tracks), 2.0)
    camera = Camera((60, 60, 47, 39), (-0.2, 0.05, 0, 0), frame_size=(96, 80))
    out = add_xyz(ds, camera)
    np.testing.assert_array_equal(out.xy, ds.xy)
    again = camera.distort(out.xyz[..., :2] / 2 * 60 + (47, 39))
    known = np.isfinite(ds.xy).values
    np.testing.assert_allclose(again[known], ds.xy.values[known], atol=0.05)
    assert out.attrs["distortion"] == [-0.2, 0.05, 0, 0]
    assert out.attrs["lens"] == "opencv"
    with raise_if_dask_computes():
        lazy = add_xyz(ds.chunk(track=2), camera)
    np.testing.assert_array_equal(lazy.xyz, out.xyz)
    # another camera takes the lens with it
    assert "distortion" not in set_intrinsics(out, (60, 60, 47, 39)).attrs


def test_the_network_sees_a_pinhole_camera(make_tracks):
    straight = make_tracks(n_tracks=12, n_frames=12)
    bent = bend(straight, LENS)
    known = set_intrinsics(straight, (90, 90, 47, 39)).seurat.depth_ratio()
    told = set_intrinsics(bent, LENS).seurat.depth_ratio()
    untold = set_intrinsics(bent, (90, 90, 47, 39)).seurat.depth_ratio()
    off = [
        np.nanmax(np.abs(o.log_depth_ratio - known.log_depth_ratio))
        for o in (told, untold)
    ]
    assert off[0] < 0.05 * off[1]


LENS = Camera((90, 90, 47, 39), (-0.15, 0, 0, 0), frame_size=(96, 80))


def bend(ds, camera):
    """See a Dataset's points through a lens, untold."""
    there = camera.distort(ds.xy).astype(np.float32)
    return ds.assign(xy=ds.xy.copy(data=there))


def test_ray_length_becomes_depth_along_corrected_rays(make_tracks):
    ds = make_tracks()
    length = np.full((ds.sizes["track"], ds.sizes["time"]), 3.0)
    source = AtTracks(length, ray_length=True)
    right = source.at_tracks(set_intrinsics(ds, (90, 90, 47, 39)))
    told = source.at_tracks(set_intrinsics(bend(ds, LENS), LENS))
    untold = source.at_tracks(set_intrinsics(bend(ds, LENS), (90, 90, 47, 39)))
    np.testing.assert_allclose(told, right, atol=1e-4)
    assert np.nanmax(np.abs(untold - right)) > 0.002


def test_quality_judges_corrected_motion(raise_if_dask_computes):
    """Two tracks come close in the picture only because the lens squeezes its edge."""
    time = np.arange(40)
    x = 500 + 12.0 * time
    apart = np.maximum(np.linspace(14, 1, 40), 3.4)
    xy = np.stack([np.stack([x, 400 + s * apart / 2], 1) for s in (-1, 1)])
    ds = st.from_arrays(xy.astype(np.float32), frame_size=(1000, 800))
    camera = Camera((500, 500, 499.5, 399.5), (-0.1, 0.0, 0.0, 0.0), "fisheye")
    bent = bend(ds, camera)
    asked = set_intrinsics(bent, camera)
    told = asked.seurat.quality().doubt
    untold = bent.seurat.quality().doubt
    np.testing.assert_array_equal(told, ds.seurat.quality().doubt)
    assert (told.values != untold.values).any()
    with raise_if_dask_computes():
        lazy = asked.chunk(track=1).seurat.quality().doubt
    np.testing.assert_array_equal(lazy, told)


def with_support(ds):
    plan = plan_windows(ds.sizes["time"], strides=(1, 2))
    there, seen = support_from_tracks(ds.xy.values, ds.visible.values, plan, (96, 80))
    dims = ("window", "support", "step")
    return ds.assign(
        support_xy=((*dims, "coord"), there), support_visible=(dims, seen)
    ).assign_coords(
        window_start=("window", plan.start), window_stride=("window", plan.stride)
    )


@pytest.mark.parametrize("support", ["own", "drawn"])
def test_a_stream_sees_a_pinhole_camera(make_tracks, support):
    straight = make_tracks(n_tracks=12, n_frames=24)
    if support == "own":
        straight = with_support(straight)
    bent = bend(straight, LENS)
    if "support_xy" in bent:
        there = LENS.distort(bent.support_xy).astype(np.float32)
        bent = bent.assign(support_xy=bent.support_xy.copy(data=there))
    k = (90, 90, 47, 39)
    settings = {"strides": (1, 2), "device": "cpu"}

    def ratio(ds, intrinsics):
        pieces = st.stream(ds, intrinsics=intrinsics, **settings)
        return join(pieces).log_depth_ratio

    known = ratio(straight, k)
    off = [np.nanmax(np.abs(ratio(bent, c) - known)) for c in (LENS, k)]
    assert off[0] < 0.05 * off[1]


def test_without_a_lens_the_same_array(make_tracks):
    ds = make_tracks()
    xy = ds.xy
    assert undistorted(xy, ds) is xy


class Estimator:
    name = "a depth model"

    def intrinsics(self, ds):
        return (60, 61, 47, 39)


def test_sources_files_and_numbers(make_tracks, tmp_path):
    ds = make_tracks()
    found = resolve_camera(Estimator(), ds)
    assert found.intrinsics == (60, 61, 47, 39)
    assert found.source == "estimated by a depth model"
    assert resolve_camera({"fov": 90}, ds).intrinsics.fx == 48
    path = tmp_path / "cameras.txt"
    path.write_text("1 PINHOLE 192 160 120 120 96 80\n")
    out = set_intrinsics(ds, path)
    assert out.attrs["intrinsics"] == [60, 60, 47.5, 39.5]
    assert "COLMAP" in out.attrs["intrinsics_source"]
    with pytest.raises(CameraError, match="from_exif"):
        set_intrinsics(ds, "exif")


def test_an_estimate_is_told_to_the_network(make_tracks):
    ds = set_intrinsics(make_tracks(), Estimator())
    assert known_camera(ds) == (60, 61, 47, 39)
