from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seurat_tracks.errors import SeuratTracksError, VideoError
from seurat_tracks.geometry import project
from seurat_tracks.io.rrd import write_rrd
from seurat_tracks.scale import RELATIVE_UNITS
from tests.fixtures.cube import (
    FRAME_SIZE,
    HIDDEN,
    INTRINSICS,
    UNKNOWN,
    corners,
    in_world,
    make_cube,
    put_in_world,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")

rerun_chunk = pytest.importorskip("rerun.chunk", reason="rerun-sdk is not installed")


class Recording:
    """What rerun's own reader finds."""

    def __init__(self, path):
        self.chunks = rerun_chunk.RrdReader(str(path)).stream().to_chunks()

    def rows(self, entity, component):
        """Return {frame: values} of every block beneath an entity."""
        found = {}
        for chunk in self.chunks:
            if not chunk.entity_path.startswith(entity) or chunk.is_static:
                continue
            batch = chunk.to_record_batch()
            if component not in batch.schema.names:
                continue
            for frame, values in zip(
                batch["frame"].to_pylist(), batch[component].to_pylist(), strict=True
            ):
                found.setdefault(frame, []).extend(values or [])
        return found

    def still(self, entity, component):
        (value,) = (
            batch[component].to_pylist()[0]
            for chunk in self.chunks
            if chunk.entity_path == entity and chunk.is_static
            for batch in [chunk.to_record_batch()]
            if component in batch.schema.names
        )
        return value


@pytest.mark.parametrize("lazy", [False, True])
def test_the_cube(tmp_path, lazy):
    ds = make_cube(lazy=lazy)
    recording = Recording(write_rrd(ds, tmp_path / "a.rrd"))
    points = recording.rows("/world/camera/points", "Points3D:positions")
    tracks = recording.rows("/world/camera/points", "track")
    hidden = recording.rows("/world/camera/hidden", "Points3D:positions")
    pixels = recording.rows("/world/camera/image/points", "Points2D:positions")
    for i in range(5):
        seen = [t for t in range(8) if (t, i) not in (HIDDEN, UNKNOWN)]
        assert tracks[20 + i] == [str(t) for t in seen]
        np.testing.assert_array_equal(points[20 + i], corners()[seen, i])
        np.testing.assert_allclose(
            pixels[20 + i], project(corners()[seen, i], INTRINSICS) + 0.5, rtol=1e-6
        )
    assert [len(hidden[20 + i]) for i in range(5)] == [0, 0, 1, 0, 0]
    np.testing.assert_array_equal(hidden[22][0], corners()[HIDDEN])


def test_tails_never_cross_a_gap(tmp_path):
    recording = Recording(write_rrd(make_cube(), tmp_path / "a.rrd"))
    tails = recording.rows("/world/camera/tails", "LineStrips3D:strips")
    assert [len(tails[20 + i]) for i in range(5)] == [0, 7, 6, 7, 8]
    for strips in tails.values():
        for start, end in strips:
            np.testing.assert_array_equal(np.subtract(end, start), [0, 0, 0.5])


def test_camera_time_and_text(tmp_path):
    ds = make_cube(units=RELATIVE_UNITS)
    recording = Recording(write_rrd(ds, tmp_path / "a.rrd"))
    matrix = recording.still("/world/camera/image", "Pinhole:image_from_camera")[0]
    np.testing.assert_array_equal(
        np.reshape(matrix, (3, 3)).T, [[100, 0, 48], [0, 110, 40], [0, 0, 1]]
    )
    (text,) = recording.still("/about", "TextDocument:text")
    assert f"**units**: {RELATIVE_UNITS}" in text
    assert recording.still("/world", "ViewCoordinates:xyz") == [[3, 2, 5]]  # RDF
    (chunk,) = (
        c
        for c in recording.chunks
        if c.entity_path.startswith("/world/camera/points") and not c.is_static
    )
    seconds = chunk.to_record_batch()["seconds"].to_pylist()
    np.testing.assert_allclose(
        [s.total_seconds() for s in seconds], np.arange(20, 25) / 10
    )


def test_video_frames_are_those_of_the_tracks(tmp_path):
    video = np.zeros((30, FRAME_SIZE[1], FRAME_SIZE[0], 3), np.uint8)
    path = write_rrd(make_cube(), tmp_path / "a.rrd", video=video)
    images = Recording(path).rows("/world/camera/image", "EncodedImage:blob")
    assert sorted(images) == [20, 21, 22, 23, 24]
    with pytest.raises(VideoError, match="lacks 5 frames"):
        write_rrd(make_cube(), path, video=video[:20])
    with pytest.raises(VideoError, match="scale the video"):
        write_rrd(make_cube(), path, video=video[:, :40])


def test_wrong_options_leave_the_old_file(tmp_path):
    path = tmp_path / "a.rrd"
    path.write_text("old")
    for options in ({"tail": -1}, {"radius": 0.0}):
        with pytest.raises(SeuratTracksError, match=next(iter(options))):
            write_rrd(make_cube(), path, **options)
    assert path.read_text() == "old"


def test_reruns_own_check_passes(tmp_path):
    path = write_rrd(make_cube(lazy=True), tmp_path / "a.rrd", tail=0)
    program = Path(sys.executable).with_name("rerun")
    done = subprocess.run(
        [program, "rrd", "verify", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not Recording(path).rows("/world/camera/tails", "LineStrips3D:strips")


def test_in_the_world_the_camera_moves(tmp_path):
    ds = put_in_world(make_cube())
    recording = Recording(write_rrd(ds, tmp_path / "a.rrd"))
    points = recording.rows("/world/points", "Points3D:positions")
    np.testing.assert_array_equal(points[24], in_world()[:, 4])
    moves = recording.rows("/world/camera", "Transform3D:translation")
    assert moves == {20 + i: [[i, 0, 0]] for i in range(5)}
    (turn,) = recording.rows("/world/camera", "Transform3D:mat3x3")[20]
    # columns first: the camera's z axis is the world's x
    assert turn == [0, 0, -1, 0, 1, 0, 1, 0, 0]
    assert not recording.rows("/world/camera/points", "Points3D:positions")
