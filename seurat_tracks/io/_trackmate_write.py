"""Writes the files that `seurat_tracks.io.trackmate` reads; see there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import xarray as xr

from seurat_tracks.errors import FormatError
from seurat_tracks.io import _files
from seurat_tracks.schema import validate

LAYOUTS = ("trackmate", "tracks")

# key, name, short name, dimension, whether an integer (Spot.java)
_FEATURES = (
    ("QUALITY", "Quality", "Quality", "QUALITY", "false"),
    ("POSITION_X", "X", "X", "POSITION", "false"),
    ("POSITION_Y", "Y", "Y", "POSITION", "false"),
    ("POSITION_Z", "Z", "Z", "POSITION", "false"),
    ("POSITION_T", "T", "T", "TIME", "false"),
    ("FRAME", "Frame", "Frame", "NONE", "true"),
    ("RADIUS", "Radius", "R", "LENGTH", "false"),
    ("VISIBILITY", "Visibility", "Visibility", "NONE", "true"),
)
_TABLE = (
    ("LABEL", "Label", "Label", ""),
    ("ID", "Spot ID", "Spot ID", ""),
    ("TRACK_ID", "Track ID", "Track ID", ""),
    ("QUALITY", "Quality", "Quality", "(quality)"),
    ("POSITION_X", "X", "X", "(pixel)"),
    ("POSITION_Y", "Y", "Y", "(pixel)"),
    ("POSITION_Z", "Z", "Z", "(pixel)"),
    ("POSITION_T", "T", "T", ""),
    ("FRAME", "Frame", "Frame", ""),
    ("RADIUS", "Radius", "R", "(pixel)"),
    ("VISIBILITY", "Visibility", "Visibility", ""),
)
_RADIUS = 2.5


def write(
    ds: xr.Dataset, target: Path, layout: str, *, number_ids: bool, overwrite: bool
) -> Path:
    """Write the file; see `seurat_tracks.io.trackmate.write_trackmate`."""
    validate(ds, values=False)
    if layout not in LAYOUTS:
        raise FormatError(f"layout is {layout!r}; give one of {', '.join(LAYOUTS)}")
    ids = _files.whole_ids(ds, target, "TrackMate", number=number_ids, most=2**31)
    if (ds["time"].values < 0).any():
        raise FormatError(f"{target}: TrackMate takes no frame numbers below 0")
    spots = _Spots(ds, ids)
    if not len(spots.track):
        raise FormatError(f"{target}: no point is visible")
    table = target.suffix.lower() == ".csv"
    with (
        _files.writing(target, overwrite=overwrite) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        if table:
            file.writelines(spots.table())
        elif layout == "tracks":
            file.writelines(spots.tracks())
        else:
            file.writelines(spots.own())
    lost = [str(n) for n in ds.data_vars if n not in ("xy", "visible")]
    lost += _files.unseen(ds)
    if layout == "trackmate" and not table:
        once = sum(n == 1 for n in Counter(spots.track.tolist()).values())
        lost += [f"{once} tracks that are seen only once"] if once else []
    if layout == "tracks" and not table:
        lost.append("ids")
    _files.note_lost(target, "TrackMate", lost)
    return target


class _Spots:
    """Visible points, track by track, each in the order of frames."""

    def __init__(self, ds: xr.Dataset, ids: np.ndarray) -> None:
        self.ids, self.ds = ids, ds
        visible = ds["visible"].transpose("track", "time").values
        self.track, at = visible.nonzero()
        xy = ds["xy"].transpose("track", "time", "coord").values
        self.xy = [[f"{v:.9g}" for v in p] for p in xy[self.track, at].tolist()]
        self.frame = ds["time"].values[at].tolist()
        fps = ds.attrs.get("fps")
        self.unit = "sec" if fps else "frame"
        self.interval = 1 / float(fps) if fps else 1.0
        self.moment = [repr(f * self.interval) for f in self.frame]
        self.names = [str(name) for name in _files.ids(ds).tolist()]
        self.ends = np.searchsorted(self.track, np.arange(len(ids) + 1)).tolist()

    def table(self) -> Iterator[str]:
        """Give the lines of the table."""
        for i in range(4):
            yield ",".join(column[i] for column in _TABLE) + "\n"
        numbers = self.ids[self.track].tolist()
        for i, ((x, y), f, t) in enumerate(
            zip(self.xy, self.frame, self.moment, strict=True)
        ):
            yield f"ID{i},{i},{numbers[i]},1.0,{x},{y},0.0,{t},{f},{_RADIUS},1\n"

    def tracks(self) -> Iterator[str]:
        """Give the lines of the export of tracks."""
        n = len(set(self.track.tolist()))
        yield '<?xml version="1.0" encoding="UTF-8"?>\n'
        yield (
            f'<Tracks nTracks="{n}" spaceUnits="pixel" frameInterval="'
            f'{self.interval!r}" timeUnits="{self.unit}" from="seurat-tracks">\n'
        )
        for first, last in zip(self.ends[:-1], self.ends[1:], strict=True):
            if first == last:
                continue
            yield f'  <particle nSpots="{last - first}">\n'
            for i in range(first, last):
                x, y = self.xy[i]
                yield f'    <detection t="{self.frame[i]}" x="{x}" y="{y}" z="0.0" />\n'
            yield "  </particle>\n"
        yield "</Tracks>\n"

    def own(self) -> Iterator[str]:
        """Give the lines of TrackMate's own file."""
        yield '<?xml version="1.0" encoding="UTF-8"?>\n<TrackMate version="7.0.0">\n'
        yield f'  <Model spatialunits="pixel" timeunits="{self.unit}">\n'
        yield "    <FeatureDeclarations>\n      <SpotFeatures>\n"
        for key, name, short, dimension, whole in _FEATURES:
            yield (
                f'        <Feature feature="{key}" name="{name}" shortname="{short}" '
                f'dimension="{dimension}" isint="{whole}" />\n'
            )
        yield "      </SpotFeatures>\n      <EdgeFeatures />\n      <TrackFeatures />\n"
        yield f'    </FeatureDeclarations>\n    <AllSpots nspots="{len(self.track)}">\n'
        order = sorted(range(len(self.frame)), key=self.frame.__getitem__)
        current = None
        for i in order:
            if self.frame[i] != current:
                if current is not None:
                    yield "      </SpotsInFrame>\n"
                current = self.frame[i]
                yield f'      <SpotsInFrame frame="{current}">\n'
            x, y = self.xy[i]
            yield (
                f'        <Spot ID="{i}" name="ID{i}" QUALITY="1.0" POSITION_X="{x}" '
                f'POSITION_Y="{y}" POSITION_Z="0.0" POSITION_T="{self.moment[i]}" '
                f'FRAME="{current}" RADIUS="{_RADIUS}" VISIBILITY="1" />\n'
            )
        yield "      </SpotsInFrame>\n    </AllSpots>\n    <AllTracks>\n"
        kept = []
        for number, (first, last) in enumerate(
            zip(self.ends[:-1], self.ends[1:], strict=True)
        ):
            if last - first < 2:
                continue
            kept.append(int(self.ids[number]))
            name = quoteattr(self.names[number])
            yield f'      <Track name={name} TRACK_ID="{kept[-1]}">\n'
            for i in range(first, last - 1):
                yield (
                    f'        <Edge SPOT_SOURCE_ID="{i}" SPOT_TARGET_ID="{i + 1}" />\n'
                )
            yield "      </Track>\n"
        yield "    </AllTracks>\n    <FilteredTracks>\n"
        for number in kept:
            yield f'      <TrackID TRACK_ID="{number}" />\n'
        width, height = self.ds.attrs["frame_size"]
        yield (
            "    </FilteredTracks>\n  </Model>\n  <Settings>\n"
            f'    <ImageData filename="" folder="" width="{width}" height="{height}" '
            f'nslices="1" nframes="{int(self.ds["time"].values[-1]) + 1}" '
            f'pixelwidth="1.0" pixelheight="1.0" voxeldepth="1.0" '
            f'timeinterval="{self.interval!r}" />\n  </Settings>\n</TrackMate>\n'
        )
