"""What a photograph or a video says about its own camera."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from seurat_tracks.cameras.camera import Camera
from seurat_tracks.errors import CameraError

_EXIF_IFD = 0x8769
_FOCAL_35, _FOCAL_MM = 0xA405, 0x920A
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
_ORIGINAL_WIDTH, _ORIGINAL_HEIGHT = 0xA002, 0xA003
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_DIAGONAL_35 = math.hypot(36, 24)
_VIDEO_KEYS = (
    "com.apple.quicktime.camera.focal_length.35mm_equivalent",
    "camera.focal_length.35mm_equivalent",
    "focal_length_35mm",
)
_PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}


def from_exif(path: str | os.PathLike[str]) -> Camera:
    """Camera from the EXIF of a picture or the tags of a video container.

    Parameters
    ----------
    path
        A JPEG, PNG, TIFF or WebP picture, or a video.

    Returns
    -------
    Camera
        With square pixels, the principal point at the image's centre, no distortion,
        and a `source` that names the tag. A focal length of f mm in 35 mm equivalent is
        f * diagonal / 43.27 mm pixels; failing that, a focal length in mm with the
        resolution of the focal plane, both as EXIF 2.32 defines them.

    Raises
    ------
    CameraError
        If the file cannot be read or says nothing of the focal length: nothing is
        guessed from a model name.

    Notes
    -----
    A cropped or stabilised video has a narrower view than its lens: video often uses a
    part of the sensor alone, and some cameras' tags ignore that. Of zooms only the
    setting that the file names is known.
    """
    path = Path(path)
    if not path.is_file():
        raise CameraError(f"{path} does not exist")
    if path.suffix.lower() in _PICTURES:
        return _from_picture(path)
    return _from_video(path)


def _from_picture(path: Path) -> Camera:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            size = picture.size
            tags = dict(picture.getexif().get_ifd(_EXIF_IFD))
    except (OSError, UnidentifiedImageError) as error:
        raise CameraError(f"{path} cannot be read as a picture: {error}") from None
    equivalent = _positive(tags.get(_FOCAL_35))
    if equivalent:
        return _equivalent(equivalent, size, f"{path.name} (EXIF, 35 mm equivalent)")
    focal = _positive(tags.get(_FOCAL_MM))
    unit = _MILLIMETRES.get(int(tags.get(_PLANE_UNIT, 2)))
    density = [_positive(tags.get(k)) for k in (_PLANE_X, _PLANE_Y)]
    if focal and unit and all(density):
        # EXIF gives the density for the image as taken, which may have been resized
        taken = [
            _positive(tags.get(k)) or own
            for k, own in zip((_ORIGINAL_WIDTH, _ORIGINAL_HEIGHT), size, strict=True)
        ]
        fx, fy = (focal * d / unit for d in density if d)
        own = Camera(
            (fx, fy, (taken[0] - 1) / 2, (taken[1] - 1) / 2),
            frame_size=(taken[0], taken[1]),
            source=f"{path.name} (EXIF, focal plane)",
        )
        return own.at_size(size)
    raise CameraError(
        f"{path}: its EXIF has neither FocalLengthIn35mmFilm nor FocalLength with "
        "FocalPlaneXResolution and FocalPlaneYResolution, so the field of view is "
        'unknown; give intrinsics=(fx, fy, cx, cy) or {"fov": degrees}'
    )


def _from_video(path: Path) -> Camera:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise CameraError(f"{path} holds no video")
            stream = container.streams.video[0]
            size = (stream.codec_context.width, stream.codec_context.height)
            tags = {**container.metadata, **stream.metadata}
    except (av.error.FFmpegError, OSError) as error:
        raise CameraError(f"{path} cannot be read as a video: {error}") from None
    lower = {k.lower(): v for k, v in tags.items()}
    for key in _VIDEO_KEYS:
        focal = _positive(lower.get(key))
        if focal:
            return _equivalent(focal, size, f"{path.name} (tag {key})")
    raise CameraError(
        f"{path}: no tag of the video says what its focal length is (looked for "
        f"{', '.join(_VIDEO_KEYS)}; it has {', '.join(sorted(tags)) or 'none'}); give "
        'intrinsics=(fx, fy, cx, cy) or {"fov": degrees}'
    )


def _equivalent(focal: float, size: tuple[int, int], source: str) -> Camera:
    width, height = size
    pixels = focal * math.hypot(width, height) / _DIAGONAL_35
    return Camera(
        (pixels, pixels, (width - 1) / 2, (height - 1) / 2),
        frame_size=(width, height),
        source=source,
    )


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None
