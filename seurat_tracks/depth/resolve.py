"""From what a user passes as ``depth=`` to a depth source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from seurat_tracks.depth.at_tracks import AtTracks
from seurat_tracks.depth.base import AFFINE, DepthSource, kind_of
from seurat_tracks.depth.catalogue import CATALOGUE, looks_like_model
from seurat_tracks.depth.constant import Constant
from seurat_tracks.depth.files import open_maps
from seurat_tracks.depth.frames import FrameDepth
from seurat_tracks.depth.known import Known
from seurat_tracks.depth.maps import DepthMaps
from seurat_tracks.depth.model import DepthModel
from seurat_tracks.errors import DepthError

ACCEPTED = (
    "None (relative depth), a number of metres, a dict of metres by track id, depth "
    "maps (time, y, x) as a numpy or dask array or a DataArray, a DataArray (track, "
    "time), the path of depth maps (.npy, .npz, .zarr, a folder of .npy, .exr, .png or "
    ".tif files), the name of a depth model ("
    + ", ".join(name for name in CATALOGUE if "base" not in name)
    + ", or OWNER/NAME on the Hugging Face hub), or a source from seurat_tracks.depth"
)


def resolve_depth(
    depth: Any, *, video: Any = None, affine: bool = False
) -> DepthSource | None:
    """Read any accepted description of metric depth.

    Parameters
    ----------
    depth
        None; metres (a `Constant`); a dict of metres by track id or by (track id,
        frame number) (a `Known`); an array (time, y, x) in metres (`DepthMaps`); a
        DataArray with dims track and time (`AtTracks`); a path of depth maps
        (`open_maps`); the name of a depth model (`DepthModel`); or any `DepthSource`.
    video
        Frames for a depth model that was given none: what `seurat_tracks.open_video`
        takes. Other sources need none and are left as they are.
    affine
        True if the caller can use depth up to an unknown scale and shift
        (`seurat_tracks.depth.kind_of`); otherwise it is refused.

    Returns
    -------
    DepthSource or None
        None stands for "no metric depth": results stay relative.

    Raises
    ------
    DepthError
        For anything else; the text lists what is accepted. Also where the source's
        own ``check()`` refuses its values.
    """
    source = _source(depth)
    if source is None:
        return None
    if video is not None and isinstance(source, FrameDepth) and source.video is None:
        source = source.on(video)
    if kind_of(source) in AFFINE and not affine:
        what = "inverse depth" if kind_of(source) == "affine_disparity" else "depth"
        raise DepthError(
            f"{source.name} gives {what} up to an unknown scale and shift, from which "
            "one factor per track makes no depth: use a metric model or metric maps, "
            "or, if it is metric after all, say so "
            + (
                '(kind="metric"; disparity=True with scale= for inverse depth)'
                if isinstance(source, DepthMaps)
                else '(kind="metric")'
            )
        )
    check = getattr(source, "check", None)
    if callable(check):
        check()
    return source


def _source(depth: Any) -> DepthSource | None:
    if depth is None:
        return None
    if isinstance(depth, DepthSource) and not isinstance(depth, type):
        return depth
    if isinstance(depth, bool):
        raise DepthError(f"depth={depth!r} is not a depth; give {ACCEPTED}")
    if isinstance(depth, Real):
        return Constant(float(depth))
    if isinstance(depth, Mapping):
        return Known(depth)
    if isinstance(depth, str | os.PathLike):
        return _named(os.fspath(depth))
    shape = getattr(depth, "shape", None)
    if shape is not None and len(shape) == 0:
        return Constant(float(depth))
    if shape is not None and len(shape) == 3:
        return DepthMaps(depth)
    if set(getattr(depth, "dims", ())) == {"track", "time"}:
        return AtTracks(depth)
    what = type(depth).__name__ if shape is None else f"an array of shape {shape}"
    raise DepthError(f"depth={what} is not understood; give {ACCEPTED}")


def _named(name: str) -> DepthSource:
    """Depth maps at a path, or a model by name."""
    path = Path(name).expanduser()
    if name in CATALOGUE and path.exists():
        raise DepthError(
            f"depth={name!r} is a model's name and something on the disk: write "
            f"./{name} for the path, or DepthModel({name!r}) for the model"
        )
    if looks_like_model(name):
        return DepthModel(name)
    if path.exists():
        return DepthMaps(open_maps(path), name=f"depth maps {path.name}")
    raise DepthError(
        f"depth={name!r}: there is no such file, nor such a depth model; give "
        f"{ACCEPTED}"
    )
