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
    error, truth, later = _from_first(log_ratio, z, visible)
    if not later.any():
        raise ValueError("no track is visible, with a true depth, in two frames")
    # a missing answer says "no change"
    error = np.where(np.isfinite(error), error, -truth)
    return RatioError(
        float(np.abs(error)[later].mean()),
        float(np.abs(truth)[later].mean()),
        int(later.sum()),
    )


def coverage(
    log_ratio: np.ndarray,
    sigma: np.ndarray,
    z: np.ndarray,
    visible: np.ndarray,
    within: float = 1.0,
) -> float:
    """Share of observations whose true log ratio lies inside the error bar.

    Parameters
    ----------
    log_ratio, sigma : array (N, T)
        Prediction and its standard error, both relative to each track's first visible
        frame. Where either is NaN the observation does not count.
    z : array (N, T)
        True depth along the optical axis.
    visible : bool array (N, T)
        Observations that count; those without a positive true depth do not.
    within
        Half the length of the bar, in sigma.

    Returns
    -------
    float
        Between 0 and 1, over all counted observations but each track's first; NaN
        where there are none. Errors of a normal distribution give 0.68 within one
        sigma and 0.95 within two.
    """
    error, _, later = _from_first(log_ratio, z, visible)
    later &= np.isfinite(error) & np.isfinite(sigma)
    if not later.any():
        return float("nan")
    return float((np.abs(error) <= within * sigma)[later].mean())


def _from_first(
    log_ratio: np.ndarray, z: np.ndarray, visible: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error and true log ratio from each first visible frame, and what comes later."""
    visible = visible & np.isfinite(z) & (z > 0)
    first = visible.argmax(1)[:, None]
    truth = np.log(np.where(visible, z, 1.0))
    truth = truth - np.take_along_axis(truth, first, 1)
    guess = log_ratio - np.take_along_axis(log_ratio, first, 1)
    later = visible & (np.arange(z.shape[1]) > first)
    return guess - truth, truth, later
