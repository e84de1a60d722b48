"""Calibration files: OpenCV YAML, XML or JSON, COLMAP cameras.txt, Kalibr camchain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks.cameras.camera import Camera
from seurat_tracks.errors import CameraError

# COLMAP's models (src/colmap/sensor/models.h): where each parameter goes. "f" is both
# focal lengths; k1.. are in OpenCV's order.
_COLMAP = {
    "SIMPLE_PINHOLE": ("opencv", "f cx cy"),
    "PINHOLE": ("opencv", "fx fy cx cy"),
    "SIMPLE_RADIAL": ("opencv", "f cx cy k1"),
    "RADIAL": ("opencv", "f cx cy k1 k2"),
    "OPENCV": ("opencv", "fx fy cx cy k1 k2 p1 p2"),
    "FULL_OPENCV": ("opencv", "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6"),
    "OPENCV_FISHEYE": ("fisheye", "fx fy cx cy k1 k2 k3 k4"),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", "f cx cy k1"),
    "RADIAL_FISHEYE": ("fisheye", "f cx cy k1 k2"),
}
_ORDER = {
    "opencv": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "fisheye": ("k1", "k2", "k3", "k4"),
}
_MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "M1")
_DISTORTION_KEYS = (
    "distortion_coefficients",
    "Distortion_Coefficients",
    "dist_coeffs",
    "distCoeffs",
    "D",
    "D1",
)


def read_camera(
    path: str | os.PathLike[str], *, camera: int | str | None = None
) -> Camera:
    """Read a calibration file.

    Parameters
    ----------
    path
        A file of OpenCV's FileStorage (.yml, .yaml, .xml, .json), as its calibration
        sample writes; COLMAP's cameras.txt; or Kalibr's camchain.yaml.
    camera
        Which one, where the file holds several: COLMAP's CAMERA_ID, or Kalibr's name
        such as "cam0".

    Returns
    -------
    Camera
        With pixel centres at integers: COLMAP's principal point moves by half a pixel.

    Raises
    ------
    CameraError
        If the file is missing, of none of these formats, of a lens model that cannot be
        undone here, or holds several cameras and `camera` does not say which.
    """
    path = Path(path)
    if not path.is_file():
        raise CameraError(f"camera file {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CameraError(f"{path} is not a text file, so no camera file") from None
    suffix = path.suffix.lower()
    if suffix in (".yml", ".yaml") and not text.startswith("%YAML"):
        found = _yaml(text, path)
        if any(isinstance(v, dict) and "camera_model" in v for v in found.values()):
            return _kalibr(found, camera, path)
    if suffix in (".yml", ".yaml", ".xml", ".json"):
        return _opencv(path)
    if suffix == ".txt":
        return _colmap(text, camera, path)
    raise CameraError(
        f"{path}: no camera file that is understood; give OpenCV's .yml, .xml, .json, "
        "COLMAP's cameras.txt, or Kalibr's camchain.yaml"
    )


def _yaml(text: str, path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CameraError(f"{path} is no YAML file: {error}") from None
    return found if isinstance(found, dict) else {}


def _pick(cameras: dict[str, Any], wanted: Any, path: Path) -> tuple[str, Any]:
    if wanted is None and len(cameras) == 1:
        return next(iter(cameras.items()))
    if wanted is None or str(wanted) not in cameras:
        what = "holds several cameras" if wanted is None else f"has no {wanted!r}"
        raise CameraError(
            f"{path} {what}: pass camera=, one of {', '.join(cameras) or '(none)'}"
        )
    return str(wanted), cameras[str(wanted)]


def _kalibr(found: dict[str, Any], wanted: Any, path: Path) -> Camera:
    cameras = {k: v for k, v in found.items() if isinstance(v, dict)}
    name, one = _pick(cameras, wanted, path)
    faults = []
    if one.get("camera_model") != "pinhole":
        faults.append(f"camera_model {one.get('camera_model')!r} is not pinhole")
    model = one.get("distortion_model", "none")
    if model not in ("radtan", "equidistant", "none"):
        faults.append(f"distortion_model {model!r} is not radtan, equidistant or none")
    faults += [f"{k} is missing" for k in ("intrinsics", "resolution") if k not in one]
    if faults:
        raise CameraError(f"{path}, {name}: " + "; ".join(faults))
    return Camera(
        one["intrinsics"],
        distortion=[] if model == "none" else one.get("distortion_coeffs", []),
        lens="fisheye" if model == "equidistant" else "opencv",
        frame_size=_size(one["resolution"], f"{path}, {name}: resolution"),
        source=f"{path.name} ({name}, Kalibr)",
    )


def _opencv(path: Path) -> Camera:
    import cv2

    try:
        store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    except (cv2.error, SystemError):
        store = None
    if store is None or not store.isOpened():
        raise CameraError(f"{path} cannot be read by OpenCV's FileStorage")
    root = store.root()
    keys = [] if root.isNone() else list(root.keys())
    key = next((k for k in _MATRIX_KEYS if k in keys), None)
    matrix = None if key is None else store.getNode(key).mat()
    if matrix is None or matrix.shape != (3, 3):
        raise CameraError(
            f"{path} holds no 3 x 3 camera matrix under any of "
            f"{', '.join(_MATRIX_KEYS)}; it has {', '.join(keys) or 'nothing'}"
        )
    key = next((k for k in _DISTORTION_KEYS if k in keys), None)
    bent = None if key is None else store.getNode(key).mat()
    lens = "opencv"
    if "fisheye_model" in keys and store.getNode("fisheye_model").real():
        lens = "fisheye"
    size = None
    if {"image_width", "image_height"} <= set(keys):
        size = _size(
            [store.getNode(k).real() for k in ("image_width", "image_height")], path
        )
    store.release()
    values = [] if bent is None else np.ravel(bent).tolist()
    return Camera(matrix, values, lens, size, f"{path.name} (OpenCV)")  # type: ignore[arg-type]


def _colmap(text: str, wanted: Any, path: Path) -> Camera:
    cameras = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 5 or not words[0].isdigit():
            raise CameraError(
                f"{path}, line {number}: not CAMERA_ID MODEL WIDTH HEIGHT PARAMS, so "
                "no COLMAP cameras.txt"
            )
        cameras[words[0]] = words[1:]
    name, (model, width, height, *values) = _pick(cameras, wanted, path)
    if model not in _COLMAP:
        raise CameraError(
            f"{path}, camera {name}: model {model} cannot be undone here; it can for "
            f"{', '.join(_COLMAP)}. COLMAP's image_undistorter makes a PINHOLE of it"
        )
    lens, wants = _COLMAP[model]
    names = wants.split()
    try:
        given = dict(zip(names, (float(v) for v in values), strict=True))
    except ValueError:
        raise CameraError(
            f"{path}, camera {name}: {model} has {len(names)} numbers ({wants}), got "
            f"{' '.join(values)}"
        ) from None
    fx, fy = given.get("fx", given.get("f")), given.get("fy", given.get("f"))
    bent = [given.get(k, 0.0) for k in _ORDER[lens]]
    if lens == "opencv":
        bent = [] if not any(bent) else bent[:4] if not any(bent[4:]) else bent
    return Camera(
        # COLMAP puts the first pixel's centre at (0.5, 0.5)
        (fx, fy, given["cx"] - 0.5, given["cy"] - 0.5),
        bent,
        lens,  # type: ignore[arg-type]
        _size((width, height), f"{path}, camera {name}: size"),
        f"{path.name} (camera {name}, COLMAP {model})",
    )


def _size(value: Sequence[Any], where: Any) -> tuple[float, float]:
    try:
        width, height = (float(v) for v in value)
    except (TypeError, ValueError):
        raise CameraError(f"{where}: not a width and a height: {value!r}") from None
    if not (0 < width < np.inf and 0 < height < np.inf):
        raise CameraError(f"{where}: not positive: {value!r}")
    return width, height
