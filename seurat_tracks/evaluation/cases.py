"""Everything that is scored, one case after the other.

The protocol, row by row, is in ``docs/scores.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seurat_tracks.evaluation import clips, virtual
from seurat_tracks.evaluation.rows import Case


def cases(
    data: Path | None, *, only: Collection[str] = (), cache: Path | None = None
) -> Iterator[Case]:
    """Make the cases one by one.

    Parameters
    ----------
    data
        Folder of the real clips; None skips the rows that need it.
    only
        Names of rows (`seurat_tracks.evaluation.rows.ROWS`); all by default.
    cache
        Folder that keeps tracks made from videos, which take long; None skips the
        rows that need them.

    Returns
    -------
    iterator of Case

    Raises
    ------
    FileNotFoundError
        If a clip's folder is not there; nothing has been computed then.
    """
    wanted = [
        maker for maker in _makers(data, cache) if not only or set(maker.rows) & {*only}
    ]
    missing = [str(m.folder) for m in wanted if m.folder and not m.folder.is_dir()]
    if missing:
        raise FileNotFoundError(
            f"the folders of these clips are not there: {', '.join(missing)}; put them "
            "there, or name the rows that can be scored"
        )
    made = chain.from_iterable(maker.make() for maker in wanted)
    return (case for case in made if not only or set(case.rows) & {*only})


class _Maker(NamedTuple):
    rows: tuple[str, ...]
    folder: Path | None  # what it reads
    make: Callable[[], Iterator[Case]]


def _makers(data: Path | None, cache: Path | None) -> Iterator[_Maker]:
    """Say what can be made of what is at hand."""
    if data is not None:
        room = data / "sevenscenes_a"
        yield _Maker(("kitchen",), room, partial(clips.kitchen, data))
        if cache is not None:
            make = partial(clips.kitchen_from_video, data, cache)
            yield _Maker(("kitchen-lk",), room, make)
            make = partial(clips.typing_from_video, data, cache)
            yield _Maker(("typing",), data / "depthkit_typing", make)
        rows: tuple[str, ...] = ("libmv-01", "libmv-02", "libmv-03")
        yield _Maker(rows, data / "libmv_tracks", partial(clips.films, data))
        rows = ("mocap", "mocap-past", "mocap-round", "mocap-all")
        yield _Maker(rows, data / "mocap", partial(virtual.mocap, data))
        rows = ("joints-2", "joints-4")
        yield _Maker(rows, data / "pose2sim_balancing", partial(clips.joints, data))
        folder = data / "nrsfm_surfaces"
        yield _Maker(("surfaces",), folder, partial(clips.surfaces, data))
    yield _Maker(("drive", "drive-noisy"), None, virtual.drives)
    yield _Maker(("scenes", "scenes-spoiled"), None, virtual.scenes)
