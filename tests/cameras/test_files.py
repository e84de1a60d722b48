import cv2
import numpy as np
import pytest

from seurat_tracks.cameras import read_camera
from seurat_tracks.errors import CameraError

MATRIX = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])


def write_opencv(path, **values):
    store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        store.write(key, value)
    store.release()
    return path


@pytest.mark.parametrize("ending", ["yml", "yaml", "xml", "json"])
def test_opencv(tmp_path, ending):
    path = write_opencv(
        tmp_path / f"c.{ending}",
        image_width=640,
        image_height=480,
        camera_matrix=MATRIX,
        distortion_coefficients=np.array([[-0.2, 0.1, 0, 0, 0.01]]),
    )
    camera = read_camera(path)
    assert camera.intrinsics == (500, 510, 320, 240)
    assert camera.distortion == (-0.2, 0.1, 0, 0, 0.01)
    assert (camera.lens, camera.frame_size) == ("opencv", (640, 480))


def test_opencv_fisheye_without_a_size(tmp_path):
    path = write_opencv(
        tmp_path / "c.yml", K=MATRIX, D=np.array([0.1, 0, 0, 0.0]), fisheye_model=1
    )
    camera = read_camera(path)
    assert (camera.lens, camera.frame_size) == ("fisheye", None)
    assert camera.at_size((640, 480)).frame_size == (640, 480)


@pytest.mark.parametrize(
    ("line", "lens", "k", "bent"),
    [
        ("SIMPLE_PINHOLE 640 480 500 320 240", "opencv", (500, 500), ()),
        ("PINHOLE 640 480 500 510 320 240", "opencv", (500, 510), ()),
        ("SIMPLE_RADIAL 640 480 500 320 240 .1", "opencv", (500, 500), (0.1, 0, 0, 0)),
        ("RADIAL 640 480 500 320 240 .1 .2", "opencv", (500, 500), (0.1, 0.2, 0, 0)),
        (
            "OPENCV 640 480 500 510 320 240 .1 .2 .3 .4",
            "opencv",
            (500, 510),
            (0.1, 0.2, 0.3, 0.4),
        ),
        (
            "FULL_OPENCV 640 480 500 510 320 240 .1 .2 .3 .4 .5 .6 .7 .8",
            "opencv",
            (500, 510),
            (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        ),
        (
            "OPENCV_FISHEYE 640 480 500 510 320 240 .1 .2 .3 .4",
            "fisheye",
            (500, 510),
            (0.1, 0.2, 0.3, 0.4),
        ),
        (
            "RADIAL_FISHEYE 640 480 500 320 240 .1 .2",
            "fisheye",
            (500, 500),
            (0.1, 0.2, 0, 0),
        ),
    ],
)
def test_colmap(tmp_path, line, lens, k, bent):
    path = tmp_path / "cameras.txt"
    path.write_text(f"# Camera list\n# CAMERA_ID, MODEL, ...\n7 {line}\n")
    camera = read_camera(path)
    assert camera.intrinsics == (*k, 319.5, 239.5)  # COLMAP's pixels begin at 0.5
    assert (camera.lens, camera.distortion) == (lens, bent)
    assert camera.frame_size == (640, 480)


def test_several_cameras_need_a_choice(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("1 PINHOLE 9 9 9 9 4 4\n2 PINHOLE 9 9 8 8 4 4\n")
    assert read_camera(path, camera=2).intrinsics.fx == 8
    for wanted in (None, 3):
        with pytest.raises(CameraError, match="one of 1, 2"):
            read_camera(path, camera=wanted)


KALIBR = """
cam0:
  camera_model: pinhole
  intrinsics: [500, 510, 320, 240]
  distortion_model: {model}
  distortion_coeffs: [0.1, 0.2, 0.3, 0.4]
  resolution: [640, 480]
"""


@pytest.mark.parametrize(
    ("model", "lens"), [("radtan", "opencv"), ("equidistant", "fisheye")]
)
def test_kalibr(tmp_path, model, lens):
    path = tmp_path / "camchain.yaml"
    path.write_text(KALIBR.format(model=model))
    camera = read_camera(path)
    assert camera.intrinsics == (500, 510, 320, 240)
    assert (camera.lens, camera.distortion) == (lens, (0.1, 0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("c.txt", "1 FOV 9 9 9 9 4 4 .1", "cannot be undone"),
        ("c.txt", "1 PINHOLE 9 9 9 9", "4 numbers"),
        ("c.txt", "hello", "CAMERA_ID"),
        ("c.txt", "# nothing", "none"),
        ("c.yaml", KALIBR.format(model="fov"), "radtan"),
        ("c.yaml", "{unclosed", "YAML"),
        ("c.yml", "%YAML:1.0\n---\nother: 3\n", "no 3 x 3 camera matrix"),
        ("c.toml", "x = 1", "understood"),
    ],
)
def test_refused(tmp_path, name, text, wanted):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CameraError, match=wanted):
        read_camera(path)


def test_missing_and_binary(tmp_path):
    with pytest.raises(CameraError, match="does not exist"):
        read_camera(tmp_path / "no.yml")
    (tmp_path / "c.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CameraError, match="text"):
        read_camera(tmp_path / "c.yml")
