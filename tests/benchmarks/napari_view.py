"""How fast the napari view loads and steps: ``python -m tests.benchmarks.napari_view``.

Needs a display; ``xvfb-run -a -s "-screen 0 1280x1024x24" python -m ...`` gives one
with software rendering. Wall time depends on what else the machine does, so that the
processor's time is printed too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import xarray as xr

from seurat_tracks.geometry import project
from seurat_tracks.io.arrays import from_arrays

SIZE, INTRINSICS = (640, 480), [600.0, 600.0, 319.5, 239.5]


def make(n_tracks: int, n_frames: int) -> xr.Dataset:
    """Lifted tracks that wander; a tenth of all observations is hidden."""
    rng = np.random.default_rng(0)
    start = rng.uniform((-2, -1.5, 4), (2, 1.5, 8), (n_tracks, 1, 3))
    xyz = start + rng.normal(0, 0.004, (n_tracks, n_frames, 3)).cumsum(axis=1)
    xyz = xyz.astype(np.float32)
    visible = np.ones((n_tracks, n_frames), bool)
    for row, begin in enumerate(rng.integers(0, n_frames, n_tracks)):
        visible[row, begin : begin + n_frames // 10] = False
    ds = from_arrays(project(xyz, INTRINSICS), visible, frame_size=SIZE, fps=30)
    dims = ("track", "time")
    depth = xyz[..., 2]
    return (
        ds.assign(
            log_depth_ratio=(dims, np.log(depth / depth[:, :1])),
            depth_ratio_sigma=(dims, np.full_like(depth, 0.05)),
            depth=(dims, depth, {"units": "m"}),
            xyz=((*dims, "axis"), xyz, {"units": "m"}),
        )
        .assign_coords(axis=["x", "y", "z"])
        .assign_attrs(units="m", intrinsics=INTRINSICS, frame_of_reference="camera")
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = perf_counter(), process_time()
    work()
    return perf_counter() - wall, process_time() - cpu


def main() -> None:
    """Print what it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--video", action="store_true", help="with a video too")
    args = parser.parse_args()

    import napari
    from qtpy.QtWidgets import QApplication

    from napari_seurat_tracks.layers import tracks_layer
    from napari_seurat_tracks.read import open_tracks
    from napari_seurat_tracks.view import view_of

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "tracks.zarr"
        make(args.tracks, args.frames).seurat.save(store)
        viewer = napari.Viewer()
        app = QApplication.instance()
        view = view_of(viewer)
        for _ in range(5):
            app.processEvents()

        def nothing() -> None:
            for _ in range(args.steps):
                viewer.scene.camera.zoom *= 1.001
                app.processEvents()

        empty = np.min([timed(nothing) for _ in range(args.rounds)], 0) / args.steps
        print(  # noqa: T201
            f"an empty viewer draws a frame in {1e3 * empty[0]:.0f} ms wall, "
            f"{1e3 * empty[1]:.0f} ms of processor time"
        )

        def load() -> None:
            from napari.layers import Layer

            layer = Layer.create(*tracks_layer(open_tracks(store), store))
            viewer.add_layer(layer)
            app.processEvents()

        def enter() -> None:
            view.switch(True)
            app.processEvents()

        report("load, to the first picture in 2D", timed(load))
        if args.video:
            noise = np.random.default_rng(0).integers(
                0, 255, (args.frames, SIZE[1], SIZE[0], 3), dtype=np.uint8
            )
            viewer.add_image(noise, rgb=True)
        report("switch to 3D, to the first picture", timed(enter))
        for in_3d in (True, False):
            view.switch(in_3d)
            for name, look in (("tails of 12 frames", 12), ("no tails", 0)):
                view.scene.set_look(tail=look)
                rounds = []
                for k in range(args.rounds):
                    begin = 20 + k * args.steps

                    def step(begin: int = begin) -> None:
                        for frame in range(begin, begin + args.steps):
                            view.go_to(frame % args.frames)
                            app.processEvents()

                    rounds.append(timed(step))
                wall, cpu = np.array(rounds).min(0) / args.steps
                print(  # noqa: T201
                    f"{'3D' if in_3d else '2D'}, {name}: {1 / wall:.1f} frames/s of "
                    f"wall time, {1 / cpu:.1f} frames a second of processor time "
                    f"({1e3 * cpu:.0f} ms)"
                )
        viewer.close()


def report(what: str, spent: tuple[float, float]) -> None:
    """Print one line."""
    print(f"{what}: {spent[0]:.2f} s wall, {spent[1]:.2f} s of processor time")  # noqa: T201


if __name__ == "__main__":
    main()
