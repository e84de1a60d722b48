"""Cases filmed by virtual cameras: exact truth, and nothing that training has seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seurat_tracks.evaluation import mocap_room, street
from seurat_tracks.evaluation.clips import read
from seurat_tracks.evaluation.rows import Case

Y_UP = ("bvh_01_01", "bvh_jumping_jacks", "c3d_sample")
"""Recordings whose second axis points up; in the others it is the third."""

MOCAP_FRAMES = 64
"""Frames of a piece of motion capture, at 30 a second."""

DRIVES = 10
"""Streets driven through."""

NOISY_DRIVES = 5
"""How many of them are driven through again with noisy tracks."""

NOISE = 0.5
"""Standard deviation of that noise, pixels, anew in every frame."""

SCENE_FRAMES = (16, 24, 32, 48)
"""Lengths of the held-out scenes."""

SCENES_EACH = 4
"""Held-out scenes of each length."""

HELD_OUT = 2**41
"""Seeds of held-out scenes start here, above any of training's, which are seed *
10_000_019 + step, and of validation's 2**40 + seed * 1000 + camera."""


def mocap(data: Path) -> Iterator[Case]:
    """Film every recording twice in a room: walking past the body, and round it."""
    import seurat_tracks as st

    for i, path in enumerate(sorted((data / "mocap").glob("*.npz"))):
        clip = read(path)
        pieces = mocap_room.cut_pieces(
            clip["xyz"],
            clip["valid"].astype(bool),
            float(clip["fps"]),
            MOCAP_FRAMES,
            most=2,
        )
        walks: tuple[mocap_room.Walk, ...] = ("past", "round")
        for j, walk in enumerate(walks):
            xyz, valid = pieces[j % len(pieces)]  # a short recording: the same piece
            up = 1 if path.stem in Y_UP else 2
            room = mocap_room.film_in_room(xyz, valid, up, walk, seed=1000 * i + j)
            keep = room.visible.any(1)
            xy, visible, z = room.xy[keep], room.visible[keep], room.xyz[keep, :, 2]
            ds = st.from_arrays(xy, visible, frame_size=mocap_room.SIZE)
            body = room.body[keep]
            rows = {"mocap": body, f"mocap-{walk}": body, "mocap-all": None}
            yield Case(rows, f"{path.stem} {walk}", ds, z, visible, room.intrinsics)


def drives() -> Iterator[Case]:
    """Drive down streets that training has never seen; some again, measured badly.

    Exact tracks of a standing street obey the geometry of two views to the last digit;
    the noise shows what is left of an answer that rests on that.
    """
    import seurat_tracks as st

    for seed in range(DRIVES):
        drive = street.drive_through_street(seed)
        keep = drive.visible.any(1)
        visible, z, k = drive.visible[keep], drive.xyz[keep, :, 2], drive.intrinsics
        exact = drive.xy[keep]
        noise = np.random.default_rng(seed).normal(0, NOISE, exact.shape)
        tracks = {"drive": exact}
        if seed < NOISY_DRIVES:
            tracks["drive-noisy"] = exact + noise
        for row, xy in tracks.items():
            ds = st.from_arrays(xy, visible, frame_size=street.SIZE)
            yield Case({row: None}, f"street {seed}", ds, z, visible, k)


def scenes() -> Iterator[Case]:
    """Draw scenes as training does, longer and from other seeds; exact, then spoiled.

    They are those of the generator at hand: figures of versions with different
    generators do not compare.
    """
    import torch

    from seurat_tracks.scenes.generate import SceneConfig, make_scenes
    from seurat_tracks.scenes.spoil import SpoilConfig, spoil

    for i, frames in enumerate(SCENE_FRAMES):
        generator = torch.Generator().manual_seed(HELD_OUT + i)
        config = SceneConfig(frames=frames, support=96, queries=32)
        made = make_scenes(SCENES_EACH, config, generator)
        spoiled = spoil(made.xy, made.visible, SpoilConfig(clean=0.0), generator)
        tracks = {"scenes": (made.xy, made.visible), "scenes-spoiled": spoiled}
        focal = getattr(made, "focal", None)
        for row, (xy, visible) in tracks.items():
            for b in range(SCENES_EACH):
                yield _scene(
                    row,
                    f"{frames} frames, {b + 1}",
                    xy[b].double().numpy(),
                    visible[b].numpy(),
                    made.z[b].double().numpy(),
                    made.visible[b].numpy(),
                    made.half[b].double().numpy(),
                    None if focal is None else focal[b].double().numpy(),
                )


def _scene(
    row: str,
    name: str,
    xy: np.ndarray,
    visible: np.ndarray,
    z: np.ndarray,
    truly_visible: np.ndarray,
    half: np.ndarray,
    focal: np.ndarray | None,
) -> Case:
    """Turn one normalised scene into pixels of a frame whose longer side is 640."""
    import seurat_tracks as st

    width, height = (int(v) for v in (640 * half).round())
    last = np.array([width - 1, height - 1])
    pixels = 320 * xy + last / 2
    # a tracker gives up what leaves the frame
    seen = visible & ((pixels >= 0) & (pixels <= last)).all(-1)
    pixels = np.where(seen[..., None], pixels, np.nan)
    ds = st.from_arrays(pixels, seen, frame_size=(width, height))
    k = None
    if focal is not None and np.ptp(focal) < 1e-3 * focal.mean():  # no zoom
        f = 320 * float(focal.mean())
        k = (f, f, float(last[0]) / 2, float(last[1]) / 2)
    return Case({row: None}, name, ds, z, truly_visible, k)
