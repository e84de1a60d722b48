"""The graph from tracks to ratios, or the same at once for tracks in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.ratios.blocks import fuse_block, lift_block, predict_block
from seurat_tracks.ratios.prepare import Prepared, straight_tracks
from seurat_tracks.windows import window_piece

if TYPE_CHECKING:
    import xarray as xr


def add_ratios(ds: xr.Dataset, prepared: Prepared) -> xr.Dataset:
    """Give tracks their ratios, with the support of all tracks."""
    import xarray as xr

    from seurat_tracks import reasons
    from seurat_tracks.scale import DERIVED

    settings, info, plan = prepared.settings, prepared.info, prepared.plan
    xy, visible = straight_tracks(ds)
    ds = ds.drop_vars(
        [
            "log_depth_ratio",
            "depth_ratio_sigma",
            *DERIVED,
            "reference_frame",
            *reasons.ADDED,
        ],
        errors="ignore",
    )
    window = ["window", "support", "step"]
    support_dims = [[*window, "coord"], window]
    if xy.chunks is None:
        answer = xr.apply_ufunc(
            lift_block,
            xy,
            visible,
            *prepared.support[0],
            kwargs={"plan": plan, "settings": settings},
            input_core_dims=[["time", "coord"], ["time"], *support_dims],
            output_core_dims=[["answer", "time"]],
        )
    else:
        answers: list[xr.DataArray] = []
        for index, (places, seen) in zip(
            prepared.pieces, prepared.support, strict=True
        ):
            part, frames = window_piece(plan, index)
            answer = xr.apply_ufunc(
                predict_block,
                xy.isel(time=frames).chunk({"time": -1}),
                visible.isel(time=frames).chunk({"time": -1}),
                places,
                seen,
                kwargs={"plan": part, "settings": settings},
                input_core_dims=[["time", "coord"], ["time"], *support_dims],
                output_core_dims=[["window", "step", "kind"]],
                exclude_dims={"window"},
                dask="parallelized",
                output_dtypes=[np.float32],
                dask_gufunc_kwargs={
                    "output_sizes": {
                        "window": len(part),
                        "step": part.frames.shape[1],
                        "kind": 2,
                    }
                },
            )
            answers.append(answer.rename(window=f"window_{len(answers)}"))
        answer = xr.apply_ufunc(
            fuse_block,
            xy.chunk({"time": -1}),
            visible.chunk({"time": -1}),
            *answers,
            kwargs={"plan": plan, "pieces": prepared.pieces, "settings": settings},
            input_core_dims=[
                ["time", "coord"],
                ["time"],
                *([f"window_{i}", "step", "kind"] for i in range(len(answers))),
            ],
            output_core_dims=[["answer", "time"]],
            dask="parallelized",
            output_dtypes=[np.float32],
            dask_gufunc_kwargs={"output_sizes": {"answer": 2}},
        )
    ratio, sigma = answer.isel(answer=0), answer.isel(answer=1)
    ratio.attrs = {
        "units": "1",
        "long_name": "log of depth over depth at the reference frame",
    }
    sigma.attrs = {"units": "1", "long_name": "standard error of log_depth_ratio"}
    reference = reference_frames(visible, ds["time"].values)
    out = ds.assign(log_depth_ratio=ratio, depth_ratio_sigma=sigma)
    out = out.assign_coords(reference_frame=("track", reference.data))
    return out.assign_attrs(
        model=info.name,
        model_hash=info.hash,
        model_licence=info.licence,
        fuse=settings.fuse,
    )


def reference_frames(visible: xr.DataArray, time: np.ndarray) -> xr.DataArray:
    """First frame number in which each track is seen (the first one, if never)."""
    import xarray as xr

    return xr.apply_ufunc(
        lambda seen: time[seen.argmax(-1)],
        visible.chunk({"time": -1}) if visible.chunks is not None else visible,
        input_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[time.dtype],
    )
