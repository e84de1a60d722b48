"""The sample that comes with the plugin; nothing is downloaded.

``docs/make_napari_sample.py`` made it: a rendered clip, its Lucas-Kanade tracks, lifted
with the rendered depth as the source of scale.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from napari_seurat_tracks.layers import LayerData
from napari_seurat_tracks.read import read_tracks, read_video

FOLDER = Path(str(files("napari_seurat_tracks") / "sample_data"))
"""Where the sample lies."""


def open_sample() -> list[LayerData]:
    """Open the clip and its tracks: an Image layer and a Tracks layer."""
    layers = [*read_video(FOLDER / "clip.mp4"), *read_tracks(FOLDER / "tracks.zarr")]
    # nobody saves over what is installed
    layers[1][1]["metadata"]["seurat_tracks"].path = None
    return layers
