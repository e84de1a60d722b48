"""Curves of a run: CSV files always, TensorBoard and pictures where they can be."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

NAMES = ("loss", "validation")
"""Curves of a run: no other file of its folder is ever touched."""


class Curves:
    """Rows of numbers by step, in ``OUT/NAME.csv`` and ``OUT/tensorboard``.

    Parameters
    ----------
    out
        Folder of the run.
    step
        Step at which the run begins or resumes. Rows after it were written by a run
        that was killed before its next checkpoint; they are dropped, so that every
        step is there once.
    """

    def __init__(self, out: Path, step: int) -> None:
        self.out = out
        for name in NAMES:
            if (out / f"{name}.csv").exists():
                _drop_rows_after(out / f"{name}.csv", step)
        self.board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.info("tensorboard is not installed: curves go to CSV files alone")
        else:
            self.board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def add(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Append one row to the curves of a name."""
        path = self.out / f"{name}.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{v:.6g}" for v in values.values())])
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{name}/{key}", value, step)

    def picture(self, step: int, draw: Callable[[], Figure]) -> None:
        """Write a picture to ``OUT/pictures``; without matplotlib there is none."""
        try:
            figure = draw()
        except ImportError:
            log.info("matplotlib is not installed: no pictures of predictions")
            return
        folder = self.out / "pictures"
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"step-{step:07d}.png", dpi=90)
        if self.board is not None:
            self.board.add_figure("predictions", figure, step, close=False)

    def flush(self) -> None:
        """Write out what TensorBoard still holds."""
        if self.board is not None:
            self.board.flush()

    def close(self) -> None:
        """End the curves."""
        if self.board is not None:
            self.board.close()


def _drop_rows_after(path: Path, step: int) -> None:
    with path.open(newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    # a row that a kill cut short has fewer columns
    kept = [row for row in rows if len(row) == len(head) and int(row[0]) <= step]
    beside = path.with_suffix(".tmp")
    with beside.open("w", newline="") as file:
        csv.writer(file).writerows([head, *kept])
    os.replace(beside, path)
