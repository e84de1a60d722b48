"""The video that lies under the tracks, as a layer of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_seurat_tracks.session import PART

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

MAX_SIDE = 960
"""Pixels of the longer side of the picture in 3D; larger frames are thinned."""


def find_video(viewer: Any, frame_size: Sequence[int] | None) -> Image | None:
    """Find the Image layer that the tracks belong to.

    Parameters
    ----------
    viewer
        napari's viewer.
    frame_size
        Width and height that it must have; None takes no video for theirs.

    Returns
    -------
    Image or None
        The topmost of (t, y, x) or (t, y, x, colour) whose frames are of that size.
    """
    from napari.layers import Image

    if frame_size is None:
        return None
    for layer in reversed(list(viewer.layers)):
        if not isinstance(layer, Image) or layer.multiscale or PART in layer.metadata:
            continue
        shape = layer.data.shape[:-1] if layer.rgb else layer.data.shape
        if len(shape) == 3 and (shape[2], shape[1]) == tuple(frame_size):
            return layer
    return None


def time_axis(layer: Any) -> tuple[float, float]:
    """Where a layer's first frame lies on the slider's axis, and how far the next."""
    origin = np.zeros(layer.ndim)
    start = float(layer.data_to_world(origin)[0])
    origin[0] = 1
    return start, float(layer.data_to_world(origin)[0]) - start


def first_number(layer: Any) -> int:
    """Return the frame number of a video layer's first frame.

    Numbers are those of the slider where the layer has one step a frame, else they
    count from 0.
    """
    start, step = time_axis(layer)
    return round(start) if step == 1 and start >= 0 else 0


class Placement(NamedTuple):
    """Where frame numbers and pixels lie in the world: (t, y, x)."""

    scale: np.ndarray
    translate: np.ndarray


def placement_of(layer: Image | None) -> Placement:
    """Say where frame numbers and pixels of a video's tracks lie in the world."""
    if layer is None:
        return Placement(np.ones(3), np.zeros(3))
    scale = np.asarray(layer.scale, float).copy()
    translate = np.asarray(layer.translate, float).copy()
    translate[0] -= scale[0] * first_number(layer)
    return Placement(scale, translate)


def picture_at(layer: Image, frame: float) -> np.ndarray | None:
    """Return one frame of a video layer as a texture.

    Parameters
    ----------
    layer
        As of `find_video`.
    frame
        Frame number, as of its tracks.

    Returns
    -------
    uint8 array (y, x, 3) or None
        As it is shown, thinned to `MAX_SIDE`; None where the video has no such frame.
    """
    index = round(frame - first_number(layer))
    if not 0 <= index < layer.data.shape[0]:
        return None
    step = -(-max(layer.data.shape[1:3]) // MAX_SIDE)
    image = np.asarray(layer.data[index])[::step, ::step]
    if layer.rgb:
        image = image[..., :3]
        if image.dtype.kind == "f":
            image = np.clip(image, 0, 1) * 255
        elif image.dtype != np.uint8:
            image = image / np.iinfo(image.dtype).max * 255
    else:
        low, high = (float(v) for v in layer.contrast_limits)
        image = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
        image = layer.colormap.map(image.ravel())[:, :3].reshape(*image.shape, 3) * 255
    return np.ascontiguousarray(image, dtype=np.uint8)
