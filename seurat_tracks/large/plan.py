"""Check what a lift from store to store is asked to do, and say it as a `Job`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seurat_tracks._version import __version__
from seurat_tracks.large.identity import digest, of_array, of_source, of_store
from seurat_tracks.large.job import Job, Measured, task_tracks
from seurat_tracks.large.work import Work


def plan(client: Any, source: Path, target: Path, **settings: Any) -> tuple[Job, Any]:
    """Check input and settings; give the job, and the source that is to be sampled."""
    from seurat_tracks import scale
    from seurat_tracks.cameras.camera import ATTRIBUTES
    from seurat_tracks.cameras.poses import check_poses
    from seurat_tracks.depth import AtTracks, Known, resolve_depth
    from seurat_tracks.io.store import chunk_sizes, open_store
    from seurat_tracks.model.pretrained import find_weights, load_model, name_anywhere
    from seurat_tracks.model.speed import resolve_precision
    from seurat_tracks.ratios.settings import validate_settings
    from seurat_tracks.workers import device_of_workers

    source = source.expanduser().resolve()
    ds = open_store(source)
    anchor, poses = settings["anchor"], settings["poses"]
    choices = {k: settings[k] for k in ("fuse", "strides", "iterations")}
    validate_settings(ds, **choices)
    if choices["strides"] is not None:
        choices["strides"] = tuple(int(s) for s in choices["strides"])
    depth = resolve_depth(settings["depth"], video=settings["video"], affine=True)
    affine = scale.affine_of(depth, settings["affine"])
    ds = scale.set_intrinsics(ds, settings["intrinsics"])
    matrices = None if poses is None else check_poses(ds, poses)
    path = find_weights(settings["model"])
    info = load_model(path)
    device = device_of_workers(settings["device"], client)
    precision = resolve_precision(settings["precision"], device)
    n, T = ds.sizes["track"], ds.sizes["time"]
    task = task_tracks(T)
    region = max(chunk_sizes(n, T)["track"], task)
    facts = {
        "format": "seurat-tracks lift 1",
        "seurat-tracks": __version__,
        "input": of_store(source),
        "camera": digest([repr(ds.attrs.get(k)) for k in ATTRIBUTES]),
        "poses": None if matrices is None else of_array(matrices),
        "depth": of_source(depth),
        "anchor": anchor,
        "affine": affine,
        "model": info.hash,
        "device": device.split(":")[0],
        "precision": precision,
        "compile": bool(settings["compile"]),
        "region": [region, task],
        **choices,
    }
    stated = scale.is_stated(depth)
    small: Any = depth
    if not stated:
        assert depth is not None
        metric = bool(depth.metric)
        small = Measured(depth.name, depth.licence, metric, depth.span)
    job = Job(
        source=source,
        work=Work(target, facts),
        region=region,
        task=task,
        attrs=dict(ds.attrs),
        depth=small,
        model=name_anywhere(path, info),
        device=device,
        precision=precision,
        compile=bool(settings["compile"]),
        anchor=anchor,
        affine=affine,
        poses=poses,
        **choices,
    )
    # what does not fit shows here, not in the first task; one track tells it of maps
    probe = ds if isinstance(depth, AtTracks | Known) else ds.isel(track=slice(1))
    probe = probe.assign(log_depth_ratio=probe["visible"].astype(np.float32))
    scale.anchor(probe, depth, anchor, affine=affine)
    return job, None if stated else depth
