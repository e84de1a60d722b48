"""``xr.Dataset.seurat``: every verb calls a public function with the Dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    import pandas as pd

    from seurat_tracks.notebook.plots import Plots


@xr.register_dataset_accessor("seurat")
class SeuratAccessor:
    """Lift point tracks to 3D; see `seurat_tracks.schema` for the Dataset.

    Stateless: every verb returns a new Dataset and leaves this one as it is.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def validate(self, *, values: bool = True) -> None:
        """Check the Dataset; see `seurat_tracks.schema.validate`."""
        from seurat_tracks.schema import validate

        validate(self._ds, values=values)

    def depth_ratio(self, **settings: Any) -> xr.Dataset:
        """Say how depth changes; see `seurat_tracks.lift.depth_ratio`."""
        from seurat_tracks.lift import depth_ratio

        return depth_ratio(self._ds, **settings)

    def anchor(
        self, depth: Any = None, intrinsics: Any = None, **settings: Any
    ) -> xr.Dataset:
        """Turn ratios into depth and positions.

        See `seurat_tracks.anchors.anchor_by`.
        """
        from seurat_tracks.anchors import anchor_by

        return anchor_by(self._ds, depth, intrinsics, **settings)

    def lift3d(self, *, method: str = "seurat", **settings: Any) -> xr.Dataset:
        """Lift to 3D; see `seurat_tracks.lift.lift3d`.

        Another ``method`` is a baseline: `seurat_tracks.evaluation.baselines.lift_by`.
        """
        if method != "seurat":
            from seurat_tracks.evaluation.baselines import lift_by

            return lift_by(self._ds, method, **settings)
        from seurat_tracks.lift import lift3d

        return lift3d(self._ds, **settings)

    def stabilise_depth(self, maps: Any, **settings: Any) -> xr.DataArray:
        """Correct depth maps in time; see `seurat_tracks.dense.stabilise_depth`."""
        from seurat_tracks.dense import stabilise_depth

        return stabilise_depth(self._ds, maps, **settings)

    def quality(self, **settings: Any) -> xr.Dataset:
        """Name doubtful tracks and frames; see `seurat_tracks.reasons.quality`."""
        from seurat_tracks.reasons import quality

        return quality(self._ds, **settings)

    def quality_table(self, **settings: Any) -> pd.DataFrame:
        """List doubts as a table; see `seurat_tracks.doubt_table.quality_table`."""
        from seurat_tracks.doubt_table import quality_table

        return quality_table(self._ds, **settings)

    @property
    def plot(self) -> Plots:
        """Pictures: ``ds.seurat.plot.depth()``; see `seurat_tracks.notebook.plots`."""
        from seurat_tracks.notebook.plots import Plots

        return Plots(self._ds)

    def evaluate(self, truth: xr.Dataset, **settings: Any) -> xr.Dataset:
        """Score against the truth; see `seurat_tracks.evaluation.compare.evaluate`."""
        from seurat_tracks.evaluation.compare import evaluate

        return evaluate(self._ds, truth, **settings)

    def explore(self, video: Any = None, **settings: Any) -> Any:
        """Look at the tracks; see `seurat_tracks.notebook.explore.explore`."""
        from seurat_tracks.notebook.explore import explore

        return explore(self._ds, video, **settings)

    def to_html(
        self, path: str | os.PathLike[str] | None = None, **settings: Any
    ) -> str | Path:
        """Write the explorer as a page; see `seurat_tracks.notebook.page.to_html`."""
        from seurat_tracks.notebook.page import to_html

        return to_html(self._ds, path, **settings)

    def __repr__(self) -> str:
        from seurat_tracks.notebook.summary import as_text

        return as_text(self._ds)

    def _repr_html_(self) -> str:
        from seurat_tracks.notebook.summary import as_html

        return as_html(self._ds)

    def save(self, path: str | os.PathLike[str], **settings: Any) -> Path:
        """Write a Zarr store; see `seurat_tracks.io.store.save`."""
        from seurat_tracks.io.store import save

        return save(self._ds, path, **settings)

    def export(
        self, path: str | os.PathLike[str], format: str | None = None, **options: Any
    ) -> Path:
        """Write a file of another format; see `seurat_tracks.io.formats.export`."""
        from seurat_tracks.io.formats import export

        return export(self._ds, path, format, **options)
