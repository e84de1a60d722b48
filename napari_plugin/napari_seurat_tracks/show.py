"""Show a session in a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_seurat_tracks.session import KEY, Session

if TYPE_CHECKING:
    from napari.viewer import Viewer


def show_session(viewer: Viewer, session: Session) -> None:
    """Add the tracks of a session to a viewer, in pixels, hidden frames left out."""
    ds = session.dataset
    seen = ds["visible"].transpose("track", "time").values
    xy = ds["xy"].transpose("track", "time", "coord").values
    row, at = np.nonzero(seen)
    data = np.column_stack([row, ds["time"].values[at], xy[row, at, ::-1]])
    viewer.add_tracks(data, name="tracks", metadata={KEY: session})
