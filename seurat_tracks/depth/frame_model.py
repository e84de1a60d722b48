"""What every model that finds depth in single frames offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    from seurat_tracks.depth.base import Kind


class Answer(NamedTuple):
    """What a model says of a batch of B frames.

    Attributes
    ----------
    maps : float32 array (B, y, x)
        Depth in the meaning of the model's ``kind``; of any size, but covering the
        whole frame. NaN, infinity and (but for affine kinds) values <= 0 are holes.
    focal : float64 array (B,) or None
        The model's own estimate of fx in pixels of the frame, where it has one.
    """

    maps: np.ndarray
    focal: np.ndarray | None = None


@runtime_checkable
class FrameModel(Protocol):
    """Anything that finds depth in frames.

    Attributes
    ----------
    name
        What the Dataset's ``depth_source`` attribute will say.
    licence
        Licence of the weights, "" if there is nothing to say.
    kind
        What the maps are; see `seurat_tracks.depth.Kind`.
    digest
        Hash of the weights and of every setting that changes an answer: answers are
        kept on the disk under it.
    per_focal
        True if the maps are metres at a focal length of one frame width, to be
        multiplied by fx / width of the camera.

    ``has_focal = False`` on a model with ``per_focal`` says that it never estimates a
    focal length itself, so that a missing camera is refused before any work.
    """

    @property
    def name(self) -> str:
        """What the Dataset's ``depth_source`` attribute will say."""

    @property
    def licence(self) -> str:
        """Licence of the weights."""

    @property
    def kind(self) -> Kind:
        """What the maps are."""

    @property
    def digest(self) -> str:
        """Hash of all that decides the answers."""

    @property
    def per_focal(self) -> bool:
        """Whether maps are to be multiplied by fx / width."""

    def __call__(self, frames: np.ndarray) -> Answer:
        """Find depth in frames (B, y, x, rgb), uint8."""


def checked_answer(answer: Any, n: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Give maps float32 (n, y, x) and focal lengths float64 (n,), 0 for none.

    Raises
    ------
    DepthError
        If a model does not answer as `FrameModel` says.
    """
    maps, focal = Answer(*answer) if isinstance(answer, tuple) else (answer, None)
    maps = np.asarray(maps, dtype=np.float32)
    if maps.ndim != 3 or len(maps) != n or 0 in maps.shape:
        raise DepthError(
            f"{name} answered with an array of shape {maps.shape} for {n} frames; "
            f"({n}, y, x) was expected"
        )
    if focal is None:
        return maps, np.zeros(n)
    focal = np.asarray(focal, dtype=np.float64).reshape(-1)
    if focal.shape != (n,) or not (np.isfinite(focal) & (focal > 0)).all():
        raise DepthError(
            f"{name} answered with focal lengths {focal!r} for {n} frames; one "
            "positive number of pixels each was expected"
        )
    return maps, focal
