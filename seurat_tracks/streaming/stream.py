"""The public door: tracks or frames as they come, 3D as it becomes final."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import xarray as xr

from seurat_tracks.cameras.camera import Camera, camera_of
from seurat_tracks.errors import SchemaError, SeuratTracksError
from seurat_tracks.io.video import open_video
from seurat_tracks.ratios.settings import check_settings, known_camera
from seurat_tracks.scale import set_intrinsics
from seurat_tracks.streaming.answers import Metres, read_depth, to_dataset
from seurat_tracks.streaming.batch import Batch
from seurat_tracks.streaming.frames import (
    Following,
    batches_of_frames,
    batches_of_video,
)
from seurat_tracks.streaming.pieces import batches_of_many, batches_of_one
from seurat_tracks.streaming.shot import Answer, Settings, Shot
from seurat_tracks.windows import WINDOW_LENGTH

STREAM_STRIDES = (1, 2, 4)
"""Frame strides of a stream's windows: longer ones would lengthen its delay."""

_DROPPED_ATTRS = ("cuts", "depth_note", "depth_source", "depth_source_licence", "units")


def stream(
    source: Any,
    *,
    strides: Sequence[int] = STREAM_STRIDES,
    lag: int = 1,
    forget: int = 30,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    iterations: int | None = None,
    depth: Any = None,
    intrinsics: Any = None,
    queries: Any = None,
    grid: int = 24,
    refill: int | None = None,
    cuts: Literal["auto"] | Iterable[int] | None = "auto",
) -> Iterator[xr.Dataset]:
    """Lift tracks or frames while they come.

    Parameters
    ----------
    source
        One of: an iterable of Datasets of tracks that follow one another along time,
        of any lengths, from which tracks may come and go; one Dataset, which is read
        bit by bit if it is lazy; an iterable of frames, uint8 arrays (y, x, 3) or
        (y, x); anything `seurat_tracks.io.video.open_video` opens.
    strides
        Frame strides of the windows; a Dataset's own support decides itself. A block
        is 7 times the largest one.
    lag
        Blocks that must follow a block before it is final. A frame is yielded when
        the one (lag + 1) * block frames after the first of its block has come:
        ``attrs["delay"]``, 56 frames by default (57 where cuts are looked for).
    forget
        Frames after which a track that is no longer listed is forgotten. Until then
        it is hidden. If it comes back later it is a new track.
    model, device, iterations
        As in `seurat_tracks.depth_ratio`.
    depth
        Metres at the frame in which a track is first seen: a number for all, or a
        dict by track id. None: no metres.
    intrinsics
        As in `seurat_tracks.lift3d`.
    queries, grid
        Of frames: the points to follow, as in `seurat_tracks.track`; forwards only.
    refill
        Of frames without queries: every so many frames, cells of the grid that have
        lost their point get a new one, under a new id. None: never.
    cuts
        Of frames: "auto" looks for hard cuts, which takes one more frame of delay;
        or frame numbers. Datasets say so in their attributes.

    Yields
    ------
    xr.Dataset
        Frames that are final, in order, each frame once; the last ones when the
        source ends. `xy`, `visible`, and `confidence` as they came,
        ``log_depth_ratio`` and ``depth_ratio_sigma``; with `depth` or `intrinsics`
        also ``scale``, ``depth`` and ``xyz``. The coordinate ``first_seen`` (track)
        is the frame at which the ratio is 1, in this piece or an earlier one; frames
        before it are NaN. Frames without any track are left out. `join` makes one
        Dataset of them.

    Raises
    ------
    SeuratTracksError, SchemaError, DepthError, CameraError, WeightsError, TrackerError
        Settings that make no sense, at once; faults of the source when the first
        frame comes, or the one that has them.

    Notes
    -----
    Memory and the cost of a frame depend on the number of tracks under way alone. See
    docs/streaming.md for what differs from lifting the whole video.

    Examples
    --------
    >>> import numpy as np, seurat_tracks as st
    >>> xy = np.random.default_rng(0).uniform(5, 60, (3, 1, 2)) + np.zeros((1, 20, 1))
    >>> ds = st.from_arrays(xy, frame_size=(64, 64))
    >>> pieces = [ds.isel(time=slice(k, k + 5)) for k in range(0, 20, 5)]
    >>> [p.sizes["time"] for p in st.stream(pieces, strides=(1,), device="cpu")]
    [7, 13]
    """
    from seurat_tracks.model.pretrained import (
        cached_network,
        find_weights,
        load_model,
        resolve_device,
    )
    from seurat_tracks.model.speed import resolve_precision

    check_settings("windows", strides, iterations)
    _check_counts(lag, forget, refill, queries)
    metres = read_depth(depth)
    path = find_weights(model)
    info = load_model(path)
    if info.config.window != WINDOW_LENGTH:
        raise SeuratTracksError(
            f"model {info.name!r} sees windows of {info.config.window} frames; a "
            f"stream has windows of {WINDOW_LENGTH}: take another model"
        )
    device = resolve_device(device)
    precision = resolve_precision("auto", device)
    network = cached_network(str(path), info.hash, device, precision)
    attrs = {
        "model": info.name,
        "model_hash": info.hash,
        "model_licence": info.licence,
        "fuse": "windows",
    }
    follow = Following(queries, grid, refill, cuts, tuple(int(s) for s in strides))
    return _run(
        _batches(source, follow),
        partial(Settings, network=network, iterations=iterations, lag=lag),
        forget,
        attrs,
        metres,
        intrinsics,
        depth is not None or intrinsics is not None,
    )


def _check_counts(lag: Any, forget: Any, refill: Any, queries: Any) -> None:
    """Refuse counts that make no sense, all at once."""

    def whole(value: Any, least: int) -> bool:
        number = isinstance(value, int | np.integer) and not isinstance(value, bool)
        return number and value >= least

    faults = []
    if not whole(lag, 1):
        faults.append(f"lag must be a number of blocks from 1, got {lag!r}")
    if not whole(forget, 0):
        faults.append(f"forget must be a number of frames from 0, got {forget!r}")
    if refill is not None and not whole(refill, 1):
        faults.append(f"refill must be a number of frames from 1, got {refill!r}")
    if refill is not None and queries is not None:
        faults.append("refill is for the grid: leave out queries, or refill")
    if faults:
        raise SeuratTracksError("; ".join(faults))


def _batches(source: Any, follow: Following) -> Iterator[Batch]:
    """Tell sources apart, when the first frame is asked for."""
    strides, most = follow.strides, (WINDOW_LENGTH - 1) * max(follow.strides)
    if isinstance(source, xr.Dataset):
        _refuse_of_frames(follow)
        yield from batches_of_one(source, strides, most)
        return
    if isinstance(source, str | os.PathLike | np.ndarray | xr.DataArray):
        yield from batches_of_video(open_video(source), follow)
        return
    try:
        items = iter(source)
    except TypeError:
        raise SeuratTracksError(
            f"a stream cannot be read from a {type(source).__name__}; give an iterable "
            "of Datasets of tracks or of frames, one Dataset, or a video"
        ) from None
    for first in items:
        items = chain([first], items)
        if isinstance(first, np.ndarray):
            yield from batches_of_frames(items, follow)
        else:
            _refuse_of_frames(follow)
            yield from batches_of_many(items, strides, most)
        return


def _refuse_of_frames(follow: Following) -> None:
    given = [
        name
        for name, usual in (("queries", None), ("refill", None), ("cuts", "auto"))
        if getattr(follow, name) is not usual and getattr(follow, name) != usual
    ]
    if given:
        raise SeuratTracksError(
            f"{' and '.join(given)}: only where frames are tracked, but the source "
            "gives Datasets of tracks; those say attrs['cuts'] themselves"
        )


def _run(
    batches: Iterator[Batch],
    make: Callable[..., Settings],
    forget: int,
    attrs: dict[str, Any],
    metres: Metres | None,
    intrinsics: Any,
    anchored: bool,
) -> Iterator[xr.Dataset]:
    shot: Shot | None = None
    settings: Settings | None = None
    elsewhere: dict[Any, int] = {}
    frames, seen, begun, ids = 0, False, False, set[Any]()

    def out(answers: Iterator[Answer]) -> Iterator[xr.Dataset]:
        nonlocal begun
        for answer in answers:
            if metres is not None:
                ids.update(set(answer.batch.ids.tolist()) & metres.by_track.keys())
            if len(answer.batch.ids):
                # the first shot begins with the stream: no cut
                ds = to_dataset(answer, attrs, metres, anchored)
                if not begun:
                    ds.attrs.pop("cuts", None)
                yield ds
            begun = True

    for batch in batches:
        frames += len(batch)
        seen = seen or bool(batch.visible.any())
        if settings is None:
            attrs = _first_attrs(batch.attrs, intrinsics, anchored) | attrs
            width, height = attrs["frame_size"]
            settings = make(
                frame_size=(width, height),
                intrinsics=known_camera(xr.Dataset(attrs=attrs)),
                camera=_bending(xr.Dataset(attrs=attrs)),
                forget=forget,
            )
        if batch.support is not None:
            if shot is not None:
                yield from out(shot.end())
                elsewhere = shot.known()
            shot = Shot(settings, batch.support, elsewhere)
            attrs["delay"] = (settings.lag + 1) * shot.block + batch.late
        assert shot is not None
        yield from out(shot.add(batch))
    if frames < 2:
        raise SchemaError(
            f"the stream ended after {frames} frame{'s' * (frames != 1)}; a depth "
            "change needs at least two frames"
        )
    if not seen:
        raise SchemaError(
            f"no track was visible in any of the stream's {frames} frames: mark the "
            "observed positions visible"
        )
    assert shot is not None
    yield from out(shot.end())
    unknown = [] if metres is None else sorted(metres.by_track.keys() - ids, key=str)
    if unknown:
        warnings.warn(
            f"depth names {len(unknown)} tracks that never came, such as "
            f"{unknown[0]!r}",
            UserWarning,
            stacklevel=2,
        )


def _bending(ds: xr.Dataset) -> Camera | None:
    """Read the Dataset's camera, if its lens distorts."""
    camera = camera_of(ds)
    return camera if camera is not None and camera.distorts else None


def _first_attrs(
    given: dict[Any, Any], intrinsics: Any, anchored: bool
) -> dict[Any, Any]:
    """Attributes that all pieces share."""
    attrs = {k: v for k, v in given.items() if k not in _DROPPED_ATTRS}
    if anchored:
        attrs = set_intrinsics(xr.Dataset(attrs=attrs), intrinsics).attrs
    return attrs
