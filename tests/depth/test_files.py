import cv2
import numpy as np
import pytest
import xarray as xr
import zarr

from seurat_tracks.depth import DepthMaps, open_maps, resolve_depth
from seurat_tracks.errors import DepthError

T, H, W = 12, 6, 8


@pytest.fixture
def maps(rng):
    return rng.uniform(1, 3, (T, H, W)).astype(np.float32)


def each(folder, maps, suffix, write):
    """One file per frame, numbered without leading zeros."""
    folder.mkdir()
    for i, one in enumerate(maps):
        write(folder / f"frame{i}{suffix}", one)
    return folder


def write_exr(path, one, channel="Z"):
    OpenEXR = pytest.importorskip("OpenEXR")
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {channel: one}).write(str(path))


def write_image(path, one):
    assert cv2.imwrite(str(path), one)


def everything(opened):
    assert opened.shape == (T, H, W)
    return np.stack([np.asarray(opened[i]) for i in range(T)])


class TestWholeFiles:
    def test_npy_stays_on_the_disk(self, maps, tmp_path):
        np.save(tmp_path / "m.npy", maps)
        opened = open_maps(tmp_path / "m.npy")
        assert isinstance(opened, np.memmap)
        np.testing.assert_array_equal(everything(opened), maps)

    def test_npz(self, maps, tmp_path):
        np.savez(tmp_path / "m.npz", depth=maps, conf=maps, intrinsics=np.eye(3))
        np.testing.assert_array_equal(everything(open_maps(tmp_path / "m.npz")), maps)
        np.savez(tmp_path / "n.npz", left=maps, right=maps + 1)
        with pytest.raises(DepthError, match=r"holds \['left', 'right'\].*key="):
            open_maps(tmp_path / "n.npz")
        right = open_maps(tmp_path / "n.npz", key="right")
        np.testing.assert_array_equal(everything(right), maps + 1)
        with pytest.raises(DepthError, match="no 'middle'"):
            open_maps(tmp_path / "n.npz", key="middle")

    def test_zarr_array_and_group(self, maps, tmp_path):
        zarr.create_array(tmp_path / "a.zarr", data=maps, chunks=(1, H, W))
        np.testing.assert_array_equal(everything(open_maps(tmp_path / "a.zarr")), maps)
        ds = xr.Dataset({"depth": (("time", "y", "x"), maps), "n": 3})
        ds.to_zarr(tmp_path / "g.zarr", consolidated=False)
        np.testing.assert_array_equal(everything(open_maps(tmp_path / "g.zarr")), maps)

    def test_pickles_are_not_read(self, tmp_path):
        np.save(tmp_path / "m.npy", np.array([{}], object), allow_pickle=True)
        with pytest.raises(DepthError, match="not a plain"):
            open_maps(tmp_path / "m.npy")


class TestFolders:
    @pytest.mark.parametrize(
        ("suffix", "write"),
        [
            (".npy", np.save),
            (".npz", lambda path, one: np.savez(path, depth=one)),
            (".exr", write_exr),
            (".tiff", write_image),
        ],
    )
    def test_natural_order(self, maps, tmp_path, suffix, write):
        opened = open_maps(each(tmp_path / "maps", maps, suffix, write))
        assert opened.dtype == np.float32
        np.testing.assert_array_equal(everything(opened), maps)
        np.testing.assert_array_equal(opened[3:5, 1:, :2], maps[3:5, 1:, :2])

    def test_sixteen_bit_png_needs_its_scale(self, maps, tmp_path, make_tracks):
        whole = (maps * 1000).round().astype(np.uint16)
        folder = each(tmp_path / "png", whole, ".png", write_image)
        np.testing.assert_array_equal(everything(open_maps(folder)), whole)
        with pytest.raises(DepthError, match=r"map 0.*uint16.*scale=.*0\.001"):
            resolve_depth(folder)
        assert resolve_depth(DepthMaps(open_maps(folder), scale=0.001)).metric

    def test_sampled_from_files(self, maps, tmp_path):
        folder = each(tmp_path / "maps", maps, ".npy", np.save)
        ds = xr.Dataset(
            {
                "xy": (("track", "time", "coord"), np.full((1, T, 2), 2.0)),
                "visible": (("track", "time"), np.ones((1, T), bool)),
            },
            coords={"time": range(T)},
            attrs={"frame_size": [W, H]},
        )
        out = resolve_depth(str(folder)).at_tracks(ds)
        np.testing.assert_allclose(out[0], maps[:, 2, 2], rtol=1e-6)

    def test_named_exr_channels(self, maps, tmp_path):
        OpenEXR = pytest.importorskip("OpenEXR")

        def write(path, one):
            header = {"type": OpenEXR.scanlineimage}
            channels = {"ViewLayer.Depth.Z": one, "R": one * 0, "B": one * 0}
            OpenEXR.File(header, channels).write(str(path))

        folder = each(tmp_path / "exr", maps, ".exr", write)
        np.testing.assert_array_equal(everything(open_maps(folder)), maps)
        assert (open_maps(folder, key="B")[0] == 0).all()


class TestRefusals:
    def test_what_is_no_map(self, maps, tmp_path):
        with pytest.raises(DepthError, match="no such file"):
            open_maps(tmp_path / "nothing.npy")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DepthError, match="no depth maps"):
            open_maps(tmp_path / "empty")
        np.save(tmp_path / "empty" / "0.npy", maps[0])
        write_image(tmp_path / "empty" / "0.png", maps[0].astype(np.uint8))
        with pytest.raises(DepthError, match=r"1 \.npy, 1 \.png"):
            open_maps(tmp_path / "empty")
        np.save(tmp_path / "flat.npy", maps[0])
        with pytest.raises(DepthError, match=r"\(time, y, x\)"):
            open_maps(tmp_path / "flat.npy")
        write_image(tmp_path / "one.png", maps[0].astype(np.uint16))
        with pytest.raises(DepthError, match="give the folder"):
            open_maps(tmp_path / "one.png")
        (tmp_path / "clip.mp4").write_bytes(b"")
        with pytest.raises(DepthError, match="are read from"):
            open_maps(tmp_path / "clip.mp4")

    def test_coloured_and_broken_pictures(self, tmp_path):
        colour = np.zeros((2, H, W, 3), np.uint8)
        with pytest.raises(DepthError, match="coloured picture"):
            open_maps(each(tmp_path / "rgb", colour, ".png", write_image))
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "0.exr").write_bytes(b"no")
        with pytest.raises(DepthError, match="not a readable EXR"):
            open_maps(tmp_path / "bad")

    def test_sizes_that_change(self, maps, tmp_path):
        folder = each(tmp_path / "maps", maps, ".npy", np.save)
        np.save(folder / "frame7.npy", maps[7, 1:])
        with pytest.raises(DepthError, match=r"frame7.*8 x 5.*8 x 6"):
            everything(open_maps(folder))
