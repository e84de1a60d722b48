import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import seurat_tracks as st
from seurat_tracks.anchors import Ground, rigid_scales
from seurat_tracks.anchors.rigid import read_pairs
from seurat_tracks.cameras import Camera
from seurat_tracks.errors import DepthError

K = (300.0, 310.0, 160.0, 120.0)


def dataset(xyz, visible=None, sigma=0.003, noise=None):
    """Tracks with true ratios of points (track, time, 3)."""
    xy = xyz[..., :2] / xyz[..., 2:] * K[:2] + K[2:]
    ds = st.from_arrays(xy, visible, frame_size=(320, 240))
    log = np.log(xyz[..., 2])
    ratio = log - log[:, :1]
    if noise is not None:
        ratio = ratio + noise
    return ds.assign(
        log_depth_ratio=(("track", "time"), ratio.astype(np.float32)),
        depth_ratio_sigma=(("track", "time"), np.full(ratio.shape, sigma, np.float32)),
    )


@pytest.fixture
def body(rng):
    """A rigid thing that turns and moves before the camera (track, time, 3)."""
    shape = rng.uniform(-0.4, 0.4, (9, 3))
    turn = Rotation.from_rotvec(
        np.linspace(0, 1.2, 25)[:, None] * [0, 1, 0]
    ).as_matrix()
    place = np.array([0, 0, 3.0]) + np.linspace(0, 1, 25)[:, None] * [0.3, 0.1, 0.8]
    return np.einsum("tij,nj->nti", turn, shape) + place


@pytest.fixture
def figure(rng):
    """Three joints on two bones that swing, and the camera's frame (track, time, 3)."""
    t = np.linspace(0, 3, 40)[:, None]
    hip = np.array([0.1, -0.3, 3.0]) + 0.05 * np.sin(t) * [1, 0, 2]
    knee = hip + 0.45 * np.concatenate(
        [np.sin(t) * 0.6, np.cos(t) * 0 + 0.8, 0.6 * np.cos(t)], 1
    )
    ankle = knee + 0.4 * np.concatenate(
        [np.cos(2 * t) * 0.6, 0.8 + 0 * t, 0.6 * np.sin(2 * t)], 1
    )
    return np.stack([hip, knee, ankle])


def length(xyz, a, b):
    return float(np.median(np.linalg.norm(xyz[a] - xyz[b], axis=-1)))


def test_one_known_distance_on_a_rigid_thing(body, rng, raise_if_dask_computes):
    noise = rng.normal(0, 0.003, (9, 25))
    ds = dataset(body, noise=noise)
    settings = {"rigid": list(range(9)), "distance": {(0, 5): length(body, 0, 5)}}
    out = ds.seurat.anchor(intrinsics=K, **settings)
    error = np.linalg.norm(out.xyz - body, axis=-1)
    assert np.median(error) < 0.03
    flat = ds.seurat.anchor(
        intrinsics=K, assume="equal_depth", distance=settings["distance"]
    )
    assert np.median(np.linalg.norm(flat.xyz - body, axis=-1)) > 0.08
    assert out.attrs["units"] == "m"
    assert out.attrs["depth_source"] == "36 constant distances; 1 known distance"
    assert (out.scale_sigma < 0.1).all()
    with raise_if_dask_computes():
        lazy = ds.chunk(track=4).seurat.anchor(intrinsics=K, **settings)
    np.testing.assert_allclose(lazy.xyz, out.xyz, rtol=1e-5)


def test_size_of_a_rigid_thing(body):
    pairs = [(a, b) for a in range(9) for b in range(a)]
    extent = max(length(body, *p) for p in pairs)
    out = dataset(body).seurat.anchor(intrinsics=K, size={tuple(range(9)): extent})
    assert np.median(np.linalg.norm(out.xyz - body, axis=-1)) < 0.02


def test_bones_of_something_that_bends(figure):
    bones = [(0, 1), (1, 2)]
    ds = dataset(figure)
    out = ds.seurat.anchor(
        intrinsics=K, rigid=bones, distance={(0, 1): length(figure, 0, 1)}
    )
    assert np.median(np.linalg.norm(out.xyz - figure, axis=-1)) < 0.05
    assert np.isfinite(out.depth).all()


def test_rigidity_without_metres_says_so(body):
    out = dataset(body).seurat.anchor(intrinsics=K, rigid=list(range(9)))
    assert out.attrs["units"].startswith("relative (unit of the depth source")
    relative = out.depth / body[..., 2]
    np.testing.assert_allclose(relative / relative.mean(), 1, atol=0.02)


def test_other_tracks_are_unknown_or_assumed(body):
    ds = dataset(body)
    inside = list(range(6))
    known = {"distance": {(0, 5): length(body, 0, 5)}}
    out = ds.seurat.anchor(intrinsics=K, rigid=inside, **known)
    assert np.isnan(out.depth[6:]).all()
    assert np.isfinite(out.depth[:6]).all()
    out = ds.seurat.anchor(intrinsics=K, rigid=inside, assume="equal_depth", **known)
    assert np.isfinite(out.depth).all()
    assert "others at their median depth" in out.attrs["depth_source"]


def test_relative_depth_and_one_distance(body, raise_if_dask_computes):
    ds = dataset(body)
    maps = ds.log_depth_ratio.copy(data=body[..., 2] * 7)
    from seurat_tracks.depth import AtTracks

    source = AtTracks(maps, metric=False, name="some model")
    for given in (
        {"distance": {(0, 5): length(body, 0, 5)}},
        {"distance": {(0, 5, 3): float(np.linalg.norm(body[0, 3] - body[5, 3]))}},
        {"known": {(2, 4): float(body[2, 4, 2])}},
        {"known": {2: float(np.median(body[2, :, 2]))}},
    ):
        with raise_if_dask_computes():
            lazy = ds.chunk(track=4).seurat.anchor(source, K, **given)
        np.testing.assert_allclose(lazy.xyz, body, atol=0.02)
        assert lazy.attrs["units"] == "m"
        assert lazy.attrs["depth_source"].startswith("some model; 1 known")


def test_lens_is_undone(body):
    camera = Camera(K, (-0.2, 0.05, 0, 0), frame_size=(320, 240))
    ds = dataset(body)
    ds = ds.assign(xy=ds.xy.copy(data=camera.distort(ds.xy).astype(np.float32)))
    out = ds.seurat.anchor(
        intrinsics=camera, rigid=list(range(9)), distance={(0, 5): length(body, 0, 5)}
    )
    assert np.median(np.linalg.norm(out.xyz - body, axis=-1)) < 0.02


def ground_points(pitch, rng, t=12):
    """Points on the ground 1.5 m below a camera that drives (track, time, 3)."""
    flat = np.column_stack(
        [rng.uniform(-2, 2, 8), np.full(8, 1.5), rng.uniform(4, 9, 8)]
    )
    path = flat[:, None] - np.linspace(0, 1, t)[:, None] * [0, 0, 1.0]
    c, s = np.cos(pitch), np.sin(pitch)
    # the camera looks down by pitch: the world turns up
    return path @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T


@pytest.mark.parametrize("said", ["pitch", "horizon", "down"])
def test_ground_plane(rng, said):
    pitch = 0.15
    points = ground_points(pitch, rng)
    down = (0, np.cos(pitch), np.sin(pitch))
    horizon = K[3] - K[1] * np.tan(pitch)
    more = {"pitch": pitch, "horizon": horizon, "down": down}[said]
    ds = dataset(points)
    ground = {"tracks": list(range(8)), "height": 1.5, said: more}
    out = ds.seurat.anchor(intrinsics=K, ground=ground)
    np.testing.assert_allclose(out.xyz, points, atol=0.02)
    assert "1.5 m below" in out.attrs["depth_source"]
    # with a relation of all tracks, the ground fixes the rest too
    from seurat_tracks.depth import AtTracks

    source = AtTracks(points[..., 2] * 3, metric=False)
    out = ds.seurat.anchor(source, K, ground={**ground, "tracks": [0, 1, 2]})
    np.testing.assert_allclose(out.xyz, points, atol=0.02)


def test_ground_refuses():
    for given, text in (
        ({"tracks": [], "height": -1}, "positive.*no tracks.*one of"),
        ({"tracks": [1], "height": 1, "pitch": 0, "horizon": 3}, "one of"),
        ({"tracks": [1], "height": 1, "pitch": 30}, "radians"),
        ({"tracks": [1], "height": 1, "down": (0, 0, 0)}, "down"),
        ({"height": 1}, "tracks"),
        (3, "dict"),
    ):
        with pytest.raises(DepthError, match=text):
            Ground.read(given)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"distance": {(0, 5): 1.0}}, "scales of their own"),
        ({"distance": {(0, 5): -1.0}}, "positive"),
        ({"distance": {0: 1.0}}, "key 0"),
        ({"distance": {(0, 99): 1.0}, "assume": "equal_depth"}, "no track 99"),
        ({"distance": {(0, 1, 99): 1.0}, "assume": "equal_depth"}, "no frame 99"),
        ({"distance": {(0, 8): 1.0}, "rigid": [0, 1, 2]}, "in no pair"),
        ({"rigid": [(0, 1), (2, 3)]}, "2 groups"),
        ({"rigid": [0, 1, 2], "depth": 2.0}, "Give one"),
        ({"rigid": [0, 0, 1]}, "each once"),
        ({"rigid": 3}, "rigid must be"),
        ({"assume": "flat"}, "assume must be"),
        ({"size": {(1,): 2.0}}, "size: key"),
        ({"known": 3}, "non-empty dict"),
    ],
)
def test_refused(body, settings, text):
    with pytest.raises(DepthError, match=text):
        dataset(body).seurat.anchor(intrinsics=K, **settings)


def test_hidden_points_are_refused_before_work(body):
    visible = np.ones(body.shape[:2], bool)
    visible[0, :10] = False
    visible[5, 10:] = False
    ds = dataset(body, visible)
    with pytest.raises(DepthError, match="not seen in any frame together"):
        ds.seurat.anchor(intrinsics=K, assume="equal_depth", distance={(0, 5): 1.0})


def test_a_shape_that_does_not_turn_is_refused(rng):
    shape = rng.uniform(-0.4, 0.4, (5, 3)) + np.array([0, 0, 3])
    still = shape[:, None].repeat(20, 1)
    with pytest.raises(DepthError, match="turn too little"):
        dataset(still).seurat.anchor(
            intrinsics=K, rigid=[0, 1, 2, 3, 4], distance={(0, 1): 0.5}
        )


def test_known_depth_alone(body):
    out = dataset(body).seurat.anchor(
        intrinsics=K, known={(3, 0): float(body[3, 0, 2])}
    )
    np.testing.assert_allclose(out.xyz[3], body[3], atol=1e-3)
    assert np.isnan(out.depth[0]).all()


def test_pairs():
    assert read_pairs([(1, 2), (2, 3)]) == [(1, 2), (2, 3)]
    assert read_pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert read_pairs([(1, 2, 3), (3, 4)])[-1] == (3, 4)


def test_many_pairs_are_thinned_and_reach_every_track(body, rng):
    many = np.concatenate([body] * 3) + rng.normal(0, 0.1, (27, 1, 3))
    turn = Rotation.from_rotvec(
        np.linspace(0, 1.2, 25)[:, None] * [0, 1, 0]
    ).as_matrix()
    shape = many[:, 0] - many[:, 0].mean(0)
    xyz = np.einsum("tij,nj->nti", turn, shape) + np.array([0, 0, 3])
    rays = xyz / xyz[..., 2:]
    ratio = np.log(xyz[..., 2] / xyz[:, :1, 2])
    pairs = read_pairs(list(range(27)))
    x, sigma = rigid_scales(rays, ratio, np.ones(ratio.shape, bool), pairs)
    truth = np.log(xyz[:, 0, 2])
    np.testing.assert_allclose(x, truth - truth.mean(), atol=0.02)
    assert np.isfinite(sigma).all()
