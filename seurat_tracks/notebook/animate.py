"""Animated pictures of lifted tracks: mp4 through PyAV, GIF through Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.drawing import COLOUR_MAP, Drawing, prepare
from seurat_tracks.notebook.picture import new_figure, side_by_side
from seurat_tracks.progress import bar

if TYPE_CHECKING:
    import PIL.Image
    import xarray as xr

GIF_STEPS = ((900, 1, 128), (800, 2, 96), (640, 2, 64), (560, 3, 48), (480, 4, 32))
"""Width, frame step and colours that `write_gif` tries until the file is small."""


def render(
    ds: xr.Dataset | Drawing,
    video: Any,
    *,
    times: Sequence[int] | None = None,
    tail: int | None = 12,
    width: int = 1200,
    sweep: float = 30.0,
    title: str | None = None,
) -> Iterator[np.ndarray]:
    """Draw one picture for each frame, lazily.

    Parameters
    ----------
    ds
        Lifted tracks, or the result of `seurat_tracks.notebook.plots.prepare`.
    video
        The video, anything `seurat_tracks.io.video.open_video` takes.
    times
        Frame numbers, increasing; all of the Dataset's if left out.
    tail
        How many frames each track reaches back over the frame; in 3D all are drawn.
    width
        Width of the pictures in pixels.
    sweep
        By how many of matplotlib's degrees the 3D view turns to and fro.
    title
        A line above.

    Yields
    ------
    uint8 array (y, x, rgb)
        Of even height and width.

    Raises
    ------
    SeuratTracksError
        If Dataset or video lack one of the frames; before anything is drawn.
    """
    from seurat_tracks.io.video import open_video

    drawing = ds if isinstance(ds, Drawing) else prepare(ds)
    chosen = [int(t) for t in (drawing.time if times is None else times)]
    frames = open_video(video)
    for what, have in (("Dataset", drawing.time), ("video", frames["time"].values)):
        missing = sorted(set(chosen) - {int(t) for t in have})
        if missing or not chosen:
            raise SeuratTracksError(
                f"cannot animate: the {what} lacks frames {missing[:5]}"
                if missing
                else "cannot animate: no frames were asked for"
            )
    return _draw(drawing, frames, chosen, tail, width, sweep, title)


def _draw(
    drawing: Drawing,
    frames: xr.DataArray,
    times: list[int],
    tail: int | None,
    width: int,
    sweep: float,
    title: str | None,
) -> Iterator[np.ndarray]:
    figure = new_figure(width)
    for i, time in enumerate(times):
        turn = 0.5 * sweep * np.sin(2 * np.pi * i / len(times))
        side_by_side(
            figure,
            drawing,
            np.asarray(frames.sel(time=time).values),
            time=time,
            tail=tail,
            view=(18.0, -65.0 + turn),
            title=title,
        )
        figure.canvas.draw()
        rgba = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
        height, breadth = (2 * (n // 2) for n in rgba.shape[:2])
        yield rgba[:height, :breadth, :3].copy()


def animate(
    ds: xr.Dataset | Drawing,
    video: Any,
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    fps: float | None = None,
    max_bytes: int = 2_000_000,
    progress: bool | None = None,
    **options: Any,
) -> list[Path]:
    """Write an animation: tracks over the frames beside the same tracks in 3D.

    Parameters
    ----------
    ds, video
        As in `render`.
    paths
        One or several files to write; .mp4 or .gif.
    fps
        Frames per second; the Dataset's or video's own, else 25.
    max_bytes
        Largest size of a GIF.
    progress
        True or False for a bar or none; None: a bar in a notebook or on a terminal.
    **options
        Those of `render`.

    Returns
    -------
    list of Path
        Where they were written.

    Raises
    ------
    SeuratTracksError
        For another file ending, or frames that are not there.
    """
    from seurat_tracks.io.video import open_video

    targets = [
        Path(p) for p in ([paths] if isinstance(paths, str | PathLike) else paths)
    ]
    unknown = [p.name for p in targets if p.suffix.lower() not in {".mp4", ".gif"}]
    if unknown or not targets:
        raise SeuratTracksError(
            f"an animation is written as .mp4 or .gif, not {', '.join(unknown) or '?'}"
        )
    rate = fps or open_video(video).attrs.get("fps", 25.0)
    drawing = ds if isinstance(ds, Drawing) else prepare(ds)
    times = options.get("times")
    pictures = bar(
        render(drawing, video, **options),
        total=len(drawing.time if times is None else times),
        desc="drawing",
        unit="frame",
        progress=progress,
    )
    images = list(pictures)
    for target in targets:
        if target.suffix.lower() == ".mp4":
            write_mp4(images, target, rate)
        else:
            write_gif(images, target, rate, max_bytes=max_bytes)
    return targets


def write_mp4(
    images: Iterable[np.ndarray], path: str | PathLike[str], fps: float
) -> Path:
    """Write uint8 images (y, x, rgb) of even size as an H.264 mp4."""
    from fractions import Fraction

    import av

    target = Path(path)
    with av.open(str(target), "w") as container:
        stream: Any = None
        for image in images:
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=Fraction(fps).limit_denominator(10_000)
                )
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": "20", "movflags": "faststart"}
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        if stream is None:
            raise SeuratTracksError(f"no images to write to {target}")
        container.mux(stream.encode())
    return target


def write_gif(
    images: Sequence[np.ndarray],
    path: str | PathLike[str],
    fps: float,
    *,
    max_bytes: int = 2_000_000,
) -> Path:
    """Write uint8 images (y, x, rgb) as a looping GIF that is not too large.

    Parameters
    ----------
    images
        Pictures, all of one size.
    path
        File to write.
    fps
        Frames per second of ``images``.
    max_bytes
        The best of `GIF_STEPS` that stays below is kept.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    SeuratTracksError
        If there are no images, or even the smallest version is too large.
    """
    target = Path(path)
    if not len(images):
        raise SeuratTracksError(f"no images to write to {target}")
    for width, step, colours in GIF_STEPS:
        data = _gif(images[::step], width, colours, fps / step)
        if len(data) <= max_bytes:
            target.write_bytes(data)
            return target
    raise SeuratTracksError(
        f"{len(images)} images do not fit into a GIF of {max_bytes} bytes; write "
        f"fewer frames, or an mp4"
    )


def _palette(sheet: PIL.Image.Image, colours: int) -> PIL.Image.Image:
    """Colours of the pictures, a quarter of them kept for those of the tracks."""
    import matplotlib as mpl
    from PIL import Image

    kept = colours // 4
    tracks = mpl.colormaps[COLOUR_MAP](np.linspace(0, 1, kept))[:, :3]
    common = sheet.quantize(colours - kept).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [*common[: 3 * (colours - kept)], *(255 * tracks).astype(int).ravel().tolist()]
    )
    return palette


def _gif(images: Sequence[np.ndarray], width: int, colours: int, fps: float) -> bytes:
    from io import BytesIO

    from PIL import Image

    height = round(images[0].shape[0] * width / images[0].shape[1])
    small = [Image.fromarray(i).resize((width, height)) for i in images]
    # One palette for all: a palette of its own makes every frame flicker and grow.
    sheet = Image.new("RGB", (width, height * min(6, len(small))))
    for row, index in enumerate(np.linspace(0, len(small) - 1, min(6, len(small)))):
        sheet.paste(small[int(index)], (0, row * height))
    palette = _palette(sheet, colours)
    flat = [i.quantize(palette=palette, dither=Image.Dither.NONE) for i in small]
    buffer = BytesIO()
    flat[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=flat[1:],
        # Browsers slow down anything faster than 50 frames a second.
        duration=max(20, round(1000 / fps)),
        loop=0,
        optimize=True,
    )
    return buffer.getvalue()
