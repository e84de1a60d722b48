"""Train on a bare machine: torch, NumPy and safetensors are enough.

``seurat-tracks train`` does the same with a friendlier help.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.model.config import PRESETS
from seurat_tracks.training.config import RECIPES, make_config
from seurat_tracks.training.loop import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and train."""
    parser = argparse.ArgumentParser("python -m seurat_tracks.training")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--recipe", default="ours", choices=sorted(RECIPES))
    parser.add_argument("--preset", choices=sorted(PRESETS), help="size of the network")
    parser.add_argument("--data", type=Path, help="folder of PointOdyssey or Kubric")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--start", type=Path, help="weights or checkpoint to begin from"
    )
    parser.add_argument(
        "--change", action="store_true", help="resume, changing settings"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=math.inf)
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        train(
            make_config(args.recipe, args.preset, args.set),
            args.out,
            folder=args.data,
            device=args.device,
            minutes=args.minutes,
            start=args.start,
            change=args.change,
        )
    except SeuratTracksError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
