"""Official code of learned trackers, where the person who runs the tests has it."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from seurat_tracks.io.video import open_video
from seurat_tracks.trackers.clips import Clip, Frames
from seurat_tracks.trackers.learned import LearnedTracker
from seurat_tracks.trackers.official import Source, official_module
from tests.fixtures.videos import planar_clip


def checkout(variable: str, address: str, *needs: str) -> str:
    """Folder of a clone, from an environment variable; skips where there is none."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} does not name a clone of {address}")
    for package in needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the code of {address} needs the package {package}")
    if "torchvision" in needs:
        _torchvision()
    return folder


def _torchvision() -> None:
    """Make torchvision's Python layers importable beside another build of torch.

    Its compiled operators may be missing then; none of the networks uses one, but
    their names must be known for the import.
    """
    try:
        import torchvision
    except RuntimeError:
        spec = importlib.util.find_spec("torchvision")
        assert spec is not None
        assert spec.submodule_search_locations
        text = Path(spec.submodule_search_locations[0], "_meta_registrations.py")
        names = re.findall(
            r'(?:register_fake\("torchvision::|register_meta\(")(\w+)"',
            text.read_text(),
        )
        for name in dict.fromkeys(names):
            torch.library.define(f"torchvision::{name}", "(Tensor x) -> Tensor")
        import torchvision  # noqa: F401


@contextmanager
def one_thread() -> Iterator[None]:
    """Small networks are faster on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:  # a skipped comparison must not slow, or change, the tests after it
        torch.set_num_threads(before)


def official(source: Source, module: str, repo: str) -> ModuleType:
    """The module that the adapter uses too."""
    return official_module(source, module, repo)


def filled_in(network: Any, *, seed: int = 5) -> Any:
    """Give every tensor of TAPNext a value, since it leaves some unset; returns it."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in network.named_parameters():
            noise = torch.randn(p.shape, generator=made)
            if name.endswith("_token") or name.endswith("pos_emb"):
                p.copy_(noise)
            elif p.ndim > 1:
                p.copy_(noise / max(p.shape) ** 0.5)
            else:
                p.copy_(0.1 * noise + (1 if name.endswith("weight") else 0))
    return network.eval()


def clip_of(
    tracker: LearnedTracker, frames: np.ndarray, begin: int = 0, end: int | None = None
) -> Clip:
    """A clip of an array, as the tracker takes it."""
    video = open_video(frames)
    size = (frames.shape[2], frames.shape[1])
    kept = Frames(video, tracker.encode, len(frames))
    return Clip(kept, begin, len(frames) if end is None else end, size)


def moving(n_frames: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Frames of a plane that moves."""
    return planar_clip("mixed", n_frames, size, seed=seed)[0]


def some_queries(
    n: int, n_frames: int, size: tuple[int, int], seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Queries on several frames, at places between pixels."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, n_frames, n)
    frame[0] = 0
    xy = rng.uniform(4, np.array(size) - 5, (n, 2)).astype(np.float32)
    return frame, xy
