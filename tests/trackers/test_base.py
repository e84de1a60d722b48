from __future__ import annotations

import pytest

from seurat_tracks.errors import TrackerError
from seurat_tracks.trackers import available_trackers, get_tracker, register_tracker


def test_the_embedded_tracker_is_known() -> None:
    assert "lk" in available_trackers()
    tracker = get_tracker("lk")
    assert (tracker.name, tracker.licence) == ("lk", "Apache-2.0")
    assert get_tracker(tracker) is tracker


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(TrackerError, match=r"no tracker 'lkk'.*mean 'lk'.*Known: .*lk"):
        get_tracker("lkk")
    with pytest.raises(TrackerError, match="no method `track`"):
        get_tracker(3)  # type: ignore[arg-type]


def test_a_name_is_given_once() -> None:
    with pytest.raises(TrackerError, match="registered already"):
        register_tracker("lk", lambda: get_tracker("lk"))
