"""What scenes are drawn: kinds of motion, their shares, and the settings."""

from __future__ import annotations

from dataclasses import dataclass

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.scenes.camera import CAMERAS

MOTIONS = (
    "none",
    "rigid",
    "falling",
    "rolling",
    "colliding",
    "driving",
    "deforming",
    "cloth",
    "figure",
    "mocap",
)
"""What moves in a scene, apart from the camera."""

MOTION_SHARE = (0.0, 0.38, 0.11, 0.09, 0.09, 0.14, 0.09, 0.10, 0.0, 0.0)
"""How often each is drawn where something other than a figure moves."""


@dataclass(frozen=True)
class SceneConfig:
    """What scenes are drawn.

    Attributes
    ----------
    frames
        Frames of a scene, T.
    support, queries
        Support points M (cast from the first frame) and query points N.
    solids
        Bodies beside the figure or the clutter that stands in its place.
    camera
        One of `CAMERAS`, or None for the training mixture.
    motion
        One of `MOTIONS`, or None for the training mixture.
    figures
        Chance of an articulated figure, drawn or replayed.
    moving
        Chance that anything else than the camera moves in a scene without figure.
    sparse
        Chance of a scene of joints or markers: points that nothing hides.
    solo
        Chance that one thing alone moves, before a camera that stands (unless one is
        asked for).
    replayed
        Share of figures that replay recorded motion, where clips are given.
    facing
        Chance of a scene that is nothing but a wall, met about head-on: from the
        tracks, going towards it and zooming are nearly one.
    """

    frames: int = 8
    support: int = 100
    queries: int = 64
    solids: int = 6
    camera: str | None = None
    motion: str | None = None
    figures: float = 0.4
    moving: float = 0.65
    sparse: float = 0.2
    solo: float = 0.06
    replayed: float = 0.5
    facing: float = 0.0


def check(config: SceneConfig, clips: bool) -> None:
    """Refuse what cannot be drawn; clips says whether there are any to replay.

    Raises
    ------
    SeuratTracksError
    """
    for name, known in (("camera", CAMERAS), ("motion", MOTIONS)):
        value = getattr(config, name)
        if value is not None and value not in known:
            msg = f"SceneConfig.{name} is {value!r}; choose one of {', '.join(known)}."
            raise SeuratTracksError(msg)
    if config.frames < 1 or config.solids < 1:
        msg = (
            f"SceneConfig needs one frame and one solid at least, not {config.frames} "
            f"and {config.solids}."
        )
        raise SeuratTracksError(msg)
    if config.motion == "mocap" and not clips:
        msg = (
            "SceneConfig.motion is 'mocap', which replays clips: give "
            "motions=load_motions(path) (seurat_tracks.scenes.mocap)."
        )
        raise SeuratTracksError(msg)
