"""Fuse the answers of overlapping windows into one curve of log depth per track.

Tracks never influence each other. ``N`` tracks, ``T`` frames, ``W`` windows of ``K``
steps. Linear in frames, batched over tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from seurat_tracks.banded import eliminate, solve_blocks
from seurat_tracks.interrupt import pause_point
from seurat_tracks.windows import WindowPlan

HIDDEN_WEIGHT = 0.1
"""Weight of a pair of frames in one of which the point is hidden."""

ROUNDS = 3
"""Rounds of reweighting; the first is plain least squares."""

NO_EVIDENCE = 1e-10
"""Weight that keeps frames which no window saw from being singular."""

PAIR_FLOOR = 0.005
"""Added to a pair's error scale in the fit, natural-log units."""

LIKE_ERRORS = 1.0
"""Power of (long span / span) by which short windows err more than they say.

Neighbouring windows err alike: n short ones in a row err n times as much as one, not
root n times as much, as a fit of independent errors would have it. Were they all alike,
the power would be 0.5; on held-out scenes of 300 frames 1 is better.
"""

LONG_SPAN = 56
"""Frames between the ends of windows that are taken at their word."""

SHARED_ERROR = 0.4
"""Share of the predicted error scale that neighbouring windows have in common.

It adds up along the track instead of averaging out; measured on held-out scenes, as are
`OWN_ERROR`, `SIGMA_POWER` and `SIGMA_FACTOR`.
"""

OWN_ERROR = 0.2
"""Standard deviation of the part that averages out, per predicted error scale."""

SIGMA_POWER = 0.3
"""Power of (what windows disagree by / what they say they err by) in sigma."""

SIGMA_FACTOR = 2.2
"""Factor on sigma, so that as many errors are within it as it says."""

LEAST_DISAGREEMENT = 1e-2
"""Windows that agree better than this, over what they say, do so by chance."""

AT_REST = 1e-3
"""A curve of a smaller root mean square (log ratio) belongs to a point at rest.

That it moves after all is unlikely, and the error scale covers it; most errors are far
smaller. Measured on held-out scenes.
"""

LEAST_AT_REST = 0.05
"""Least factor on sigma of a point at rest."""

REST_FRAMES = 8
"""Frames in which a point must be seen for its rest to count."""

MOST_DOUBT = 8.0
"""Log factor beyond which doubts do not widen errors any more."""

MEMORY = 2**26
"""Bytes that the matrices of one batch of tracks may take."""


def linked_frames(plan: WindowPlan, n_frames: int) -> np.ndarray:
    """Give a number to every group of frames that windows tie together.

    Frames of different shots, or with no window between them, have different numbers:
    nothing is known of the depth of one relative to the other.

    Parameters
    ----------
    plan
        The windows.
    n_frames
        Frames of the video.

    Returns
    -------
    int array (T,)
    """
    first = np.broadcast_to(plan.frames[:, :1], plan.frames.shape)
    there = plan.frames >= 0
    links = coo_array(
        (np.ones(there.sum()), (first[there], plan.frames[there])),
        shape=(n_frames, n_frames),
    )
    return connected_components(links, directed=False)[1]


def chain(plan: WindowPlan, log_ratio: np.ndarray, n_frames: int) -> np.ndarray:
    """Chain windows by their predictions at the next window's start (Eq. 9).

    Parameters
    ----------
    plan
        The windows; only those of stride 1 are used, as in the paper.
    log_ratio : array (W, N, K)
        log(z_t / z_start) of every window.
    n_frames
        Frames of the video.

    Returns
    -------
    float64 array (N, T)
        Log depth, 0 at the first frame of each group of linked frames (a shot); NaN
        where there is no window.
    """
    N = log_ratio.shape[1]
    curve = np.full((N, n_frames), np.nan)
    reached = -1
    once = np.flatnonzero(plan.stride == 1)
    for w in once[np.argsort(plan.start[once], kind="stable")]:
        frames = plan.frames[w]
        there = frames >= 0
        begin = frames[0]
        base = curve[:, begin] if begin <= reached else np.zeros(N)
        # the last window that holds a frame has the say (k in Eq. 9)
        curve[:, frames[there]] = base[:, None] + log_ratio[w][:, there]
        reached = frames[there][-1]
    return curve


def solve(
    plan: WindowPlan,
    log_ratio: np.ndarray,
    log_scale: np.ndarray,
    seen: np.ndarray,
    reference: np.ndarray,
    widening: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one curve to every pair of frames of every window.

    A robust weighted least-squares problem for each track: the unknowns are its log
    depths, the measurements the differences between all pairs of frames inside a
    window, at every stride. Block-banded, so the cost is linear in the number of
    frames.

    Parameters
    ----------
    plan
        The windows.
    log_ratio, log_scale : array (W, N, K)
        The network's answers: log(z_t / z_start) and the log of its error scale.
    seen : bool array (N, T)
        Frames in which the tracker saw the point.
    reference : int array (N,)
        Frame where each curve is 0.
    widening : float array (N, T), optional
        Log factor on the errors of all pairs across the step to each frame: where the
        track may have gone over to another object they count little, and sigma rises.

    Returns
    -------
    curve : float64 array (N, T)
        log(z_t / z_reference).
    sigma : float64 array (N, T)
        Its standard error; 0 at the reference.
    """
    N, T = seen.shape
    K = plan.frames.shape[1]
    # what happens in other shots than the reference's says nothing of the curve
    shot = linked_frames(plan, T)
    seen = seen & np.equal.outer(shot[reference], shot)
    block = min(int(plan.stride.max()) * (K - 1), T)
    room = 8 * (T + 2 * block) * (12 * block + 4 * K * K)  # bytes for one track
    many = max(1, MEMORY // room)
    curve, sigma = np.zeros((N, T)), np.zeros((N, T))
    doubt = np.zeros((N, T)) if widening is None else widening.cumsum(1)
    frames = np.maximum(plan.frames, 0)
    for begin in range(0, N, many):
        part = slice(begin, begin + many)
        fit = RunningFit(block)
        fit.add_tracks(reference[part])
        fit.add_windows(
            plan.frames,
            log_ratio[:, part],
            log_scale[:, part],
            np.moveaxis(seen[part][:, frames], 0, 1),
            np.moveaxis(doubt[part][:, frames], 0, 1),
        )
        _, curve[part], sigma[part] = fit.flush(T)
    own = reference[:, None]
    curve -= np.take_along_axis(curve, own, 1)
    np.put_along_axis(sigma, own, 0.0, 1)
    return curve, sigma


def honest(left: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Say how much more windows err than they say, by how they disagree.

    Parameters
    ----------
    left, said : float array
        Mean squares, or sums of them: of what the curve leaves of the pairs, and of
        the error scales that were predicted for them.

    Returns
    -------
    float array
        A factor; that of windows which disagree by what they say is `SIGMA_FACTOR`.
    """
    there = said > 0
    ratio = np.sqrt(np.divide(left, said, out=np.ones_like(left), where=there))
    factor: np.ndarray = np.maximum(ratio, LEAST_DISAGREEMENT) ** SIGMA_POWER
    return SIGMA_FACTOR * factor


def resting(squares: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Say by what share of its sigma a curve errs that hardly changes.

    Parameters
    ----------
    squares, frames : float array
        Sum of squares of the curve over the frames in which its point is seen, and how
        many they are.

    Returns
    -------
    float array
        A factor from `LEAST_AT_REST` to 1.
    """
    change = np.sqrt(squares / np.maximum(frames, 1))
    factor = (change / AT_REST).clip(LEAST_AT_REST, 1.0)
    # of a point that is lost at once nothing is known, which is no rest
    return np.where(frames < REST_FRAMES, 1.0, factor)


@dataclass
class _Windows:
    """Windows that still matter; frames count from the first open block's start.

    ``frames`` (W, K) with -1 for padding, the others (N, W, K): what the network
    measured and its error scale, whether the point was seen, and its doubt (see
    `RunningFit.add_windows`).
    """

    frames: np.ndarray
    measured: Tensor
    scale: Tensor
    seen: np.ndarray
    doubt: Tensor

    def where(self, keep: np.ndarray) -> _Windows:
        """Choose windows by a bool array (W,)."""
        there = torch.from_numpy(keep)
        return _Windows(
            self.frames[keep],
            self.measured[:, there],
            self.scale[:, there],
            self.seen[:, keep],
            self.doubt[:, there],
        )

    def pair_scale(self) -> Tensor:
        """Predicted error scale (N, W, K, K) of every pair of frames."""
        return torch.maximum(self.scale[..., None], self.scale[..., None, :])

    def deviation(self, across: Tensor) -> Tensor:
        """Say what every pair (N, W, K, K) may be wrong by; see `across`."""
        span = torch.from_numpy(self.frames[:, 1] - self.frames[:, 0]).clamp_min(1)
        span = span * (self.frames.shape[1] - 1)
        alike = (LONG_SPAN / span).pow(LIKE_ERRORS)[:, None, None]
        error = self.pair_scale() * alike + PAIR_FLOOR
        return error * across.exp()

    def across(self) -> Tensor:
        """Log factors (N, W, K, K) on errors of pairs across doubtful steps."""
        doubt = (self.doubt[..., None] - self.doubt[..., None, :]).abs()
        return doubt.clamp_max(MOST_DOUBT)

    def erring(self) -> Tensor:
        """Errors (N, W, K, K) if every later frame were too far by its scale."""
        K = self.frames.shape[1]
        sign = torch.ones(K, K, dtype=torch.float64).triu(1)
        return self.pair_scale().nan_to_num(posinf=0.0) * (sign - sign.T)

    def disagreement(self, x: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
        """Add up squares (N, W) of what curves x (N, W, K) leave, and of what is said.

        Over pairs in which the point is seen twice, with no doubtful step between.
        """
        seen = torch.from_numpy(self.seen & (self.frames >= 0)[None])
        both = seen[..., None] & seen[..., None, :] & (across == 0)
        left, said = self.misfit(x), self.pair_scale().nan_to_num(posinf=0.0)
        return (left.square() * both).sum((2, 3)), (said.square() * both).sum((2, 3))

    def change(self, curve: np.ndarray) -> np.ndarray:
        """Add up (N, 2) squares of curves (N, frame), and frames, where they are seen.

        The frames are the first open ones.
        """
        N, n = curve.shape
        there = (self.frames >= 0) & (self.frames < n)
        seen = torch.zeros(N, n, dtype=torch.int32).index_add_(
            1,
            torch.from_numpy(self.frames[there]),
            torch.from_numpy(self.seen[:, there].astype(np.int32)),
        )
        counts = (seen > 0).numpy()
        return np.stack([(curve**2 * counts).sum(1), counts.sum(1)], 1)

    def weight(self, deviation: Tensor) -> Tensor:
        """Weights (N, W, K, K) of all pairs, before any robust rounds."""
        seen = torch.from_numpy(self.seen)
        there = torch.from_numpy(self.frames >= 0)
        both = seen[..., None] & seen[..., None, :]
        weight = torch.where(both, 1.0, HIDDEN_WEIGHT).double()
        weight = weight * (there[..., None] & there[..., None, :])
        return weight / deviation.square()

    def misfit(self, x: Tensor) -> Tensor:
        """How far curves x (N, W, K) are from every pair, (N, W, K, K)."""
        rest = x - self.measured
        return (rest[..., None, :] - rest[..., None]).abs()


class RunningFit:
    """Curves of many tracks, fitted while windows arrive.

    Time is cut into blocks. A block is finished when enough later blocks are known;
    what it says of the next block is kept as that block's prior (a fixed-lag smoother),
    so memory does not grow with time. With all blocks open it is the plain fit.

    Parameters
    ----------
    block
        Frames per block: at least the span of the longest window less one,
        ``stride * (K - 1)``.
    """

    def __init__(self, block: int) -> None:
        self.block = block
        self.first = 0
        """Position of the first frame of the first open block."""
        self.reference = np.zeros(0, np.int64)
        self._windows: _Windows | None = None
        self._matrix = torch.zeros(0, block, block, dtype=torch.float64)
        self._right = torch.zeros(0, block, 2, dtype=torch.float64)
        # of closed windows: squares of what the curves left, and of what was said
        self._left = torch.zeros(0, 2, dtype=torch.float64)
        # of closed frames in which points were seen: squares of the curves, and number
        self._change = np.zeros((0, 2))

    def add_tracks(self, reference: np.ndarray) -> None:
        """Take up tracks.

        Parameters
        ----------
        reference : int array (n,)
            Positions where their curves are 0; in an open block or later.
        """
        b, n = self.block, len(reference)
        self.reference = np.concatenate([self.reference, reference])
        self._matrix = torch.cat([self._matrix, self._matrix.new_zeros(n, b, b)])
        self._right = torch.cat([self._right, self._right.new_zeros(n, b, 2)])
        self._left = torch.cat([self._left, self._left.new_zeros(n, 2)])
        self._change = np.concatenate([self._change, np.zeros((n, 2))])
        if self._windows is not None:
            w = self._windows
            W, K = w.frames.shape
            empty = torch.zeros(n, W, K, dtype=torch.float64)
            w.measured = torch.cat([w.measured, empty])
            # windows know nothing of tracks that came after them
            w.scale = torch.cat([w.scale, empty + torch.inf])
            w.seen = np.concatenate([w.seen, np.zeros((n, W, K), bool)])
            w.doubt = torch.cat([w.doubt, empty])

    def keep_tracks(self, keep: np.ndarray) -> None:
        """Forget the tracks outside of a bool array (N,)."""
        self.reference = self.reference[keep]
        there = torch.from_numpy(keep)
        self._matrix, self._right = self._matrix[there], self._right[there]
        self._left, self._change = self._left[there], self._change[keep]
        if self._windows is not None:
            w = self._windows
            w.measured, w.scale = w.measured[there], w.scale[there]
            w.seen, w.doubt = w.seen[keep], w.doubt[there]

    def add_windows(
        self,
        frames: np.ndarray,
        log_ratio: np.ndarray,
        log_scale: np.ndarray,
        seen: np.ndarray,
        doubt: np.ndarray,
    ) -> None:
        """Take up windows, none of which begins before the first open block.

        Parameters
        ----------
        frames : int array (W, K)
            Positions; -1 where a step is padding.
        log_ratio, log_scale : array (W, N, K)
            The network's answers.
        seen : bool array (W, N, K)
            Whether the tracker saw the point.
        doubt : float array (W, N, K)
            Rises along a track where it may have changed its object: the error of a
            pair of frames grows by the exponential of the difference.
        """
        reach = int((frames.max(1) - frames[:, 0]).max(initial=0))
        if reach > self.block:
            raise ValueError(
                f"a window reaches over {reach} frames, past the next block of "
                f"{self.block}; make blocks at least as long"
            )
        log_ratio, log_scale, seen, doubt = (
            np.moveaxis(a, 0, 1) for a in (log_ratio, log_scale, seen, doubt)
        )
        new = _Windows(
            np.where(frames >= 0, frames - self.first, -1),
            torch.from_numpy(log_ratio.astype(np.float64)),
            torch.from_numpy(log_scale.astype(np.float64)).exp(),
            np.ascontiguousarray(seen),
            torch.from_numpy(doubt.astype(np.float64)),
        )
        old = self._windows
        if old is not None:
            new = _Windows(
                np.concatenate([old.frames, new.frames]),
                torch.cat([old.measured, new.measured], 1),
                torch.cat([old.scale, new.scale], 1),
                np.concatenate([old.seen, new.seen], 1),
                torch.cat([old.doubt, new.doubt], 1),
            )
        self._windows = new

    def finish(self, n_frames: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Solve what is open, and close the first block.

        Parameters
        ----------
        n_frames
            Frames that have come so far, counted from the beginning of time; the first
            open block and the one after it must lie among them.

        Returns
        -------
        first
            Position of the block's first frame.
        curve, sigma : float64 array (N, block)
        """
        b = self.block
        windows, weight, left, curve, sigma = self._fit(n_frames)
        early = windows.frames[:, 0] < b
        self._left += left[:, torch.from_numpy(early)].sum(1)
        self._change += windows.change(curve[:, :b])
        matrix, coupling, right = self._add_up(
            windows.where(early), weight[:, torch.from_numpy(early)], 2
        )
        self._hold(matrix[:, :1], right[:, :1])
        _, more, push = eliminate(matrix[:, 0], coupling[:, 0], right[:, 0])
        self._matrix, self._right = matrix[:, 1] + more, right[:, 1] + push
        later = windows.where(~early)
        later.frames = np.where(later.frames >= 0, later.frames - b, -1)
        self._windows = later
        self.first += b
        return self.first - b, curve[:, :b], sigma[:, :b]

    def flush(self, n_frames: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Solve all that is open, up to the last of n_frames; as `finish`."""
        *_, curve, sigma = self._fit(n_frames)
        return self.first, curve, sigma

    def _fit(
        self, n_frames: int
    ) -> tuple[_Windows, Tensor, Tensor, np.ndarray, np.ndarray]:
        """Fit the open blocks.

        Returns
        -------
        windows, weight
            The open windows, and the last round's weights of their pairs.
        left : Tensor (N, W, 2)
            Sums of each window, as of `_Windows.disagreement`.
        curve, sigma : float64 array (N, frame)
        """
        windows = self._windows
        if windows is None:
            raise ValueError("a fit needs windows: add_windows has not been called")
        length = n_frames - self.first
        n = -(-length // self.block)
        across = windows.across()  # costly, and the same in all rounds
        deviation = windows.deviation(across)
        plain = weight = windows.weight(deviation)
        at = torch.from_numpy(np.maximum(windows.frames, 0))
        for more in reversed(range(ROUNDS)):
            solution, variance = self._solve(windows, weight, n, spread=more == 0)
            if more:
                misfit = windows.misfit(solution[..., 0][:, at])
                weight = plain / (misfit / deviation).clamp_min(1.0)
        x = solution[..., 0][:, at]
        left = torch.stack(windows.disagreement(x, across), -1)
        curve, slope = np.moveaxis(solution[:, :length].numpy(), -1, 0)
        spread = variance[:, :length].clamp_min(0.0).sqrt().numpy()
        # what all windows err alike adds up along the track, the rest averages out
        sigma = np.hypot(SHARED_ERROR * slope, OWN_ERROR * spread)
        sigma *= honest(*(self._left + left.sum(1)).T.numpy())[:, None]
        sigma *= resting(*(self._change + windows.change(curve)).T)[:, None]
        return windows, weight, left, curve, sigma

    def _solve(
        self, windows: _Windows, weight: Tensor, n: int, *, spread: bool
    ) -> tuple[Tensor, Tensor]:
        """Solutions (N, n b, 2) of n blocks, and the variance (N, n b) of the first.

        Without ``spread`` the variance is 0.
        """
        pause_point("fitting curves")
        matrix, coupling, right = self._add_up(windows, weight, n)
        self._hold(matrix, right)
        solution, variance = solve_blocks(matrix, coupling, right, spread=spread)
        return solution.flatten(1, 2), variance.flatten(1)

    def _add_up(
        self, windows: _Windows, weight: Tensor, n: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add windows up to the matrix and coupling (N, n, b, b) of n blocks.

        Their right sides (N, n, b, 2) are those of the curve, and of the curve that
        results if every pair of frames errs by its error scale.
        """
        b, N = self.block, len(self.reference)
        laplacian = weight.sum(-1).diag_embed() - weight  # N W K K
        pull = laplacian @ windows.measured[..., None]
        push = (weight * windows.erring()).sum(-2)[..., None]
        frames = np.maximum(windows.frames, 0)
        home = frames[:, :1] // b  # block of the first frame; the last is in the next
        inside = frames - home * b
        side = 2 * b
        row = (home * side + inside)[:, :, None]
        cell = torch.from_numpy((row * side + inside[:, None]).ravel())
        wide = torch.zeros(n * side * side, N, dtype=torch.float64)
        wide.index_add_(0, cell, laplacian.flatten(1).T.contiguous())
        wide = wide.view(n, side, side, N).permute(3, 0, 1, 2)
        matrix = wide[:, :, :b, :b].contiguous()
        matrix[:, 1:] += wide[:, :-1, b:, b:]
        coupling = wide[:, :, :b, b:].contiguous()
        right = torch.zeros(n * b, N, 2, dtype=torch.float64)
        sides = torch.cat([pull, push], -1).permute(1, 2, 0, 3).flatten(0, 1)
        right.index_add_(0, torch.from_numpy(frames.ravel()), sides)
        right = right.transpose(0, 1).reshape(N, n, b, 2).contiguous()
        return matrix, coupling, right

    def _hold(self, matrix: Tensor, right: Tensor) -> None:
        """Add, in place, what closed blocks say, and hold the curves at 0."""
        b = self.block
        matrix[:, 0] += self._matrix
        right[:, 0] += self._right
        diagonal = matrix.diagonal(dim1=2, dim2=3)  # a view, N n b
        largest = diagonal.amax((1, 2)).clamp_min(1.0)
        diagonal += NO_EVIDENCE * largest[:, None, None]
        # a stiff spring at the reference
        spot = self.reference - self.first
        held = np.flatnonzero((spot >= 0) & (spot < matrix.shape[1] * b))
        diagonal[held, spot[held] // b, spot[held] % b] += 10.0 * largest[held]
