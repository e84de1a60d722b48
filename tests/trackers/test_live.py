from __future__ import annotations

import numpy as np

from seurat_tracks.trackers.affine import smooth
from seurat_tracks.trackers.flow import FlowSettings, flow
from seurat_tracks.trackers.live import LivePoints, Settings, View, _neighbour_motion
from seurat_tracks.trackers.queries import grid
from tests.fixtures.videos import moved, planar_clip

SIZE = (160, 120)


def test_neighbours_are_the_nearest_and_their_motion_the_median() -> None:
    rng = np.random.default_rng(0)
    known, motion = rng.uniform(0, 100, (50, 2)), rng.normal(size=(50, 2))
    xy = rng.uniform(0, 100, (7, 2))
    for k in (5, 8):
        led, spread = _neighbour_motion(known, motion, xy, k)
        apart = np.linalg.norm(known - xy[:, None], axis=-1)
        moves = motion[np.argsort(apart, axis=1)[:, :k]]
        middle = np.median(moves, axis=1)
        off = np.abs(moves - middle[:, None]).sum(-1)
        np.testing.assert_allclose(led, middle)
        np.testing.assert_allclose(spread, 0.1 + np.median(off, axis=1))


def test_the_way_back_finds_what_was_not_followed() -> None:
    frames, maps = planar_clip("translate", 2, SIZE, noise=0)
    other = planar_clip("still", 1, SIZE, seed=8)[0][0]
    points = grid(8, SIZE)[9:-9]
    truth = moved(maps, points)[:, 1]
    one, two = (np.ascontiguousarray(f[..., 0]) for f in frames)
    went, gap = flow(one, two, points, FlowSettings())
    inside = ((truth > 11) & (truth < np.array(SIZE) - 12)).all(axis=1)
    assert gap[inside].max() < 0.2
    assert np.linalg.norm(went - truth, axis=1)[inside].max() < 0.5
    _, gap = flow(one, np.ascontiguousarray(other[..., 0]), points, FlowSettings())
    assert (gap > 1).mean() > 0.8


def test_points_keep_their_templates_while_others_come_and_go() -> None:
    frames, _ = planar_clip("mixed", 9, SIZE)
    views = [View(f[..., 0].copy(), smooth(f[..., 0])) for f in frames]
    mine = grid(4, SIZE)

    def follow(grids: bool) -> np.ndarray:
        live = LivePoints(SIZE, Settings(firm=1e-6))  # no point leads another
        for t, view in enumerate(views):
            live.advance(view)
            if grids and t % 2 == 0:
                live.drop_groups([t - 4])
                live.add_group(t, grid(5 + t, SIZE))
            if t == 1:
                live.add_queries(np.arange(16), mine)
            live.settle(view)
        number, xy, _ = live.seen_queries()
        out = np.full((16, 2), np.nan)
        out[number] = xy
        return out

    alone = follow(False)
    assert np.isfinite(alone).all(axis=1).sum() > 12
    np.testing.assert_allclose(follow(True), alone, atol=1e-3)
