"""How many hops the doubts find, and how often they are wrong.

    python -m tests.benchmarks.doubts [--scenes 48] [--seed 1] [--data FOLDER]

On procedural scenes of 64 frames, 640 pixels wide: exact tracks, and the same as each
kind of tracker spoils them. Tracks are made to hop, from some frame on, to the nearest
point of another body at 5 to 50 pixels, at once or while hidden for 1 to 8 frames.
With a folder of recorded clips, also on their real tracks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from seurat_tracks import doubt
from seurat_tracks.evaluation.clips import FILM_SIZES
from seurat_tracks.scenes.generate import SceneConfig, make_scenes
from seurat_tracks.scenes.spoil import STYLES, SpoilConfig, spoil

WIDTH = 640
MARGIN = 4
BANDS = ((5, 10), (10, 20), (20, 50))
PER_SCENE = 20


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    bands = " | ".join(f"{low}-{high} px" for low, high in BANDS)
    print(  # noqa: T201
        f"| tracks | jumps, of steps | of these wrong | tracks with one | {bands} | "
        "found again: false | hop while hidden |\n" + "|---" * 9 + "|"
    )
    for name, row in procedural(args.scenes, args.seed):
        print(f"| {name} | " + " | ".join(row) + " |")  # noqa: T201
    if args.data is None:
        return
    print("\n| clip | tracks | steps | jumps | found again |\n" + "|---" * 5 + "|")  # noqa: T201
    for name, numbers in recorded(args.data):
        print(f"| {name} | " + " | ".join(map(str, numbers)) + " |")  # noqa: T201


def procedural(scenes: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Measure exact and spoiled tracks; yield a name and its figures."""
    generator = torch.Generator().manual_seed(seed)
    drawn = make_scenes(scenes, SceneConfig(frames=64), generator)
    exact = drawn.xy.clamp(-4, 4)
    half = drawn.half.numpy()
    body = drawn.body.numpy()

    def pixels(xy: torch.Tensor) -> np.ndarray:
        return (xy.numpy() + half[:, None, None]) * (WIDTH / 2) - 0.5

    truth = pixels(exact)
    given = {"exact": (truth, drawn.visible.numpy())}
    for k, style in enumerate(STYLES):
        config = SpoilConfig(clean=0, styles=tuple(float(k == s) for s in range(4)))
        xy, visible = spoil(drawn.xy, drawn.visible, config, generator)
        given[style] = (pixels(xy), visible.numpy())
    for name, (xy, visible) in given.items():
        rng = np.random.default_rng(seed)
        counts = np.zeros(5)
        found: dict[object, list[bool]] = {}
        for b in range(scenes):
            size = np.rint(half[b] * WIDTH)
            seen = visible[b]
            jump = doubt.suspicious_steps(xy[b], seen, size).jump
            error = np.diff(xy[b] - truth[b], axis=1, prepend=0)
            small = np.linalg.norm(error, axis=-1) < doubt.LEAST_SHARE * WIDTH / 2
            counts += (
                jump.sum(),
                (jump & small).sum(),
                (seen[:, 1:] & seen[:, :-1]).sum(),
                jump.any(1).sum(),
                seen.any(1).sum(),
            )
            for band in BANDS:
                hops = draw_hops(xy[b], seen, body[b], band, rng)
                _hop(xy[b], seen, hops, size, found.setdefault(band, []))
            hops = draw_hops(xy[b], seen, body[b], BANDS[-1], rng)
            for stays, key in ((True, "stays"), (False, "hops")):
                _hide(xy[b], seen, hops, size, rng, stays, found.setdefault(key, []))
        jumps, wrong, steps, one, tracks = counts
        row = [f"{100 * jumps / steps:.3f} %", f"{100 * wrong / max(jumps, 1):.0f} %"]
        row += [f"{100 * one / tracks:.1f} %"]
        for key in (*BANDS, "stays", "hops"):
            hits = found[key]
            row.append(f"{100 * np.mean(hits):.1f} % of {len(hits)}")
        yield name, row


def draw_hops(
    xy: np.ndarray,
    visible: np.ndarray,
    body: np.ndarray,
    band: tuple[int, int],
    rng: np.random.Generator,
) -> list[tuple[int, int, int]]:
    """Draw (track, other track, frame): the other the nearest on another body."""
    out = []
    reach = MARGIN + doubt.LONG_GAP
    for _ in range(20 * PER_SCENE):
        frame = int(rng.integers(reach, visible.shape[1] - MARGIN))
        seen = visible[:, frame - reach : frame + MARGIN].all(1)
        if len(out) == PER_SCENE or seen.sum() < 2:
            continue
        i = int(rng.choice(np.flatnonzero(seen)))
        far = np.linalg.norm(xy[:, frame] - xy[i, frame], axis=1)
        far[~seen | (body == body[i]) | (far < band[0]) | (far > band[1])] = np.inf
        if np.isfinite(far.min()):
            out.append((i, int(far.argmin()), frame))
    return out


def _hop(xy, visible, hops, size, hits):  # type: ignore[no-untyped-def]
    """Tracks that hop at once; adds whether each was found at exactly that frame."""
    for i, j, frame in hops:
        place = np.concatenate([xy[i, :frame], xy[j, frame:]])[None]
        seen = np.concatenate([visible[i, :frame], visible[j, frame:]])[None]
        found = doubt.suspicious_steps(place, seen, size).jump[0, frame]
        hits.append(bool(found))


def _hide(xy, visible, hops, size, rng, stays, hits):  # type: ignore[no-untyped-def]
    """Tracks hidden for some frames, that hop meanwhile or stay; adds what is said."""
    for i, j, frame in hops:
        other = i if stays else j
        place = np.concatenate([xy[i, :frame], xy[other, frame:]])[None]
        seen = np.concatenate([visible[i, :frame], visible[other, frame:]])[None]
        seen[0, frame - int(rng.integers(1, doubt.LONG_GAP + 1)) : frame] = False
        found = doubt.suspicious_steps(place, seen, size).found_again[0, frame]
        hits.append(bool(found))


def recorded(data: Path) -> Iterator[tuple[str, list[int]]]:
    """Count doubts on real tracks; yield a clip and its figures."""
    clips = {f"libmv_tracks/problem_{shot}": s for shot, s in FILM_SIZES.items()}
    clips["sevenscenes_a/seq_a"] = (480, 360)
    clips["pose2sim_balancing/cam2"] = None
    for name, size in clips.items():
        with np.load(data / f"{name}.npz") as clip:
            xy = clip["tracks_uv"].transpose(1, 0, 2)
            visible = clip["visibility"].T & np.isfinite(xy).all(-1)
            size = size or tuple(clip["size_hw"][::-1])
        found = doubt.suspicious_steps(xy, visible, size)
        steps = int((visible[:, 1:] & visible[:, :-1]).sum())
        counts = (len(xy), steps, int(found.jump.sum()), int(found.found_again.sum()))
        yield name, list(counts)


if __name__ == "__main__":
    main()
