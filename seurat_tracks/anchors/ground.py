"""Depth of points on the ground, from the height of the camera above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.depth.base import Span, positive_metres
from seurat_tracks.errors import DepthError

if TYPE_CHECKING:
    import xarray as xr

_DIRECTIONS = ("pitch", "horizon", "down")


class Ground:
    """A level plane under the camera, and tracks of points on it.

    Parameters
    ----------
    tracks
        Ids of tracks that lie on the ground.
    height
        Of the camera above the ground, metres, the same in all frames.
    pitch
        Radians by which the camera looks down from level.
    horizon
        Row of the image, pixels, in which the horizon lies at the principal column.
    down
        The direction of gravity in the camera's axes (x right, y down, z forward).

    One of the last three is given; the first two say that the camera is not rolled. All
    hold for every frame.

    Raises
    ------
    DepthError
        If any of it makes no sense; lists every fault.
    """

    licence = ""
    metric = True
    span: Span = "run"

    def __init__(
        self,
        tracks: Any,
        height: float,
        *,
        pitch: float | None = None,
        horizon: float | None = None,
        down: Any = None,
    ) -> None:
        faults = []
        try:
            self.height = positive_metres(height, "height")
        except DepthError as error:
            faults.append(str(error))
        self.tracks = np.asarray(tracks, object).ravel().tolist()
        if not self.tracks:
            faults.append("no tracks")
        given = [
            k
            for k, v in zip(_DIRECTIONS, (pitch, horizon, down), strict=True)
            if v is not None
        ]
        if len(given) != 1:
            faults.append(
                f"give one of {', '.join(_DIRECTIONS)}, got {', '.join(given) or 0}"
            )
        if pitch is not None and not -np.pi / 2 <= pitch <= np.pi / 2:
            faults.append(f"pitch is in radians, -pi/2 to pi/2, got {pitch!r}")
        if down is not None:
            down = np.asarray(down, np.float64).ravel()
            if down.shape != (3,) or not np.linalg.norm(down) > 0:
                faults.append(f"down must be three numbers, not all 0, got {down!r}")
        if faults:
            raise DepthError("ground: " + "; ".join(faults))
        self.pitch, self.horizon, self.down = pitch, horizon, down

    @classmethod
    def read(cls, ground: Any) -> Ground:
        """Read a `Ground`, or a dict of its parameters."""
        if isinstance(ground, cls):
            return ground
        if not isinstance(ground, Mapping):
            raise DepthError(
                "ground must be a dict with tracks, height and one of "
                f"{', '.join(_DIRECTIONS)}, got {ground!r}"
            )
        try:
            return cls(**ground)
        except TypeError as error:
            raise DepthError(f"ground: {error}") from None

    @property
    def name(self) -> str:
        """Such as "ground plane 1.5 m below the camera"."""
        return f"ground plane {self.height:g} m below the camera"

    def direction(self, intrinsics: Any) -> np.ndarray:
        """Give the unit vector that points down, in the camera's axes."""
        if self.down is not None:
            return self.down / np.linalg.norm(self.down)
        pitch = self.pitch
        if pitch is None:
            _, fy, _, cy = intrinsics
            assert self.horizon is not None
            # the horizon lies above the centre where the camera looks down
            pitch = float(np.arctan2(cy - self.horizon, fy))
        return np.array([0.0, np.cos(pitch), np.sin(pitch)])

    def at_tracks(self, ds: xr.Dataset) -> xr.DataArray:
        """Depth at which the rays of the ground's tracks meet it, NaN elsewhere.

        Returns
        -------
        float32 DataArray (track, time)
            Lazy if ``xy`` is; NaN above the horizon.

        Raises
        ------
        DepthError
            If an id is not there, or no camera is stated.
        """
        import xarray as xr

        from seurat_tracks.cameras.camera import undistorted

        if "intrinsics" not in ds.attrs:
            raise DepthError("ground needs the camera's intrinsics: pass intrinsics=")
        ids = ds["track"].values.tolist()
        missing = [t for t in self.tracks if t not in set(ids)]
        if missing:
            raise DepthError(f"ground: no track {', '.join(map(repr, missing))}")
        on = np.isin(np.arange(len(ids)), [ids.index(t) for t in self.tracks])
        fx, fy, cx, cy = ds.attrs["intrinsics"]
        down = self.direction(ds.attrs["intrinsics"])
        xy = undistorted(ds["xy"].transpose("track", "time", "coord"), ds)
        xy = xy.drop_vars(list(xy.coords))
        falls = (
            down[0] * (xy.isel(coord=0) - cx) / fx
            + down[1] * (xy.isel(coord=1) - cy) / fy
            + down[2]
        )
        mask = xr.DataArray(on, dims="track")
        # near the horizon a pixel is worth any distance
        return (self.height / falls.where((falls > 0.02) & mask)).astype("float32")
