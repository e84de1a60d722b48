from __future__ import annotations

import pickle
import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seurat_tracks as st
from seurat_tracks.errors import FormatError, SeuratTracksError

SIZE = (64, 48)


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def long_table(n: int) -> list[str]:
    """Give n rows of 100 tracks."""
    return [f"{i % 100},{i // 100},{i % 60}.5,{i % 40}.25,1" for i in range(n)]


HEAD = "track,frame,x,y,visible\n"


class TestPickles:
    def test_a_bare_pickle(self, tmp_path):
        ran = tmp_path / "ran"
        for protocol in (2, 4, 5):
            path = tmp_path / "x.pkl"
            path.write_bytes(pickle.dumps({"points": Evil(ran)}, protocol))
            with pytest.raises(FormatError, match="is a pickle, which could run"):
                st.read(path)
        assert not ran.exists()

    @pytest.mark.parametrize(
        ("format", "names"),
        [
            ("cotracker", ("tracks", "visibility")),
            ("tapvid", ("points", "occluded")),
            ("tapvid3d", ("tracks_XYZ", "visibility", "intrinsics", "queries_xyt")),
            ("pointodyssey", ("trajs_2d", "trajs_3d", "visibs")),
        ],
    )
    def test_pickles_in_an_npz(self, tmp_path, format, names):
        ran, path = tmp_path / "ran", tmp_path / "x.npz"
        np.savez(path, **{name: np.array([Evil(ran)], object) for name in names})
        for given in (None, format):
            with pytest.raises(SeuratTracksError, match="Python objects"):
                st.read(path, given, frame_size=SIZE)
        assert not ran.exists()

    def test_pickle_in_an_npy(self, tmp_path):
        ran, path = tmp_path / "ran", tmp_path / "x.npy"
        np.save(path, np.array([[[Evil(ran)] * 2]], object), allow_pickle=True)
        with pytest.raises(FormatError, match="Python objects"):
            st.read(path, frame_size=SIZE)
        assert not ran.exists()


class TestLyingHeaders:
    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    @pytest.mark.parametrize("compressed", [False, True])
    def test_a_claim_of_terabytes_allocates_nothing(self, tmp_path, suffix, compressed):
        """Address space is limited to what is in use and 512 MiB more."""
        path = tmp_path / f"x{suffix}"
        with (tmp_path / "x.npy").open("wb") as file:
            header = {
                "descr": "<f4",
                "fortran_order": False,
                "shape": (1, 1000, 10**9, 2),
            }
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(4000))
        if suffix == ".npz":
            how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            with zipfile.ZipFile(path, "w", how) as archive:
                archive.write(tmp_path / "x.npy", "tracks.npy")
        used = int(Path("/proc/self/statm").read_text().split()[0])
        used *= resource.getpagesize()
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, limits[1]))
        try:
            with pytest.raises(FormatError, match="8000000000000 bytes, and 4000 are"):
                st.read(path, frame_size=SIZE)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    def test_a_frame_number_beyond_any_video(self, tmp_path):
        text = HEAD + "0,0,1.5,2,1\n0,1000000000000,1.5,2,1\n"
        with pytest.raises(FormatError, match=r"1e\+12 cells.*frames='present'"):
            st.read(table(tmp_path / "x.csv", text), frame_size=SIZE)
        ds = st.read(tmp_path / "x.csv", frame_size=SIZE, frames="present")
        assert ds.time.values.tolist() == [0, 10**12]

    def test_entities_of_xml_are_refused(self, tmp_path):
        text = '<!DOCTYPE a [<!ENTITY b "bbbb">]><Tracks>&b;</Tracks>'
        with pytest.raises(FormatError, match="declares a DOCTYPE"):
            st.read(table(tmp_path / "x.xml", text), frame_size=SIZE)


class TestFractions:
    def test_a_table(self, tmp_path):
        rows = [f"{i},{t},0.{i + 2}5,0.5" for i in range(5) for t in range(4)]
        path = table(tmp_path / "x.csv", "id,frame,x,y\n" + "\n".join(rows))
        with pytest.raises(FormatError, match="coordinates='normalised'"):
            st.read(path, frame_size=SIZE)
        ds = st.read(path, frame_size=SIZE, coordinates="normalised")
        np.testing.assert_allclose(ds.xy.values[0, 0], [0.25 * 64 - 0.5, 23.5])
        with pytest.raises(FormatError, match="fractions"):  # the contract's own check
            st.read(path, frame_size=SIZE, coordinates="pixels")

    def test_arrays(self, tmp_path):
        xy = np.linspace(0.1, 0.9, 24).reshape(1, 4, 3, 2)
        np.savez(tmp_path / "x.npz", tracks=xy)
        with pytest.raises(FormatError, match="coordinates='normalised'"):
            st.read(tmp_path / "x.npz", frame_size=SIZE)
        np.savez(tmp_path / "x.npz", target_points=xy, occluded=np.zeros((1, 4, 3)))
        with pytest.raises(FormatError, match="coordinates='normalised'"):
            st.read(tmp_path / "x.npz", frame_size=SIZE)

    def test_pixels_under_the_name_of_fractions(self, tmp_path):
        xy = np.linspace(1, 40, 24).reshape(4, 3, 2)
        np.savez(tmp_path / "x.npz", points=xy, occluded=np.zeros((4, 3)))
        with pytest.raises(FormatError, match="coordinates='pixels'"):
            st.read(tmp_path / "x.npz", frame_size=SIZE)
        with pytest.raises(FormatError, match="coordinates='pixels'"):
            st.read(tmp_path / "x.npz", frame_size=SIZE, coordinates="normalised")
        ds = st.read(tmp_path / "x.npz", frame_size=SIZE, coordinates="pixels")
        np.testing.assert_allclose(ds.xy.values, xy - 0.5, rtol=1e-6)


class TestTables:
    def test_one_bad_row_of_100000(self, tmp_path):
        rows = long_table(100_000)
        rows[77_776] = "12,777,3.x5,4,1"
        path = table(tmp_path / "x.csv", HEAD + "\n".join(rows))
        with pytest.raises(FormatError, match=r"line 77778: x is '3.x5'.*12,777,3.x5"):
            st.read(path, frame_size=SIZE)

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            ("1,0,2", "it has 3 fields, not 5; the file is cut short"),
            ("1,0,2,3,1,1", "it has 6 fields, not 5"),
            ("1,0.5,2,3,1", "frame is '0.5', which is no whole frame number"),
            ("1,0,inf,3,1", "x is 'inf', which is no finite number"),
            ("1,0,2,,1", "only one of x and y"),
            ("1,0,,,1", "marked as visible, but has no position"),
            (",0,2,3,1", "track is '', which is no id"),
            ("1,0,2,3,0.7", "visible is '0.7', which is no flag"),
            ('1,0,2,3,"1', "a quoted field does not end"),
            ("1,9" + 30 * "0" + ",2,3,1", "no possible frame number"),
        ],
    )
    def test_bad_rows_are_named(self, tmp_path, row, why):
        path = table(tmp_path / "x.csv", HEAD + "0,0,1.5,2,1\n\n" + row)
        with pytest.raises(FormatError, match=f"line 4: .*{why}"):
            st.read(path, frame_size=SIZE)

    def test_two_rows_for_a_track_and_frame(self, tmp_path):
        text = HEAD + "a,0,1.5,2,1\nb,0,1,2,1\na,1,1,2,1\nb,0,3,4,1\n"
        with pytest.raises(FormatError, match=r"line 5, track 'b', frame 0, as line 3"):
            st.read(table(tmp_path / "x.csv", text), frame_size=SIZE)

    def test_frames_that_are_missing(self, tmp_path):
        text = "particle,t,x,y\n7,3,10.5,2\n7,6,11,2\n2,4,1,2\n"
        ds = st.read(table(tmp_path / "x.csv", text), frame_size=SIZE, fps=10)
        assert ds.track.values.tolist() == [7, 2]
        assert ds.time.values.tolist() == [3, 4, 5, 6]
        assert ds.visible.values.tolist() == [
            [True, False, False, True],
            [False, True, False, False],
        ]
        np.testing.assert_array_equal(np.isfinite(ds.xy.values).all(-1), ds.visible)

    def test_likelihoods_that_are_missing(self, tmp_path):
        text = "ID;Frame;X;Y;Likelihood;Occluded\nn;0;1.5;2;NaN;0\nn;1;2;3;0.5;1\n"
        ds = st.read(table(tmp_path / "x.csv", "\ufeff" + text), frame_size=SIZE)
        np.testing.assert_array_equal(ds.confidence.values, [[np.nan, 0.5]])
        assert ds.visible.values.tolist() == [[True, False]]

    def test_names_of_others(self, tmp_path):
        text = "cell\tslice\tcx\tcy\n1\t0\t5\t6\n1\t1\t5\t6\n"
        path = table(tmp_path / "x.csv", text)
        with pytest.raises(FormatError, match="no format that is known"):
            st.read(path, frame_size=SIZE)
        with pytest.raises(FormatError, match=r"track \(track, .*Its columns are cell"):
            st.read(path, "csv", frame_size=SIZE)
        names = {"track": "cell", "frame": "slice", "x": "cx", "y": "cy"}
        ds = st.read(path, "csv", frame_size=SIZE, columns=names)
        assert ds.xy.values[0, 1].tolist() == [5, 6]
        with pytest.raises(FormatError, match="names cz"):
            st.read(path, "csv", frame_size=SIZE, columns=names | {"x": "cz"})

    def test_seconds_are_no_frames(self, tmp_path):
        text = "track,time,x,y\n1,0.0,5,6\n1,0.04,5,6\n"
        path = table(tmp_path / "x.csv", text)
        with pytest.raises(FormatError, match=r"line 3: frame is '0\.04'"):
            st.read(path, frame_size=SIZE)
        with pytest.raises(FormatError, match="needs fps="):
            st.read(path, frame_size=SIZE, time_unit="seconds")
        ds = st.read(path, frame_size=SIZE, time_unit="seconds", fps=25)
        assert ds.time.values.tolist() == [0, 1]
        with pytest.raises(FormatError, match="fps is wrong"):
            st.read(path, frame_size=SIZE, time_unit="seconds", fps=10)

    def test_the_frame_size_is_asked_for(self, tmp_path):
        path = table(tmp_path / "x.csv", "track,frame,x,y\n1,0,5,6\n")
        for given in (None, (64,), (64.5, 2), "64x48", (0, 2)):
            with pytest.raises(FormatError, match=r"frame_size|\(width, height\)"):
                st.read(path, frame_size=given)

    def test_a_table_that_was_cut_short_or_edited(self, tmp_path, make_tracks):
        path = make_tracks().seurat.export(tmp_path / "x.csv")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-3]))
        with pytest.raises(FormatError, match=r"cut short or edited.*metadata=False"):
            st.read(path)
        ds = st.read(path, metadata=False, frame_size=(96, 80))
        assert "confidence" in ds
        path.write_text("".join(lines)[:-8])
        with pytest.raises(FormatError, match="cut short"):
            st.read(path)
        (tmp_path / "x.csv.json").write_text("{")
        with pytest.raises(FormatError, match=r"x\.csv\.json is damaged"):
            st.read(path)

    def test_decimal_commas(self, tmp_path):
        path = table(tmp_path / "x.csv", "track;frame;x;y\n1;0;5,5;6,5\n")
        with pytest.raises(FormatError, match="write decimals with a point"):
            st.read(path, frame_size=SIZE)

    def test_text_that_is_not_utf8(self, tmp_path):
        path = tmp_path / "x.csv"
        path.write_bytes(b"track,frame,x,y\n\xe9,0,5,6\n")
        with pytest.raises(FormatError, match="not UTF-8 text"):
            st.read(path, frame_size=SIZE)

    def test_many_rows_in_little_memory(self, tmp_path):
        """Python's own share grows by less than a hundred bytes a row."""
        import tracemalloc

        path = tmp_path / "x.csv"
        with path.open("w") as file:
            file.write("track,frame,x,y\n")
            row = [f",{i % 60}.5,{i % 40}.25\n" for i in range(1000)]
            for t in range(200):
                file.writelines(f"{i},{t}{row[i]}" for i in range(1000))
        tracemalloc.start()
        ds = st.read(path, frame_size=SIZE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert ds.sizes == {"track": 1000, "time": 200, "coord": 2}
        # 50,000 rows of text at a time, and the arrays of 200,000
        assert peak < 200_000 * 100 + 50_000 * 600


class TestArrays:
    def test_mixed_lengths(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez(path, tracks=np.zeros((1, 4, 3, 2)), visibility=np.ones((1, 5, 3)))
        with pytest.raises(FormatError, match=r"\(5, 3\) beside positions \(4, 3\)"):
            st.read(path, frame_size=SIZE)
        np.savez(path, points=np.zeros((3, 4, 2)), occluded=np.ones((4, 3)))
        with pytest.raises(FormatError, match=r"occluded \(4, 3\), expected"):
            st.read(path, frame_size=SIZE)
        np.savez(path, tracks=np.zeros((4, 3, 2)), ids=np.arange(5))
        with pytest.raises(FormatError, match=r"ids"):
            st.read(path, frame_size=SIZE)

    @pytest.mark.parametrize("name", ["csv", "parquet", "cotracker", "trackmate"])
    def test_files_that_were_cut(self, tmp_path, name, make_tracks):
        ends = {"csv": ".csv", "parquet": ".pq", "cotracker": ".npz"}
        path = tmp_path / f"x{ends.get(name, '.xml')}"
        ds = make_tracks()
        if name == "trackmate":
            ds = ds.drop_vars("confidence")
        st.export(ds, path, name)
        whole = path.read_bytes()
        for length in (len(whole) // 2, len(whole) - 20):
            path.write_bytes(whole[:length])
            with pytest.raises(FormatError):
                st.read(path, name)

    def test_damaged_bytes_fail_the_checksum(self, tmp_path, make_tracks):
        path = st.export(make_tracks(), tmp_path / "x.npz", "cotracker")
        damaged = bytearray(path.read_bytes())
        damaged[200] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="cannot be read"):
            st.read(path)

    def test_either_order_is_named(self, tmp_path):
        xy = np.arange(24.0).reshape(4, 3, 2)
        np.savez(tmp_path / "x.npz", tracks=xy, visibility=np.ones((4, 3), bool))
        ds = st.read(tmp_path / "x.npz", frame_size=SIZE)
        assert ds.sizes == {"track": 3, "time": 4, "coord": 2}
        turned = st.read(tmp_path / "x.npz", frame_size=SIZE, axes="track time")
        assert turned.sizes == {"track": 4, "time": 3, "coord": 2}


class TestTrackMate:
    SPOTS = (
        "LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME\n"
        "Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame\n"
        "Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame\n"
        ",,,(quality),(micron),(micron),(micron),(sec),\n"
        "ID1,1,4,9.5,5.0,6.0,0.0,0.0,0\n"
        "ID2,2,4,9.5,5.5,6.0,0.0,1.0,1\n"
        "ID3,3,ø,9.5,1.0,1.0,0.0,1.0,1\n"
        "ID4,4,2,9.5,2.5,1.0,0.0,2.0,2\n"
    )

    def test_a_table_in_microns(self, tmp_path):
        path = table(tmp_path / "spots.csv", self.SPOTS)
        with pytest.raises(FormatError, match=r"unit is 'micron': give pixel_size="):
            st.read(path, frame_size=SIZE)
        ds = st.read(path, frame_size=SIZE, pixel_size=0.5)
        assert ds.track.values.tolist() == [4, 2]
        assert ds.xy.sel(track=4, time=1).values.tolist() == [11, 12]
        assert ds.visible.values.tolist() == [[True, True, False], [False, False, True]]

    def test_a_table_with_fewer_lines_of_names(self, tmp_path):
        lines = self.SPOTS.splitlines(keepends=True)
        path = table(tmp_path / "spots.csv", "".join(lines[:1] + lines[4:]))
        with pytest.raises(FormatError, match="does not say its unit"):
            st.read(path, frame_size=SIZE)
        assert st.read(path, frame_size=SIZE, pixel_size=1).sizes["track"] == 2

    def xml(self, edges: str) -> str:
        spots = "".join(
            f'<Spot ID="{i}" name="a" FRAME="{f}" POSITION_X="{x}" POSITION_Y="2.0"/>'
            for i, f, x in ((1, 0, 1.0), (2, 1, 1.5), (3, 1, 4.0), (4, 2, 5.0))
        )
        return (
            '<TrackMate version="7.11"><Model spatialunits="micron"'
            f' timeunits="sec"><AllSpots>{spots}</AllSpots><AllTracks>{edges}'
            '</AllTracks><FilteredTracks><TrackID TRACK_ID="5"/></FilteredTracks>'
            '</Model><Settings><ImageData width="64" height="48" pixelwidth="0.5" '
            'pixelheight="0.25" timeinterval="0.1"/></Settings></TrackMate>'
        )

    def test_its_own_file_says_everything(self, tmp_path):
        edges = (
            '<Track TRACK_ID="5"><Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="2"/></Track>'
            '<Track TRACK_ID="6"><Edge SPOT_SOURCE_ID="3" SPOT_TARGET_ID="4"/></Track>'
        )
        ds = st.read(table(tmp_path / "x.xml", self.xml(edges)))
        assert ds.track.values.tolist() == [5]  # 6 did not pass the filters
        np.testing.assert_array_equal(ds.xy.values, [[[2, 8], [3, 8]]])
        assert ds.attrs["fps"] == 10
        assert ds.attrs["frame_size"] == [64, 48]

    def test_tracks_that_split(self, tmp_path):
        edges = (
            '<Track TRACK_ID="5"><Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="2"/>'
            '<Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="3"/></Track>'
        )
        with pytest.raises(FormatError, match=r"split or merge.*track 5, frame 1"):
            st.read(table(tmp_path / "x.xml", self.xml(edges)))
        edges = edges.replace('"3"', '"9"')
        with pytest.raises(FormatError, match="edge to spot '9'"):
            st.read(table(tmp_path / "x.xml", self.xml(edges)))


class TestNapari:
    def test_z_is_never_guessed(self, tmp_path):
        rows = [[1, 0, 2.0, 0.1, 0.2], [1, 1, 2.5, 0.1, 0.2]]
        np.save(tmp_path / "x.npy", rows)
        with pytest.raises(FormatError, match=r"z='camera'.*z='ignore'"):
            st.read(tmp_path / "x.npy", frame_size=SIZE)
        with pytest.raises(FormatError, match="needs intrinsics="):
            st.read(tmp_path / "x.npy", frame_size=SIZE, z="camera")
        ds = st.read(
            tmp_path / "x.npy", frame_size=SIZE, z="camera", intrinsics=(50, 50, 31, 23)
        )
        np.testing.assert_allclose(ds.xy.values[0, 0], [31 + 5, 23 + 2.5])
        np.testing.assert_allclose(ds.depth.values, [[2, 2.5]])

    def test_rows_that_napari_would_refuse(self, tmp_path):
        np.save(tmp_path / "x.npy", [[1, 0, 2.0, 5.0], [1, 1, np.nan, 5.0]])
        with pytest.raises(FormatError, match="row 1: "):
            st.read(tmp_path / "x.npy", frame_size=SIZE)
