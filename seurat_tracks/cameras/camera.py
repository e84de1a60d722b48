"""A camera with its lens: intrinsics, distortion, and the image size they hold for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seurat_tracks.errors import CameraError
from seurat_tracks.geometry import Intrinsics, resolve_intrinsics

if TYPE_CHECKING:
    import xarray as xr

Lens = Literal["opencv", "fisheye"]

ATTRIBUTES = ("intrinsics", "intrinsics_source", "distortion", "lens")
"""Attributes in which a Dataset states its camera."""

_LENGTHS = {"opencv": (0, 4, 5, 8, 12, 14), "fisheye": (4,)}
_TOLERANCE = 0.5  # pixels by which a corrected point may miss when distorted again


@dataclass(frozen=True)
class Camera:
    """A calibrated camera.

    Parameters
    ----------
    intrinsics
        fx, fy, cx, cy in pixels, or a 3 x 3 matrix; pixel centres at integers.
    distortion
        Coefficients in OpenCV's order: k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3,
        s4[, tx, ty]]]] (lens "opencv"), or k1..k4 of cv2.fisheye (lens "fisheye").
        Empty: no distortion.
    lens
        Which of the two models.
    frame_size
        Width and height, pixels, of the images that were calibrated; None: those of
        the tracks.
    source
        Where the numbers are from, for the attribute ``intrinsics_source``.

    Raises
    ------
    CameraError
        If any of it is malformed; lists every fault.
    """

    intrinsics: Any
    distortion: Sequence[float] = ()
    lens: Lens = "opencv"
    frame_size: tuple[float, float] | None = None
    source: str = "given"

    def __post_init__(self) -> None:
        """Refuse what is no camera."""
        faults = []
        if self.lens not in _LENGTHS:
            raise CameraError(f'lens must be "opencv" or "fisheye", got {self.lens!r}')
        values = np.asarray(self.distortion, np.float64).ravel()
        lengths = _LENGTHS[self.lens]
        if len(values) not in lengths:
            faults.append(
                f"lens {self.lens!r} has {' or '.join(map(str, lengths))} distortion "
                f"coefficients, got {len(values)}"
            )
        if not np.isfinite(values).all():
            faults.append(f"distortion must be finite, got {values.tolist()}")
        found = None
        try:
            if self.frame_size is None:
                found = _form(self.intrinsics)
            else:
                found = resolve_intrinsics(self.intrinsics, self.frame_size)
        except CameraError as error:
            faults.append(str(error))
        if faults:
            raise CameraError(f"{self.source}: " + "; ".join(faults))
        object.__setattr__(self, "intrinsics", found)
        object.__setattr__(self, "distortion", tuple(values.tolist()))

    @property
    def distorts(self) -> bool:
        """Whether the lens bends anything."""
        return self.lens == "fisheye" or any(v != 0 for v in self.distortion)

    def at_size(self, frame_size: Sequence[float]) -> Camera:
        """Carry the calibration to images of another size and the same aspect.

        Parameters
        ----------
        frame_size
            Width and height, pixels.

        Returns
        -------
        Camera
            x becomes (x + 0.5) * width / old_width - 0.5; the distortion, which holds
            for normalised positions, stays.

        Raises
        ------
        CameraError
            If the aspect ratio differs by more than one pixel: the images were cropped.
        """
        size = (float(frame_size[0]), float(frame_size[1]))
        if self.frame_size is None:
            k = resolve_intrinsics(self.intrinsics, size)
            return replace(self, intrinsics=k, frame_size=size)
        sx, sy = size[0] / self.frame_size[0], size[1] / self.frame_size[1]
        if abs(self.frame_size[1] * sx - size[1]) > 1:
            turned = (
                "; the video is turned by 90 degrees"
                if abs(self.frame_size[0] * size[0] / self.frame_size[1] - size[1]) <= 1
                else ""
            )
            raise CameraError(
                f"{self.source}: calibrated for images of {self.frame_size[0]:g} x "
                f"{self.frame_size[1]:g}, but the tracks in frames of {size[0]:g} x "
                f"{size[1]:g}, which have another aspect ratio{turned}: correct the "
                "principal point for the cropping and give Camera(..., frame_size=)"
            )
        fx, fy, cx, cy = self.intrinsics
        k = Intrinsics(fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5)
        return replace(self, intrinsics=k, frame_size=size)

    def undistort(self, xy: Any) -> np.ndarray:
        """Where points would appear in a pinhole camera with the same intrinsics.

        Parameters
        ----------
        xy : float array (..., 2)
            Pixels; NaN = no observation.

        Returns
        -------
        float array (..., 2)
            Pixels, of the dtype of `xy`; NaN also where the lens model cannot be
            inverted (half a pixel off when distorted again).
        """
        xy = np.asarray(xy)
        if not self.distorts:
            return xy
        flat = xy.reshape(-1, 2).astype(np.float64)
        out = np.full_like(flat, np.nan)
        known = np.isfinite(flat).all(1)
        if known.any():
            out[known] = _undistort(flat[known], self)
        return out.reshape(xy.shape).astype(xy.dtype)

    def distort(self, xy: Any) -> np.ndarray:
        """Where pinhole positions appear through the lens; inverse of `undistort`.

        Parameters
        ----------
        xy : float array (..., 2)
            Pixels of a pinhole camera with the same intrinsics.

        Returns
        -------
        float64 array (..., 2)
        """
        xy = np.asarray(xy, np.float64)
        fx, fy, cx, cy = self.intrinsics
        rays = (xy.reshape(-1, 2) - (cx, cy)) / (fx, fy)
        return _distort(rays, self).reshape(xy.shape)


def _form(intrinsics: Any) -> Intrinsics:
    """Read intrinsics whose image size is not known yet."""
    values = np.asarray(intrinsics, np.float64)
    if values.size not in (4, 9):
        raise CameraError(
            "intrinsics must be fx, fy, cx, cy or a 3 x 3 matrix where the image size "
            f"is not stated, got {intrinsics!r}"
        )
    if values.size == 9:
        size = 2 * values.reshape(3, 3)[[0, 1], [2, 2]] + 1
    else:
        size = 2 * values[2:] + 1
    return resolve_intrinsics(intrinsics, np.maximum(size, 1).tolist())


def _matrix(camera: Camera) -> np.ndarray:
    fx, fy, cx, cy = camera.intrinsics
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def _distort(rays: np.ndarray, camera: Camera) -> np.ndarray:
    import cv2

    if not len(rays):
        return rays
    k, d = _matrix(camera), np.asarray(camera.distortion, np.float64)
    if camera.lens == "fisheye":
        return cv2.fisheye.distortPoints(rays[:, None], k, d)[:, 0]
    points = np.column_stack([rays, np.ones(len(rays))])
    zero = np.zeros(3)
    return cv2.projectPoints(points, zero, zero, k, d)[0][:, 0]


def _undistort(xy: np.ndarray, camera: Camera) -> np.ndarray:
    import cv2

    k, d = _matrix(camera), np.asarray(camera.distortion, np.float64)
    fish = camera.lens == "fisheye"
    undo: Any = cv2.fisheye.undistortPoints if fish else cv2.undistortPoints
    rays = undo(xy[:, None], k, d)[:, 0]
    rays = np.asarray(rays, np.float64)
    good = np.isfinite(rays).all(1) & (np.abs(rays) < 1e3).all(1)
    rays[~good] = 0
    focal = (k[0, 0], k[1, 1])
    # OpenCV stops after a few rounds: go on from there, where that converges
    miss = _distort(rays, camera) - xy
    for _ in range(30):
        step = rays - miss / focal
        after = _distort(step, camera) - xy
        with np.errstate(invalid="ignore"):
            better = np.abs(after).max(1) < np.abs(miss).max(1)
        rays, miss = (
            np.where(better[:, None], *v) for v in ((step, rays), (after, miss))
        )
        if not better.any() or np.abs(miss[good]).max(initial=0) < 1e-4:
            break
    good &= np.abs(miss).max(1) < _TOLERANCE
    out = rays * (k[0, 0], k[1, 1]) + (k[0, 2], k[1, 2])
    return np.where(good[:, None], out, np.nan)


def resolve_camera(intrinsics: Any, ds: xr.Dataset) -> Camera:
    """Read any accepted description of the camera, for the frames of a Dataset.

    Parameters
    ----------
    intrinsics
        A `Camera`; the path of a calibration file (`read_camera`);
        a source with a method ``intrinsics(ds)`` that gives fx, fy, cx, cy or any other
        of these; or what `seurat_tracks.geometry.resolve_intrinsics` takes.
    ds
        Tracks with the attribute ``frame_size``.

    Returns
    -------
    Camera
        At the frame size of the tracks.

    Raises
    ------
    CameraError
        If it is not understood, or belongs to images of another shape.
    """
    from seurat_tracks.cameras.files import read_camera

    size = ds.attrs["frame_size"]
    if isinstance(intrinsics, str) and intrinsics == "exif":
        raise CameraError(
            'intrinsics="exif" needs a file: tracks do not say where their video is. '
            "Give intrinsics=seurat_tracks.cameras.from_exif(path)"
        )
    if isinstance(intrinsics, (str, os.PathLike)):
        return read_camera(intrinsics).at_size(size)
    asked = getattr(intrinsics, "intrinsics", None)
    if callable(asked):
        name = str(getattr(intrinsics, "name", type(intrinsics).__name__))
        found = resolve_camera(asked(ds), ds)
        if found.source == "given":
            found = replace(found, source=f"estimated by {name}")
        return found
    if isinstance(intrinsics, Camera):
        return intrinsics.at_size(size)
    k = resolve_intrinsics(intrinsics, size)
    return Camera(k, frame_size=(float(size[0]), float(size[1])))


def camera_of(ds: xr.Dataset) -> Camera | None:
    """Read the camera that a Dataset states in its attributes; None if it has none."""
    k = ds.attrs.get("intrinsics")
    if k is None:
        return None
    return Camera(
        k,
        distortion=ds.attrs.get("distortion", ()),
        lens=ds.attrs.get("lens", "opencv"),
        frame_size=tuple(float(v) for v in ds.attrs["frame_size"]),  # type: ignore[arg-type]
        source=str(ds.attrs.get("intrinsics_source", "given")),
    )


def undistorted(xy: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Positions of a pinhole camera, lazily; the same array if nothing is distorted.

    Parameters
    ----------
    xy : DataArray (..., coord)
        Pixels.
    ds
        The Dataset whose attributes state the camera.

    Returns
    -------
    DataArray
        Of the same dims and dtype; see `Camera.undistort`.
    """
    import xarray as xr

    if not ds.attrs.get("distortion"):
        return xy
    camera = camera_of(ds)
    assert camera is not None
    if not camera.distorts:
        return xy
    if xy.chunks is not None:
        xy = xy.chunk({"coord": -1})
    dims = xy.dims
    out = xr.apply_ufunc(
        camera.undistort,
        xy,
        input_core_dims=[["coord"]],
        output_core_dims=[["coord"]],
        dask="parallelized",
        output_dtypes=[xy.dtype],
        keep_attrs=True,
    )
    return out.transpose(*dims)


def straight(
    xy: xr.DataArray, visible: xr.DataArray, ds: xr.Dataset
) -> tuple[xr.DataArray, xr.DataArray]:
    """Undo a stated distortion; points that no ray is known of are hidden, lazily.

    Parameters
    ----------
    xy : DataArray (..., coord)
        Pixels.
    visible : DataArray (...)
    ds
        The Dataset whose attributes state the camera.

    Returns
    -------
    xy, visible : DataArray
        The same arrays if nothing is distorted.
    """
    out = undistorted(xy, ds)
    if out is xy:
        return xy, visible
    lost = (xy.notnull() & out.isnull()).any("coord")
    return out, visible & ~lost
