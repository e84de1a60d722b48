import numpy as np
import pytest

from seurat_tracks.doubt import LONG_GAP, suspicious_steps
from seurat_tracks.errors import SeuratTracksError

SIZE = (640, 480)
T = 60


def steady(n=1, t=T, speed=(3.0, -1.0), seed=0, jitter=0.2):
    """Tracks that move evenly, with the small errors of a good tracker."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(100, 300, (n, 1, 2)) + np.arange(t)[:, None] * np.array(speed)
    return xy + rng.normal(0, jitter, xy.shape), np.ones((n, t), bool)


def where(flags):
    return [tuple(int(v) for v in at) for at in np.argwhere(flags)]


def swinging(t=T, period=40, size=60.0):
    """A point that goes round: its velocity changes all the time."""
    angle = 2 * np.pi * np.arange(t) / period
    return (300 + size * np.stack([np.cos(angle), np.sin(angle)], -1))[None]


class TestNoDoubt:
    def test_steady_motion(self):
        assert not suspicious_steps(*steady(50), SIZE).any.any()

    def test_motion_that_turns_speeds_up_and_stops(self):
        frames = np.arange(T)
        thrown = np.stack([4.0 * frames, 0.3 * (frames - 30) ** 2], -1)[None]
        started = np.stack([8.0 * np.clip(frames - 20, 0, 15), 0 * frames], -1)[None]
        for xy in (swinging(), thrown, started):
            assert not suspicious_steps(xy, np.ones((1, T), bool), SIZE).any.any()

    @pytest.mark.parametrize("part", [0.0, 0.3, 0.5, 0.9])
    def test_a_bounce_between_or_on_frames(self, part):
        """Falling ever faster, then up again: no offset, whenever it hits."""
        frames = np.arange(T) - 30 - part
        height = np.abs(frames) * (12 - 0.1 * np.abs(frames))
        xy = np.stack([5.0 * np.arange(T), 400 - height], -1)[None]
        assert not suspicious_steps(xy, np.ones((1, T), bool), SIZE).any.any()

    @pytest.mark.parametrize("seed", range(5))
    def test_a_camera_shaken_by_hand(self, seed):
        """Shaking up to 10 px a frame, far above the least that is doubted."""
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(T + 10, 2))
        shake = np.stack(
            [np.convolve(a, np.hanning(7) / 1.8, "valid")[:T] for a in noise.T], -1
        )
        shake = 10 * shake
        assert np.abs(np.diff(shake, axis=0)).max() > 8
        xy, visible = steady(20)
        assert suspicious_steps(xy + shake, visible, SIZE).any.mean() < 0.002

    def test_a_track_that_jitters_throughout(self):
        xy, visible = steady(30, jitter=6.0)
        assert suspicious_steps(xy, visible, SIZE).any.mean() < 0.01

    @pytest.mark.parametrize("gap", [1, 3, LONG_GAP])
    def test_a_gap_in_even_motion(self, gap):
        xy, visible = steady(20)
        visible[:, 30 : 30 + gap] = False
        assert not suspicious_steps(xy, visible, SIZE).any.any()

    def test_a_gap_on_a_curve(self):
        visible = np.ones((1, T), bool)
        visible[0, 25:31] = False
        assert not suspicious_steps(swinging(), visible, SIZE).any.any()

    def test_too_little_to_compare_with(self):
        xy, visible = steady(4, t=4)
        xy[:, 2:] += 80
        assert not suspicious_steps(xy, visible, SIZE).any.any()


class TestJump:
    @pytest.mark.parametrize("way", [(12, 0), (-12, 0), (0, 30), (-20, -20), (7, 3)])
    def test_a_hop_is_found_at_exactly_its_frame(self, way):
        xy, visible = steady(3)
        xy[1, 37:] += way
        found = suspicious_steps(xy, visible, SIZE)
        assert where(found.jump) == [(1, 37)]
        assert not found.found_again.any()

    def test_a_hop_to_something_that_moves_another_way(self):
        xy, visible = steady(1)
        xy[0, 20:] = xy[0, 20] + (25, -18) + np.arange(T - 20)[:, None] * (-2.0, 2.5)
        assert where(suspicious_steps(xy, visible, SIZE).jump) == [(0, 20)]

    def test_away_and_back(self):
        """A part exchanged for some frames: both steps, and one that lasts a frame."""
        xy, visible = steady(2)
        xy[0, 20:24] += (30, 0)
        xy[1, 40] += (0, -25)
        found = suspicious_steps(xy, visible, SIZE).jump
        assert where(found) == [(0, 20), (0, 24), (1, 40), (1, 41)]

    def test_a_hop_of_a_swinging_point(self):
        xy = swinging()
        xy[0, 33:] += (20, 20)
        found = suspicious_steps(xy, np.ones((1, T), bool), SIZE).jump
        assert where(found) == [(0, 33)]

    @pytest.mark.parametrize("frame", [1, 2, T - 2, T - 1])
    def test_a_hop_near_the_ends(self, frame):
        xy, visible = steady(1)
        xy[0, frame:] += (30, 10)
        found = suspicious_steps(xy, visible, SIZE).jump
        assert found[0, frame]
        # one lone step cannot be told from a hop back
        assert found.sum() <= 2

    def test_what_is_large_depends_on_the_frame(self):
        xy, visible = steady(1)
        xy[0, 30:] += (12, 0)
        assert suspicious_steps(xy, visible, SIZE).jump.any()
        assert not suspicious_steps(xy, visible, (3840, 2160)).jump.any()

    def test_what_is_large_depends_on_the_track(self):
        xy, visible = steady(2, jitter=0.1)
        xy[1] += np.random.default_rng(1).normal(0, 8, xy[1].shape)
        xy[:, 30:] += (12, 0)
        assert where(suspicious_steps(xy, visible, SIZE).jump) == [(0, 30)]


class TestFoundAgain:
    @pytest.mark.parametrize("gap", [1, 4, LONG_GAP])
    def test_elsewhere_than_it_should_be(self, gap):
        xy, visible = steady(2)
        visible[:, 30 : 30 + gap] = False
        xy[1, 30 + gap :] += (0, 40)
        found = suspicious_steps(xy, visible, SIZE)
        assert where(found.found_again) == [(1, 30 + gap)]
        assert not found.jump.any()

    def test_the_longer_it_was_hidden_the_more_is_allowed(self):
        xy, visible = steady(20, jitter=0.8)
        visible[:10, 30:31] = False
        visible[10:, 30:38] = False
        xy[:10, 31:] += (40, 0)
        xy[10:, 38:] += (40, 0)
        found = suspicious_steps(xy, visible, SIZE).found_again
        assert where(found) == [(i, 31) for i in range(10)]

    def test_after_a_long_time_always(self):
        xy, visible = steady(2)
        visible[0, 20 : 20 + LONG_GAP + 1] = False
        visible[1, 20 : 20 + LONG_GAP] = False
        found = suspicious_steps(xy, visible, SIZE).found_again
        assert where(found) == [(0, 20 + LONG_GAP + 1)]

    def test_a_late_start_is_not_a_finding(self):
        xy, visible = steady(2)
        visible[:, :25] = False
        visible[1, 40:] = False
        assert not suspicious_steps(xy, visible, SIZE).any.any()


class TestWhatIsRead:
    def hopping(self):
        xy, visible = steady(7)
        xy[2, 30:] += (20, 0)
        visible[3, 20:25] = False
        xy[3, 25:] += (0, 50)
        visible[5] = False
        return xy, visible

    def test_hidden_positions_are_not_read(self):
        xy, visible = self.hopping()
        found = suspicious_steps(xy, visible, SIZE)
        for fill in (np.nan, np.inf, 1e30):
            other = np.where(visible[..., None], xy, fill)
            again = suspicious_steps(other, visible, SIZE)
            np.testing.assert_array_equal(again.jump, found.jump)
            np.testing.assert_array_equal(again.found_again, found.found_again)
        assert where(found.jump) == [(2, 30)]
        assert where(found.found_again) == [(3, 25)]

    def test_order_and_company_of_tracks_do_not_matter(self):
        xy, visible = self.hopping()
        found = suspicious_steps(xy, visible, SIZE)
        order = np.random.default_rng(0).permutation(7)
        np.testing.assert_array_equal(
            suspicious_steps(xy[order], visible[order], SIZE).any, found.any[order]
        )
        for i in range(7):
            alone = suspicious_steps(xy[i : i + 1], visible[i : i + 1], SIZE)
            np.testing.assert_array_equal(alone.any[0], found.any[i])

    def test_blocks_do_not_matter(self, monkeypatch):
        xy, visible = self.hopping()
        found = suspicious_steps(xy, visible, SIZE)
        monkeypatch.setattr("seurat_tracks.doubt._BLOCK", T)
        np.testing.assert_array_equal(
            suspicious_steps(xy, visible, SIZE).any, found.any
        )

    def test_time_may_run_backwards(self):
        xy, visible = self.hopping()
        back = suspicious_steps(xy[:, ::-1], visible[:, ::-1], SIZE).jump
        assert where(back) == [(2, T - 30)]

    def test_a_cut_is_no_jump_and_ends_the_motion(self):
        xy, visible = steady(2)
        xy[:, 30:] = 400 - xy[:, 30:]
        xy[1, 45:] += (30, 0)
        visible[0, 25:35] = False
        found = suspicious_steps(xy, visible, SIZE, cuts=(30,))
        assert where(found.any) == [(1, 45)]
        apart = suspicious_steps(xy[:, 30:], visible[:, 30:], SIZE)
        np.testing.assert_array_equal(apart.any, found.any[:, 30:])

    @pytest.mark.parametrize("shape", [(0, 9), (3, 0), (3, 1), (3, 2), (0, 0)])
    def test_hardly_anything(self, shape):
        xy, visible = np.zeros((*shape, 2)), np.ones(shape, bool)
        found = suspicious_steps(xy, visible, SIZE)
        assert found.jump.shape == found.found_again.shape == shape
        assert not found.any.any()

    def test_nothing_seen(self):
        xy = np.full((3, T, 2), np.nan)
        assert not suspicious_steps(xy, np.zeros((3, T), bool), SIZE).any.any()

    def test_every_fault_at_once(self):
        xy, visible = steady(3)
        xy[0, 4] = np.nan
        with pytest.raises(SeuratTracksError) as error:
            suspicious_steps(xy, visible, (640, 0), cuts=(3.5,))
        for part in ("1 observations", "frame_size", "cuts"):
            assert part in str(error.value)

    @pytest.mark.parametrize(
        ("xy", "visible", "match"),
        [
            (np.zeros((3, 5)), np.ones((3, 5), bool), "track, time, 2"),
            (np.zeros((3, 5, 2)), np.ones((5, 3), bool), "track, time"),
            (np.zeros((3, 5, 2)), np.ones((3, 5)), "must be bool"),
        ],
    )
    def test_wrong_arrays(self, xy, visible, match):
        with pytest.raises(SeuratTracksError, match=match):
            suspicious_steps(xy, visible, SIZE)
