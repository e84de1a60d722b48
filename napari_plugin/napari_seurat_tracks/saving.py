"""Save a session's tracks with the history of their changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seurat_tracks.session import sessions_at
from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr

    from napari_seurat_tracks.session import Session

IN_MEMORY = 2**30
"""Stores of fewer bytes are loaded: going through time is then quick, and the store may
be saved over while it is shown."""


def save_session(
    session: Session,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    ds: xr.Dataset | None = None,
) -> Path:
    """Write the tracks to a store; the history goes with them.

    Parameters
    ----------
    session
        What is worked on. Its ``path`` becomes the new one.
    path
        Folder of the store.
    overwrite
        Replace a store of this package that is there; nothing else ever is.
    ds
        The state that is written; by default the one the session is in.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    StoreError
        The place is taken or cannot be written to; nothing was changed.
    SeuratTracksError
        Another ending, or tracks too large to be held are read from that very store.
    SchemaError
        The tracks break the contract.
    """
    from seurat_tracks.io.store import check_target, save

    target = Path(path).expanduser()
    if target.suffix != ".zarr":
        raise SeuratTracksError(
            f"{target}: stores end in .zarr; other formats are written by "
            "File > Save, or ds.seurat.export(path)"
        )
    ds = session.dataset if ds is None else ds
    check_target(target, overwrite=overwrite)
    if target.exists():
        # whoever reads from the very files that are replaced: states to go back to,
        # and other sessions that show the same store
        readers = {id(s): s for s in (session, *sessions_at(target))}.values()
        if sum(s.lazy_bytes for s in readers) > IN_MEMORY:
            raise SeuratTracksError(
                f"{target} is being read from while it is shown, since it is too large "
                "to be held: save under another name"
            )
        for reader in readers:
            reader.load()
    save(ds, target, overwrite=overwrite)
    for other in sessions_at(target):
        other.mark_saved(None)  # what they opened is no longer there
    session.path = target
    session.mark_saved(ds)
    return target
