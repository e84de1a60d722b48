"""Error of log depth ratios, beside that of "depth stays constant"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RatioError(NamedTuple):
    """Mean absolute errors of log depth ratios, natural-log units.

    Attributes
    ----------
    error
        Of the prediction.
    constant
        Of the prediction "depth stays constant"; the mean size of the true change.
    observations
        How many count.
    """

    error: float
    constant: float
    observations: int

    @property
    def relative(self) -> float:
        """Error over that of constant depth; below 1 is better than no answer."""
        return self.error / self.constant


def log_ratio_error(
    log_ratio: np.ndarray, z: np.ndarray, visible: np.ndarray
) -> RatioError:
    """Compare log ratios with true depth.

    Parameters
    ----------
    log_ratio : array (N, T)
        Predicted log depth ratio, to any reference: each track is taken relative to
        its first visible frame. Missing answers (NaN) count as "no change".
    z : array (N, T)
        True depth along the optical axis.
    visible : bool array (N, T)
        Observations that count; those without a positive true depth do not.

    Returns
    -------
    RatioError
        Means over all counted observations but each track's first, where both the
        truth and the prediction are 0.
    """
    visible = visible & np.isfinite(z) & (z > 0)
    use = visible.sum(1) >= 2
    log_ratio, z, visible = log_ratio[use], z[use], visible[use]
    first = visible.argmax(1)[:, None]
    truth = np.log(np.where(visible, z, 1.0))
    truth = truth - np.take_along_axis(truth, first, 1)
    guess = log_ratio - np.take_along_axis(log_ratio, first, 1)
    guess = np.where(np.isfinite(guess), guess, 0.0)
    later = visible & (np.arange(z.shape[1]) > first)
    if not later.any():
        raise ValueError("no track is visible, with a true depth, in two frames")
    return RatioError(
        float(np.abs(guess - truth)[later].mean()),
        float(np.abs(truth)[later].mean()),
        int(later.sum()),
    )
