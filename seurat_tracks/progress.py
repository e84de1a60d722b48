"""Progress bars, the same way everywhere: ``progress=`` True, False or None.

None, the default, shows a bar where a person is likely to look: in a notebook, or where
stderr is a terminal, once the work has taken half a second.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

DELAY = 0.5
"""Seconds of work before a bar appears."""


def shown(progress: bool | None) -> bool:
    """Say whether to show a bar.

    Parameters
    ----------
    progress
        True: always. False: never. None: in a notebook or on a terminal.

    Returns
    -------
    bool
    """
    if progress is not None:
        return bool(progress)
    if find_spec("tqdm") is None:  # a bare machine that only trains
        return False
    return _in_notebook() or bool(getattr(sys.stderr, "isatty", bool)())


def bar(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    unit: str,
    total: int | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Any:
    """Make a `tqdm` bar, for a notebook or a terminal as the case may be.

    Parameters
    ----------
    items
        What is gone through; None for a bar that is moved by its ``update``.
    desc, unit, total
        What is done, on what, and how many of them there are.
    progress
        As in `shown`.
    **settings
        Others of `tqdm.tqdm`.

    Returns
    -------
    tqdm
        To be iterated over, or used as a context. It goes away when the work ends.
    """
    # the notebook's variant wants ipywidgets, even where nothing is shown
    if shown(progress):
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(
        items,
        total=total,
        desc=desc,
        unit=unit,
        leave=False,
        delay=0 if progress else DELAY,
        disable=not shown(progress),
        **settings,
    )


@contextmanager
def dask_bar(desc: str, progress: bool | None = None) -> Iterator[None]:
    """Show how far Dask's schedulers of this process have come.

    Parameters
    ----------
    desc
        What is done.
    progress
        As in `shown`.
    """
    if not shown(progress):
        yield
        return
    from tqdm.dask import TqdmCallback

    with TqdmCallback(desc=desc, unit="task"):
        yield


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel; nothing is imported to find out."""
    shell = sys.modules.get("IPython")
    if shell is None or "ipykernel" not in sys.modules:
        return False
    running = shell.get_ipython()
    return running is not None and "IPKernelApp" in running.config
