"""A movie of what the viewer shows, frame by frame, with a camera that may turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_seurat_tracks.view import View


class MovieError(SeuratTracksError):
    """A movie cannot be made as asked; the text says why and what to do."""


class MovieStopped(Exception):  # it is no error
    """The movie was cancelled, or its viewer was closed; no file is left."""


def camera_path(viewer: Viewer, n_frames: int, turn: float) -> Iterator[dict[str, Any]]:
    """Turn the camera to and fro about the scene, by napari-animation.

    Parameters
    ----------
    viewer
        Where the movie begins and ends.
    n_frames
        Frames of the movie.
    turn
        napari's degrees to each side.

    Yields
    ------
    dict
        Of the camera in each frame, as its ``update`` takes it.
    """
    from napari_animation.easing import Easing
    from napari_animation.frame_sequence import FrameSequence
    from napari_animation.key_frame import KeyFrame, KeyFrameList
    from napari_animation.viewer_state import ViewerState
    from scipy.spatial.transform import Rotation

    camera = viewer.scene.camera
    view = np.asarray(camera.view_direction)
    up = np.asarray(camera.up_direction)
    states = []
    for side in (0, 1, 0, -1, 0) if turn else (0, 0):
        # about y, which is down in the scene
        about = Rotation.from_rotvec([0, np.radians(side * turn), 0])
        copy = camera.copy()
        copy.set_view_direction(about.apply(view), about.apply(up))
        states.append(ViewerState(camera=copy.dict(), dims={}, layers={}))
    steps = np.diff(np.linspace(0, n_frames - 1, len(states)).round().astype(int))
    keys = KeyFrameList()
    sequence = FrameSequence(keys)
    thumbnail = np.zeros((2, 2, 4), np.uint8)
    for state, n in zip(states, [0, *steps], strict=True):
        keys.append(KeyFrame(state, thumbnail, steps=int(n), ease=Easing.SINE))
    for i in range(n_frames):
        yield {k: sequence[i].camera[k] for k in ("center", "zoom", "angles")}


def movie_frames(
    view: View,
    times: Sequence[int] | None = None,
    *,
    turn: float = 0.0,
    stop: Callable[[], bool] | None = None,
) -> Iterator[np.ndarray]:
    """Draw frame after frame; slider and camera are put back at the end.

    Parameters
    ----------
    view
        Of the viewer; what it shows is drawn.
    times
        Frame numbers; all of the tracks' if left out.
    turn
        By how many of napari's degrees the camera turns to each side; in 3D only.
    stop
        Asked before each frame; True stops.

    Yields
    ------
    uint8 array (y, x, rgb)
        Of the canvas' size, cut to even numbers.

    Raises
    ------
    MovieError
        There are no tracks, or frames that they do not have.
    MovieStopped
        It was stopped, or the viewer was closed.
    """
    scene = view.scene
    if scene is None:
        raise MovieError("there are no tracks to make a movie of: open some first")
    have = scene.stage.time
    wanted = have if times is None else np.asarray(list(times), int)
    missing = np.setdiff1d(wanted, have)
    if len(missing) or not len(wanted):
        raise MovieError(
            f"the tracks have no frames {missing[:5].tolist()}; theirs are "
            f"{have[0]} to {have[-1]}"
            if len(missing)
            else "no frames were asked for"
        )
    return _draw(view, wanted, turn if view.in_3d else 0.0, stop)


def _draw(
    view: View, wanted: np.ndarray, turn: float, stop: Callable[[], bool] | None
) -> Iterator[np.ndarray]:
    viewer, before = view.viewer, view.frame
    camera = viewer.scene.camera
    kept = {k: getattr(camera, k) for k in ("center", "zoom", "angles")}
    path = camera_path(viewer, len(wanted), turn)
    size: tuple[int, int] | None = None
    try:
        for time, state in zip(wanted, path, strict=True):
            if view.scene is None or (stop is not None and stop()):
                raise MovieStopped
            if turn:
                camera.update(state)
            view.go_to(float(time))
            try:
                image = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
            except RuntimeError:  # Qt's half of the window is gone
                if view.scene is None:
                    raise MovieStopped from None
                raise
            if size is None:
                size = (2 * (image.shape[0] // 2), 2 * (image.shape[1] // 2))
            yield _fitted(image, size)
    finally:
        if view.scene is not None:
            view.go_to(before)
            camera.update(kept)


def _fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut or fill a picture: the window may have been resized meanwhile."""
    out = np.zeros((*size, 3), np.uint8)
    h, w = min(size[0], image.shape[0]), min(size[1], image.shape[1])
    out[:h, :w] = image[:h, :w]
    return out


def write_movie(
    frames: Iterable[np.ndarray],
    path: str | Path,
    fps: float = 25.0,
    *,
    overwrite: bool = False,
) -> Path:
    """Write frames as a movie; PyAV brings its own encoder.

    Parameters
    ----------
    frames
        uint8 arrays (y, x, rgb), as of `movie_frames`.
    path
        Ends in .mp4 or .gif.
    fps
        Frames per second.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path
        `path`; written whole or not at all.

    Raises
    ------
    MovieError
        Another ending, a rate that is not positive.
    SeuratTracksError
        The place is taken or cannot be written to; before anything is drawn.
    """
    from seurat_tracks.io._files import writing
    from seurat_tracks.notebook.animate import write_gif, write_mp4

    target = Path(path).expanduser()
    ending = target.suffix.lower()
    if ending not in (".mp4", ".gif"):
        raise MovieError(f"{target}: a movie ends in .mp4 or .gif")
    if not fps > 0:
        raise MovieError(f"fps must be a positive number, got {fps}")
    try:
        with writing(target, overwrite=overwrite) as partial:
            # the writers go by the ending
            named = partial.with_name(partial.name + ending)
            try:
                named.touch()
                if ending == ".mp4":
                    write_mp4(frames, named, fps)
                else:
                    write_gif(list(frames), named, fps, max_bytes=20_000_000)
                named.rename(partial)
            finally:
                named.unlink(missing_ok=True)
    except OSError as error:
        raise MovieError(f"{target} cannot be written: {error}") from error
    return target
