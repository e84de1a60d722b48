"""Save a session's tracks with the history of their changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    from napari_seurat_tracks.session import Session


def save_session(
    session: Session, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the tracks as they are now to a store; the history goes with them.

    Parameters
    ----------
    session
        What is worked on. Its ``path`` becomes the new one.
    path
        Folder of the store.
    overwrite
        Replace a store of this package that is there; nothing else ever is.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    StoreError
        The place is taken or cannot be written to; nothing was changed.
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
    check_target(target, overwrite=overwrite)
    if target.exists():
        # states to go back to may read from the very files that are replaced
        session.load()
    save(session.dataset, target, overwrite=overwrite)
    session.path = target
    session.mark_saved()
    return target
