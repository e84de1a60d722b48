"""Trackers that other installed packages bring, by entry point, loaded when asked."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from seurat_tracks.errors import TrackerError

GROUP = "seurat_tracks.trackers"
"""Entry-point group: name = what `track` is asked for, value = module:class."""


def plugin_names() -> list[str]:
    """Names that installed packages give their trackers; nothing is imported."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load_plugin(name: str) -> Callable[..., Any] | None:
    """Import the tracker of this name; None where no package brings one.

    Raises
    ------
    TrackerError
        The package fails to import, names something that is no class or function, or
        two packages use the name. Each is named; other trackers are not touched.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    owners = sorted({_owner(point) for point in found})
    if len({point.value for point in found}) > 1:
        raise TrackerError(
            f"the tracker {name!r} is brought by {' and by '.join(owners)}; uninstall "
            "one, or import its class and pass an object as tracker=."
        )
    point = found[0]
    try:
        made = point.load()
    except Exception as error:
        raise TrackerError(
            f"the tracker {name!r} of {_owner(point)} cannot be loaded "
            f"({point.value}: {type(error).__name__}: {error}). Other trackers work; "
            "repair or uninstall that package."
        ) from error
    if not callable(made):
        raise TrackerError(
            f"the tracker {name!r} of {_owner(point)} is no class or function: "
            f"{point.value} is a {type(made).__name__}."
        )
    loaded: Callable[..., Any] = made
    return loaded


def _owner(point: EntryPoint) -> str:
    if point.dist is None:
        return "an unknown distribution"
    return f"the distribution {point.dist.name} {point.dist.version}"
