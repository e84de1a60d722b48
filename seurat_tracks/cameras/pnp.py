"""Camera poses from tracks of things that stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.cameras.poses import Poses
from seurat_tracks.errors import CameraError, DepthError, SchemaError

if TYPE_CHECKING:
    import xarray as xr

FEWEST = 6
"""Points below which no pose is estimated."""


def estimate_poses(
    ds: xr.Dataset, static: Any = None, *, error: float = 2.0
) -> tuple[Poses, xr.Dataset]:
    """Find how the camera moved, from tracks that stand still.

    Parameters
    ----------
    ds
        Tracks with ``xyz`` in the camera's frame, in metres. Not lazy work: the static
        tracks are computed.
    static
        Ids of tracks that stand still; None: all of them, of which RANSAC finds those
        that move alike.
    error
        Pixels by which a static point may miss its place.

    Returns
    -------
    poses : Poses
        Marked as estimated; the world is the camera's frame in the first frame with
        enough points. NaN where too few are seen.
    table : xr.Dataset
        ``inliers`` and ``points`` (time): how many points agree, and were used.

    Raises
    ------
    SchemaError
        If ``xyz`` is missing or an id is not there.
    DepthError
        If depth is relative.
    CameraError
        If no frame has enough points, or no frame but the first agrees with them.

    Notes
    -----
    cv2.solvePnPRansac (EPnP, then Levenberg-Marquardt on the inliers) on each frame
    against a map of the points. Points that are first seen later join the map where
    the frame's own pose puts them, so that errors add up in long videos.
    """
    import xarray as xr

    from seurat_tracks.cameras.camera import camera_of, undistorted

    if "xyz" not in ds:
        raise SchemaError("estimate_poses needs xyz: call lift3d(depth=...) first")
    if ds.attrs.get("units") != "m":
        raise DepthError(
            f"estimate_poses needs metric depth, but units are "
            f"{ds.attrs.get('units')!r}"
        )
    if ds.attrs.get("frame_of_reference") == "world":
        raise CameraError("xyz is in the world's frame; estimate before giving poses")
    rows = _rows(ds, static)
    part = ds.isel(track=rows)
    straight = undistorted(part["xy"].transpose("track", "time", "coord"), ds)
    xyz = part["xyz"].transpose("track", "time", "axis").values.astype(np.float64)
    xy = straight.values.astype(np.float64)
    seen = part["visible"].transpose("track", "time").values
    seen = seen & np.isfinite(xy).all(-1) & np.isfinite(xyz).all(-1)
    camera = camera_of(ds)
    assert camera is not None
    fx, fy, cx, cy = camera.intrinsics
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    matrices, inliers, points = _follow(xy, xyz, seen, k, error)
    if not np.isfinite(matrices[:, 0, 0]).any():
        raise CameraError(
            f"no frame shows {FEWEST} static points with a position: give more of them"
        )
    if np.isfinite(matrices[:, 0, 0]).sum() < 2:
        raise CameraError(
            "no second frame agrees with the static points: do they stand still, and "
            "are the intrinsics right?"
        )
    table = xr.Dataset(
        {"inliers": ("time", inliers), "points": ("time", points)},
        coords={"time": ds["time"].values},
    )
    name = f"estimated from {len(rows)} static tracks (PnP)"
    poses = Poses(matrices, "camera_to_world", ds["time"].values, name, estimated=True)
    return poses, table


def _rows(ds: xr.Dataset, static: Any) -> np.ndarray:
    if static is None:
        return np.arange(ds.sizes["track"])
    row = {v: i for i, v in enumerate(ds["track"].values.tolist())}
    ids = np.asarray(static).ravel().tolist()
    missing = [i for i in ids if i not in row]
    if missing:
        raise SchemaError(
            f"no track {', '.join(map(repr, missing))} among the static ones"
        )
    return np.array([row[i] for i in ids], int)


def _follow(
    xy: np.ndarray, xyz: np.ndarray, seen: np.ndarray, k: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera-to-world (time, 4, 4), inliers and points by frame."""
    T = seen.shape[1]
    matrices = np.full((T, 4, 4), np.nan)
    inliers, points = np.zeros(T, int), np.zeros(T, int)
    enough = np.flatnonzero(seen.sum(0) >= FEWEST)
    if not len(enough):
        return matrices, inliers, points
    start = int(enough[0])
    matrices[start] = np.eye(4)
    world = np.where(seen[:, start, None], xyz[:, start], np.nan)
    points[start] = inliers[start] = seen[:, start].sum()
    last = np.eye(4)
    for t in range(start + 1, T):
        use = seen[:, t] & np.isfinite(world).all(1)
        points[t] = use.sum()
        if points[t] < FEWEST:
            continue
        found = _pnp(world[use], xy[use, t], k, error, last)
        if found is None:
            continue
        last, inliers[t] = found
        pose = np.linalg.inv(last)
        matrices[t] = pose
        new = seen[:, t] & ~np.isfinite(world).all(1)
        world[new] = xyz[new, t] @ pose[:3, :3].T + pose[:3, 3]
    return matrices, inliers, points


def _pnp(
    world: np.ndarray, xy: np.ndarray, k: np.ndarray, error: float, near: np.ndarray
) -> tuple[np.ndarray, int] | None:
    import cv2

    cv2.setRNGSeed(0)
    turn, _ = cv2.Rodrigues(near[:3, :3])
    ok, turn, shift, which = cv2.solvePnPRansac(
        world,
        xy,
        k,
        None,
        turn,
        near[:3, 3:].copy(),
        useExtrinsicGuess=False,
        reprojectionError=error,
        iterationsCount=200,
        confidence=0.999,
        flags=cv2.SOLVEPNP_EPNP,
    )
    if not ok or len(which) < FEWEST:
        return None
    which = which[:, 0]
    turn, shift = cv2.solvePnPRefineLM(world[which], xy[which], k, None, turn, shift)
    out = np.eye(4)
    out[:3, :3] = cv2.Rodrigues(turn)[0]
    out[:3, 3] = shift[:, 0]
    return out, len(which)
