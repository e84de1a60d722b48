"""The napari plugin of seurat-tracks: look at 3D tracks, anchor, correct, export.

The plugin ships in the wheel of `seurat-tracks` under its own import name. Importing
this module imports neither napari nor Qt; its contributions are loaded when napari
asks for them.
"""

from __future__ import annotations
