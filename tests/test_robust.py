import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from seurat_tracks.depth import AtTracks, Known
from seurat_tracks.errors import DepthError
from seurat_tracks.median import run_scale
from seurat_tracks.robust import SourceFit, fit_source, robust_scale
from seurat_tracks.scale import anchor


def scene(rng, n=80, t=60, gap=True, noise=0.02):
    """Ratios of moving points, their true scale, and depth with normal log errors."""
    walk = rng.normal(0, 0.02, (n, t)).cumsum(1)
    ratio = (walk - walk[:, :1]).astype(np.float32)
    scale = rng.uniform(1, 5, n)
    visible = np.ones((n, t), bool)
    if gap:
        visible[:, 30:33] = False
    depth = scale[:, None] * np.exp(ratio + rng.normal(0, noise, (n, t)))
    return ratio, visible, depth, scale


def solve(ratio, visible, depth, *, sigma=None, **settings):
    fit = fit_source(ratio, visible, depth, **settings)
    sigma = np.zeros_like(ratio) if sigma is None else sigma
    affine = settings.get("affine")
    time = np.arange(ratio.shape[1])
    return fit, robust_scale(
        ratio, sigma, visible, depth, fit, time=time, affine=affine
    )


def test_scale_and_an_honest_sigma(rng):
    ratio, visible, depth, truth = scene(rng, n=400)
    fit, (scale, sigma) = solve(ratio, visible, depth, gains=False)
    assert fit.sigma == pytest.approx(0.02, rel=0.15)
    error = np.log(scale[:, 0] / truth) / sigma[:, 0]
    assert 0.8 < error.std() < 1.25


def test_constant_on_runs_and_filled_between(rng):
    ratio, visible, depth, _ = scene(rng)
    _, (scale, sigma) = solve(ratio, visible, depth)
    assert scale.dtype == sigma.dtype == np.float32
    for part in (slice(0, 30), slice(33, 60)):
        assert (scale[:, part] == scale[:, part][:, :1]).all()
    log = np.log(scale[:, 29:34].astype(float))
    np.testing.assert_allclose(np.diff(log, 2, axis=1), 0, atol=1e-5)


def test_outliers_are_outvoted(rng):
    ratio, visible, depth, truth = scene(rng)
    wild = rng.random(depth.shape) < 0.3
    depth = np.where(wild, depth * 3, depth)
    _, (scale, _) = solve(ratio, visible, depth)
    plain = run_scale(ratio, visible, depth)
    error = np.abs(np.log(scale[:, 0] / truth))
    assert np.median(error) < 0.01
    assert np.median(error) < 0.4 * np.median(np.abs(np.log(plain[:, 0] / truth)))


def test_runs_are_tied_where_the_ratio_is_surer(rng):
    ratio, visible, depth, truth = scene(rng, noise=0.15)
    depth[:, 33:35] *= 1.5
    depth[:, 35:] = np.nan
    _, (tied, tied_sigma) = solve(ratio, visible, depth)
    _, (loose, loose_sigma) = solve(
        ratio, visible, depth, sigma=np.full_like(ratio, 2.0)
    )
    error = [np.median(np.abs(np.log(s[:, -1] / truth))) for s in (tied, loose)]
    assert error[0] < 0.5 * error[1]
    assert np.median(tied_sigma[:, -1]) < 0.5 * np.median(loose_sigma[:, -1])


def test_a_run_without_depth_takes_its_neighbours_scale(rng):
    ratio, visible, depth, truth = scene(rng)
    depth[:, 33:] = np.nan
    _, (scale, sigma) = solve(ratio, visible, depth)
    assert np.median(np.abs(np.log(scale[:, -1] / truth))) < 0.01
    assert (sigma[:, -1] > sigma[:, 0]).all()


def test_a_contradicted_tie_gives_way(rng):
    ratio, visible, depth, truth = scene(rng)
    depth[:, 33:] *= 2  # the tracker came back to another point
    _, (scale, _) = solve(ratio, visible, depth, gains=False)
    assert np.median(np.abs(np.log(scale[:, 0] / truth))) < 0.02
    assert np.median(np.abs(np.log(scale[:, -1] / truth / 2))) < 0.02


def test_frame_gains_are_found_and_help_tracks_seen_briefly(rng):
    ratio, visible, depth, truth = scene(rng, n=200)
    start = rng.integers(0, 50, 200)[:, None]
    time = np.arange(60)
    visible = (time >= start) & (time < start + 10)
    gain = 0.1 * rng.normal(size=60)
    depth = depth * np.exp(gain)
    fit, (scale, _) = solve(ratio, visible, depth)
    there = visible.any(0)
    assert np.corrcoef(fit.gain[there], gain[there])[0, 1] > 0.9
    _, (without, _) = solve(ratio, visible, depth, gains=False)
    error = [np.median(np.abs(np.log(s[:, 0] / truth))) for s in (scale, without)]
    assert error[0] < 0.8 * error[1]


def test_gains_do_not_follow_the_ratios_drift(rng):
    ratio, visible, depth, _ = scene(rng, n=300, t=200, gap=False)
    start = rng.integers(0, 180, 300)[:, None]
    time = np.arange(200)
    visible = (time >= start) & (time < start + 20)
    drift = 0.003 * time
    fit = fit_source((ratio + drift).astype(np.float32), visible, depth)
    assert np.abs(fit.gain[30:170]).max() < 0.05  # the drift itself reaches 0.6


def short_tracks(rng, n=400, t=240, last=16):
    """Tracks seen for some frames only, as `scene`, without flicker."""
    ratio, _, depth, truth = scene(rng, n=n, t=t, gap=False)
    start = rng.integers(-last // 2, t - last // 2, n)[:, None]
    time = np.arange(t)
    visible = (time >= start) & (time < start + last)
    first = visible.argmax(1)
    own = np.take_along_axis(ratio, first[:, None], 1)
    sigma = np.sqrt(np.abs(time - first[:, None])).astype(np.float32)
    return ratio - own, sigma, visible, depth, truth * np.exp(own[:, 0])


def test_slow_flicker_is_averaged_over_the_video_not_the_track(rng):
    ratio, sigma, visible, depth, truth = short_tracks(rng)
    flicker = gaussian_filter1d(rng.normal(size=240), 4, mode="wrap")
    flicker = 0.1 * (flicker - flicker.mean()) / flicker.std()
    depth = depth * np.exp(flicker)
    time = np.arange(240)
    answers = []
    for known in (1e-4 * sigma, None):
        fit = fit_source(ratio, visible, depth, known)
        scale, spread = robust_scale(
            ratio, 1e-4 * sigma, visible, depth, fit, time=time
        )
        error = np.nanmedian(np.where(visible, scale, np.nan), 1) / truth - 1
        answers.append((np.nanmedian(np.abs(error)), np.median(spread[visible])))
    (joint, joint_sigma), (alone, _) = answers
    assert joint < 0.3 * alone
    assert joint < 0.03
    assert joint_sigma > 0.5 * joint


def test_a_stated_drift_of_ratios_is_no_flicker(rng):
    ratio, sigma, visible, depth, _ = short_tracks(rng)
    drift = 0.003 * np.arange(240)  # 0.7 over the video
    first = drift[visible.argmax(1)][:, None]
    fit = fit_source(
        (ratio + drift - first).astype(np.float32), visible, depth, 0.01 * sigma
    )
    assert np.abs(fit.gain[30:210]).max() < 0.05


@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_shift_of_affine_depth(rng, kind):
    ratio, visible, depth, truth = scene(rng, noise=0.005)
    relative = 0.3 * depth - 0.1 if kind == "depth" else 2 / depth + 0.7
    fit, (scale, _) = solve(ratio, visible, relative, affine=kind)
    shift = 0.1 if kind == "depth" else -0.7
    assert fit.shift == pytest.approx(shift, abs=0.03)
    error = np.log(scale[:, 0] / truth)
    assert np.abs(error - np.median(error)).max() < 0.05


def test_shift_needs_motion(rng):
    ratio, visible, depth, _ = scene(rng)
    depth = depth / np.exp(ratio)
    with pytest.raises(DepthError, match="change too little"):
        fit_source(np.zeros_like(ratio), visible, 0 * depth + 2, affine="depth")


def test_no_depth_at_all(rng):
    ratio, visible, depth, _ = scene(rng)
    _, answer = solve(ratio, visible, depth * np.nan)
    assert np.isnan(answer).all()


def test_packed_fit():
    fit = SourceFit(np.arange(3.0), 0.1, 2.0, 0.3, -0.4)
    again = SourceFit.unpack(fit.pack())
    np.testing.assert_array_equal(again.gain, fit.gain)
    assert again[1:] == fit[1:]


def dataset(rng, **kwargs):
    ratio, visible, depth, truth = scene(rng, **kwargs)
    n, t = ratio.shape
    ds = xr.Dataset(
        {
            "xy": (("track", "time", "coord"), np.ones((n, t, 2), np.float32)),
            "visible": (("track", "time"), visible),
            "log_depth_ratio": (("track", "time"), ratio),
            "depth_ratio_sigma": (("track", "time"), np.full_like(ratio, 0.01)),
        },
        coords={"track": np.arange(n), "time": np.arange(t), "coord": ["x", "y"]},
        attrs={"frame_size": [64, 48]},
    )
    return ds, depth, truth


def test_anchor_is_lazy_and_chunks_do_not_matter(rng, raise_if_dask_computes):
    ds, depth, _ = dataset(rng)
    expected = anchor(ds, AtTracks(depth))
    with raise_if_dask_computes():
        out = anchor(ds.chunk(track=13), AtTracks(da.from_array(depth, chunks=(80, 1))))
    for name in ("scale", "scale_sigma", "depth"):
        assert out[name].chunks is not None
        np.testing.assert_array_equal(out[name], expected[name])
    assert out.attrs["anchor"] == "robust"


def test_median_has_no_sigma_and_what_people_state_is_kept(rng):
    ds, depth, _ = dataset(rng)
    out = anchor(anchor(ds, AtTracks(depth)), AtTracks(depth), "median")
    assert "scale_sigma" not in out
    known = anchor(ds, Known({(3, 10): 2.5, (3, 50): 9.0}))
    assert known.attrs["anchor"] == "median"
    assert known["depth"].sel(track=3, time=50) == pytest.approx(9.0)


def test_affine_claims_no_metres(rng):
    ds, depth, _ = dataset(rng)
    out = anchor(ds, AtTracks(2 / depth + 0.7), affine="disparity")
    assert out.attrs["units"].startswith("relative")
    assert out.attrs["anchor"] == "robust, affine disparity"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"anchor": "mean"}, "anchor must be"),
        ({"affine": "log"}, "affine must be"),
        ({"affine": "depth", "anchor": "median"}, "robust"),
    ],
)
def test_bad_settings(rng, settings, text):
    ds, depth, _ = dataset(rng)
    with pytest.raises(DepthError, match=text):
        anchor(ds, AtTracks(depth), **settings)


def test_affine_of_a_constant(rng):
    with pytest.raises(DepthError, match="many frames"):
        anchor(dataset(rng)[0], 2.0, affine="depth")
