"""Save tracks that this plugin shows, in every format there is a writer for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_seurat_tracks.saving import save_session
from napari_seurat_tracks.session import KEY, Session
from seurat_tracks.errors import SeuratTracksError


def write_tracks(path: str, layers: list[tuple[Any, dict, str]]) -> list[str]:
    """Write the tracks that a layer shows: all of them, not what is drawn.

    Parameters
    ----------
    path
        Its ending says the format, as in `seurat_tracks.export`. A file is replaced,
        since napari has asked; a store only if it is the one that the tracks came from.
    layers
        Layer data; the session is that of its Tracks layers.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    SeuratTracksError
        The layers carry no tracks of this plugin, or those of several files; the
        place is taken or read-only; the ending is of no format. Nothing is changed.
    """
    session = _session(layers)
    target = Path(path).expanduser()
    ds = session.dataset
    if target.suffix.lower() == ".zarr":
        own = session.path is not None and _same(target, session.path)
        return [str(save_session(session, target, overwrite=own))]
    try:
        replaced = {"overwrite": True} if target.is_file() else {}
        return [str(ds.seurat.export(target, **replaced))]
    except PermissionError as error:
        raise SeuratTracksError(
            f"{target}: the folder {target.parent} is read-only for you; nothing was "
            "changed. Choose another place"
        ) from error


def _session(layers: list[tuple[Any, dict, str]]) -> Session:
    found: list[Session] = []
    for _, meta, kind in layers:
        session = meta.get("metadata", {}).get(KEY)
        if (
            kind == "tracks"
            and isinstance(session, Session)
            and not any(session is s for s in found)
        ):
            found.append(session)
    if not found:
        raise SeuratTracksError(
            "these layers do not come from seurat-tracks, which writes only what it "
            "opened or lifted: open a file of tracks, or lift a video first"
        )
    if len(found) > 1:
        raise SeuratTracksError(
            f"these layers show the tracks of {len(found)} files: select the Tracks "
            "layer of one and save the selected layer"
        )
    return found[0]


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == Path(b).expanduser().resolve()
