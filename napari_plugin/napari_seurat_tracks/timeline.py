"""The time slider and the frame numbers of a session."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_seurat_tracks.session import KEY, Session


def layer_of(viewer: Any, session: Session) -> Any:
    """Find the topmost layer that shows a session, None if there is none."""
    for layer in reversed(list(viewer.layers)):
        if layer.metadata.get(KEY) is session:
            return layer
    return None


def frame_shown(viewer: Any, session: Session) -> int:
    """Give the session's frame number nearest to the slider."""
    time = session.dataset["time"].values
    layer = layer_of(viewer, session)
    if layer is None or viewer.dims.ndim < layer.ndim:
        return int(time[0])
    axis = viewer.dims.ndim - layer.ndim
    start, step = _axis(layer)
    frame = (viewer.dims.point[axis] - start) / step
    return int(time[np.abs(time - frame).argmin()])


def go_to(viewer: Any, session: Session, frame: float) -> None:
    """Move the slider to the session's frame that is nearest to a frame number."""
    layer = layer_of(viewer, session)
    if layer is None:
        return
    time = session.dataset["time"].values
    nearest = int(time[np.abs(time - frame).argmin()])
    start, step = _axis(layer)
    viewer.dims.set_point(viewer.dims.ndim - layer.ndim, start + step * nearest)


def _axis(layer: Any) -> tuple[float, float]:
    """Where frame 0 lies on the slider's axis, and how far the next frame."""
    return float(layer.translate[0]), float(layer.scale[0])
