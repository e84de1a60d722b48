import av
import numpy as np
import pytest
from PIL import Image

from seurat_tracks.cameras import from_exif
from seurat_tracks.errors import CameraError


def picture(path, tags, size=(600, 400)):
    exif = Image.Exif()
    exif[0x0110] = "a camera"  # Pillow writes no EXIF into a PNG without a main tag
    exif.get_ifd(0x8769).update(tags)
    Image.new("RGB", size).save(path, exif=exif)
    return path


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_35_mm_equivalent(tmp_path, ending):
    camera = from_exif(picture(tmp_path / f"a.{ending}", {0xA405: 36}))
    # 3 : 2 as the film: 36 mm on 36 mm is one image width
    assert camera.intrinsics == pytest.approx((600, 600, 299.5, 199.5))
    assert "35 mm" in camera.source


def test_focal_plane_and_a_resized_picture(tmp_path):
    tags = {0x920A: 5.0, 0xA20E: 3000.0, 0xA20F: 3000.0, 0xA210: 3}
    camera = from_exif(picture(tmp_path / "a.jpg", tags))
    assert camera.intrinsics.fx == pytest.approx(5.0 * 300)
    tags |= {0xA002: 1200, 0xA003: 800}
    camera = from_exif(picture(tmp_path / "b.jpg", tags))
    assert camera.intrinsics.fx == pytest.approx(5.0 * 300 / 2)


def test_nothing_is_guessed(tmp_path):
    for tags in ({}, {0x920A: 5.0}, {0xA405: 0}):
        with pytest.raises(CameraError, match="FocalLengthIn35mmFilm"):
            from_exif(picture(tmp_path / "a.jpg", tags))
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    with pytest.raises(CameraError, match="read as a picture"):
        from_exif(tmp_path / "b.jpg")
    with pytest.raises(CameraError, match="does not exist"):
        from_exif(tmp_path / "c.jpg")


def video(path, tags):
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(tags)
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_video_tags(tmp_path):
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
    camera = from_exif(video(tmp_path / "a.mp4", {key: "72"}))
    assert camera.intrinsics.fx == pytest.approx(192)
    assert key in camera.source
    with pytest.raises(CameraError, match="focal length"):
        from_exif(video(tmp_path / "b.mp4", {}))
    (tmp_path / "c.mp4").write_bytes(b"no video")
    with pytest.raises(CameraError, match="read as a video"):
        from_exif(tmp_path / "c.mp4")
