from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers import track
from seurat_tracks.trackers.base import TrackResult
from tests.fixtures.videos import planar_clip

QUERIES = [[0, 20.0, 30], [3, 60, 40], [1, 80, 50]]


def answer(queries: Any, plan: Any, n_frames: int = 9) -> TrackResult:
    n = len(queries)
    result = TrackResult(
        np.repeat(queries.xy[:, None], n_frames, axis=1),
        np.ones((n, n_frames), bool),
        np.ones((n, n_frames), np.float32),
    )
    if plan is None:
        return result
    shape = (len(plan), 4, 8)
    return replace(
        result,
        support_xy=np.ones((*shape, 2), np.float32),
        support_visible=np.ones(shape, bool),
    )


def spoiled(what: str, result: TrackResult) -> TrackResult:
    if what == "order":
        return replace(result, xy=result.xy[::-1])
    if what == "axes":
        return replace(result, xy=result.xy.swapaxes(0, 1))
    if what == "yx":
        return replace(result, xy=result.xy[..., ::-1])
    if what == "nan":
        xy = result.xy.copy()
        xy[1, 4] = np.nan
        return replace(result, xy=xy)
    if what == "infinite":
        xy = result.xy.copy()
        xy[1, 4] = np.inf
        return replace(result, xy=xy)
    if what == "dtype":
        return replace(result, visible=result.visible.astype(np.int64))
    if what == "confidence":
        return replace(result, confidence=result.confidence * 1.5)
    if what == "list":
        return replace(result, xy=result.xy.tolist())
    if what == "half":
        return replace(result, support_visible=None)
    if what == "windows":
        assert result.support_xy is not None
        return replace(result, support_xy=result.support_xy[:1])
    assert what == "support nan"
    assert result.support_xy is not None
    return replace(result, support_xy=result.support_xy * np.nan)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("order", r"2 tracks do not pass through their queries \(track 0 is at \[80"),
        ("axes", r"xy has shape \(9, 3, 2\), expected \(3, 9, 2\)"),
        ("yx", "another convention of coordinates"),
        ("nan", "NaN or infinite in 1 places where visible is True"),
        ("infinite", "holds infinities"),
        ("dtype", "visible has dtype int64, expected bool"),
        ("confidence", r"outside 0\.\.1"),
        ("list", "xy is a list"),
        ("half", "must come together"),
        ("windows", r"support_xy has shape \(1, 4, 8, 2\), expected \(2, 4, 8, 2\)"),
        ("support nan", "support_xy is NaN or infinite in 64 places"),
    ],
)
def test_an_answer_that_cannot_be_used_is_refused(what: str, text: str) -> None:
    class Wrong:
        name = "wrong"
        licence = "MIT"

        def track(self, video: Any, queries: Any, plan: Any, **_: Any) -> TrackResult:
            return spoiled(what, answer(queries, plan))

    frames, _ = planar_clip("translate", 9, (96, 72))
    with pytest.raises(TrackerError, match=rf"'wrong' gave an answer .*{text}"):
        track(frames, QUERIES, Wrong(), strides=(1,), cuts=None, progress=False)  # type: ignore[arg-type]


def test_all_faults_are_told_at_once() -> None:
    class Wrong:
        name = "wrong"
        licence = "MIT"

        def track(self, video: Any, queries: Any, plan: Any, **_: Any) -> TrackResult:
            return spoiled("dtype", spoiled("axes", answer(queries, plan)))

    frames, _ = planar_clip("translate", 9, (96, 72))
    with pytest.raises(TrackerError, match=r"xy has shape.*visible has dtype"):
        track(frames, QUERIES, Wrong(), support=False, cuts=None, progress=False)  # type: ignore[arg-type]
