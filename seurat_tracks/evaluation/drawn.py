"""One drawn scene as Datasets: tracks, and the truth about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def drawn_scene(
    seed: int = 0,
    *,
    frames: int = 48,
    camera: str | None = None,
    motion: str | None = None,
    background: int = 100,
    queries: int = 48,
    spoiled: bool = False,
    width: int = 640,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Draw a scene of `seurat_tracks.scenes`, with exact depth, as Datasets.

    The generator is the one that the network was trained with, so such scenes are
    kinder to it than real videos are.

    Parameters
    ----------
    seed
        Decides everything.
    frames
        How many.
    camera, motion
        One of `seurat_tracks.scenes.generate.CAMERAS` and ``MOTIONS``; drawn if left
        out.
    background
        Points spread as a grid over the first frame.
    queries
        Further points, more of them on what moves.
    spoiled
        Give tracks as trackers err, not exact ones; see docs/tracking-errors.md.
    width
        Longer side of the frame in pixels.

    Returns
    -------
    tracks : Dataset
        ``xy``, ``visible``, without camera; points that are seen in fewer than two
        frames are left out. Support is drawn from the tracks when they are lifted.
    truth : Dataset
        The same tracks and frames: exact ``xy``, ``visible``, ``depth`` and ``xyz``, in
        metres, in the frame of the camera, with ``intrinsics`` unless the lens zooms.

    Both have the coordinate ``body`` (track), -1 for the background.

    Raises
    ------
    SeuratTracksError
        If there is no such camera or motion.

    Examples
    --------
    >>> tracks, truth = drawn_scene(3, frames=8, camera="orbit", motion="rigid")
    >>> bool((tracks.track == truth.track).all())
    True
    """
    import torch

    from seurat_tracks.io.arrays import from_arrays
    from seurat_tracks.io.truth import build_truth
    from seurat_tracks.scenes.generate import SceneConfig, make_scenes
    from seurat_tracks.scenes.spoil import SpoilConfig, spoil

    config = SceneConfig(
        frames=frames,
        support=background,
        queries=queries,
        camera=camera,
        motion=motion,
        sparse=0.0,
    )
    generator = torch.Generator().manual_seed(seed)
    made = make_scenes(1, config, generator)
    given = (made.xy, made.visible)
    if spoiled:
        given = spoil(made.xy, made.visible, SpoilConfig(clean=0.0), generator)
    size = [int(v) for v in (width * made.half[0]).round()]
    last = np.array(size) - 1

    def pixels(xy: torch.Tensor) -> np.ndarray:
        return 0.5 * width * xy[0].double().numpy() + last / 2

    def inside(xy: np.ndarray) -> np.ndarray:
        return np.all((xy >= 0) & (xy <= last), axis=-1)

    exact, measured = pixels(made.xy), pixels(given[0])
    truly = made.visible[0].numpy() & inside(exact)
    seen = given[1][0].numpy() & inside(measured)
    keep = np.flatnonzero((seen.sum(1) > 1) & truly.any(1))
    exact, measured, truly, seen = (a[keep] for a in (exact, measured, truly, seen))
    z = made.z[0].double().numpy()[keep]
    focal = 0.5 * width * made.focal[0].double().numpy()
    xyz = np.concatenate(
        [(exact - last / 2) / focal[:, None] * z[..., None], z[..., None]], -1
    )
    steady = bool(np.ptp(focal) < 1e-3 * focal.mean())
    middle = float(focal.mean())
    truth = build_truth(
        xyz,
        truly,
        frame_size=size,
        intrinsics=(middle, middle, last[0] / 2, last[1] / 2) if steady else None,
        query_frame=truly.argmax(1),
        source=f"drawn scene {seed}",
        xy=np.where(truly[..., None], exact, np.nan),
        ids=keep,
    )
    fps = 1.0 / float(made.interval[0])
    tracks = from_arrays(
        np.where(seen[..., None], measured, np.nan),
        seen,
        frame_size=size,
        fps=fps,
        ids=keep,
        query_frame=seen.argmax(1),
    )
    body = ("track", made.body[0].numpy()[keep])
    truth = truth.assign_coords(body=body, seconds=tracks["seconds"])
    truth.attrs["fps"] = fps
    return tracks.assign_coords(body=body), truth
