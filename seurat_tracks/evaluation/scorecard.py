"""Score weights on real clips and held-out scenes; print a table.

Run ``python -m seurat_tracks.evaluation.scorecard --data DIR --model small``. What each
row is, and where the clips come from, is told in ``docs/scores.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.evaluation.cases import cases
from seurat_tracks.evaluation.rows import ROWS, Case
from seurat_tracks.evaluation.score import Score, average, score

Results = dict[str, dict[str, dict[str, Score]]]
"""Row -> case -> setting -> Score."""

BEGIN, END = "<!-- scores: begin -->", "<!-- scores: end -->"
"""Between these lines of a page the table is put."""


def run(
    all_cases: Iterable[Case], settings: Mapping[str, Mapping[str, Any]]
) -> Results:
    """Score every case with every setting.

    Parameters
    ----------
    all_cases
        From `seurat_tracks.evaluation.cases.cases`.
    settings
        Options of `seurat_tracks.evaluation.score.score`, by the setting's name.

    Returns
    -------
    dict
        Row -> case -> setting -> Score.
    """
    results: Results = {}
    for case in all_cases:
        for name, options in settings.items():
            for row, value in score(case, **options).items():
                by_case = results.setdefault(row, {})
                by_case.setdefault(case.name, {})[name] = value
    return results


def table(results: Results) -> str:
    """Write results as a Markdown table, one line per row and setting."""
    lines = [
        "| row | setting | error / constant | error | constant | in 1 σ | in 2 σ "
        "| bar | cases |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in [n for n in ROWS if n in results]:
        row = ROWS[name]
        found = results[name]
        for setting in next(iter(found.values())):
            s = average([f[setting] for f in found.values()], pooled=row.pooled)
            relative, error = f"{s.relative:.3f}", f"{s.error:.4f}"
            value = s.relative
            if row.measure == "absolute":
                error, value = f"**{error}**", s.error
            else:
                relative = f"**{relative}**"
            bar = "" if row.bar is None else f"{row.bar:g}"
            if row.bar is not None:
                bar += " met" if value <= row.bar else " not met"
            lines.append(
                f"| {row.title} (`{name}`) | {setting} | {relative} | {error} "
                f"| {s.constant:.4f} | {_share(s.inside_1)} | {_share(s.inside_2)} "
                f"| {bar} | {s.cases} |"
            )
    return "\n".join(lines)


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def write_table(text: str, page: Path) -> None:
    """Write a table to a file, or into a page that marks a place for it.

    Parameters
    ----------
    text
        The table.
    page
        A file with the lines `BEGIN` and `END` keeps all but what is between them;
        any other is replaced.
    """
    before, after = "", ""
    if page.exists():
        old = page.read_text(encoding="utf-8")
        if BEGIN in old and END in old:
            before = old[: old.index(BEGIN) + len(BEGIN)] + "\n\n"
            after = "\n" + old[old.index(END) :]
    page.write_text(f"{before}{text}\n{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.data is not None and not args.data.is_dir():
        parser.error(f"--data: {args.data} is not a folder")
    start = time.perf_counter()
    try:
        settings, weights = _settings(args)
        results = run(cases(args.data, only=args.only, cache=args.cache), settings)
    except (SeuratTracksError, FileNotFoundError) as error:
        parser.error(str(error))
    missing = [row for row in args.only or ROWS if row not in results]
    if missing:
        sys.stderr.write(
            f"not scored: {', '.join(missing)} (real clips need --data, videos --cache)"
            "\n"
        )
    text = table(results)
    if weights:
        text += "\n\nWeights: " + "; ".join(weights)
    sys.stdout.write(text + "\n")
    sys.stderr.write(f"{time.perf_counter() - start:.0f} s\n")
    if args.table is not None:
        write_table(text, args.table)
    if args.json is not None:
        args.json.write_text(_as_json(results), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seurat_tracks.evaluation.scorecard",
        description="Score weights on real clips and held-out scenes.",
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of the real clips; without it, no such rows")
    add("--model", nargs="+", default=["auto"], help="names of weights, or files")
    add("--fuse", nargs="+", default=["windows"], choices=["windows", "chain"])
    add(
        "--method",
        nargs="+",
        default=["network"],
        choices=["network", "density", "constant"],
        help="what answers; all but the network are baselines",
    )
    add("--only", nargs="+", default=[], choices=list(ROWS), metavar="ROW")
    add(
        "--intrinsics",
        action="store_true",
        help="tell the network the true camera, where a case knows it",
    )
    add(
        "--cache", type=Path, help="folder that keeps tracks made from videos (minutes)"
    )
    add("--table", type=Path, help="write the table here too, or into this page")
    add("--json", type=Path, help="write the scores of every case here")
    return parser


def _settings(
    args: argparse.Namespace,
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Name every combination that was asked for, and the weights with their hashes."""
    from seurat_tracks.model.pretrained import load_model

    settings: dict[str, dict[str, Any]] = {}
    weights = []
    if "network" in args.method:
        # the name of weights read from a file is the file's path
        found = {model: load_model(model) for model in args.model}
        names = {model: Path(info.name).stem for model, info in found.items()}
        for model, name in names.items():
            shown = name if list(names.values()).count(name) == 1 else model
            weights.append(f"{shown} `{found[model].hash}`")
            for fuse in args.fuse:
                known = ", camera known" if args.intrinsics else ""
                settings[f"{shown}, {fuse}{known}"] = {
                    "model": model,
                    "fuse": fuse,
                    "intrinsics": args.intrinsics,
                }
    for method in args.method:
        if method != "network":
            settings[method] = {"method": method}
    return settings, weights


def _as_json(results: Results) -> str:
    """Every case's scores; what is not a number (no error bars, no change) is null."""
    plain = {
        row: {
            case: {
                setting: {
                    key: value if math.isfinite(value) else None
                    for key, value in asdict(s).items()
                }
                for setting, s in found.items()
            }
            for case, found in by_case.items()
        }
        for row, by_case in results.items()
    }
    return json.dumps(plain, indent=1) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
