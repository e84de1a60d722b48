# Tiny random networks; importing the library is what takes time.
import json
import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tf = pytest.importorskip("transformers")

from seurat_tracks.depth import DepthModel, resolve_depth  # noqa: E402
from seurat_tracks.depth.base import kind_of  # noqa: E402
from seurat_tracks.depth.catalogue import (  # noqa: E402
    find_weights,
    stated_licence,
    weights_hash,
)
from seurat_tracks.depth.hub_models import (  # noqa: E402
    HubModel,
    depth_pro_pixels,
    without_padding,
)
from seurat_tracks.errors import DepthError, WeightsError  # noqa: E402
from tests.fixtures.depth_models import save_tiny  # noqa: E402

H, W = 60, 80


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(kind):
        if kind not in made:
            path = tmp_path_factory.mktemp("weights") / kind
            made[kind] = (path, save_tiny(kind, path))
        return made[kind]

    return folder


@pytest.fixture
def frames(rng):
    return rng.integers(0, 255, (3, H, W, 3), dtype=np.uint8)


def model(folder, **settings):
    settings = {"name": "tiny", "licence": "", "device": "cpu"} | settings
    return HubModel(folder, **settings)


class TestAnswers:
    @pytest.mark.parametrize("kind", ["metric", "relative", "glpn"])
    def test_as_the_library_itself(self, folders, frames, kind):
        path, network = folders(kind)
        found = model(path)(frames).maps
        processor = tf.AutoImageProcessor.from_pretrained(path, backend="pil")
        with torch.no_grad():
            output = network(**processor(images=list(frames), return_tensors="pt"))
        expected = processor.post_process_depth_estimation(output, [(H, W)] * 3)
        assert found.shape == (3, H, W)
        assert found.std() > 1e-4
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(
                one, other["predicted_depth"], rtol=1e-5, atol=1e-6
            )

    def test_zoedepth_without_its_border(self, folders, frames):
        path, network = folders("zoedepth")
        found = model(path)(frames).maps
        assert found.shape == (3, H, W)
        processor = tf.AutoImageProcessor.from_pretrained(path, backend="pil")
        with torch.no_grad():
            depth = network(
                **processor(images=list(frames), return_tensors="pt")
            ).predicted_depth
        np.testing.assert_allclose(
            found, without_padding(depth, (H, W)), rtol=1e-5, atol=1e-6
        )

    def test_the_border_is_where_the_processor_put_it(self):
        # columns of the padded picture, numbered: the frame's own begin at the border
        rows, columns = int(np.sqrt(H / 2) * 3), int(np.sqrt(W / 2) * 3)
        numbered = torch.arange(W + 2 * columns, dtype=torch.float32)
        padded = numbered.expand(1, H + 2 * rows, -1)
        cut = without_padding(padded, (H, W))
        np.testing.assert_array_equal(cut[0, 0], np.arange(W) + columns)

    def test_depth_pro(self, folders, frames):
        path, network = folders("depth-pro")
        tiny = model(path)
        answer = tiny(frames)
        assert tiny.kind == "metric"
        assert tiny.per_focal
        assert tiny.has_focal
        with torch.no_grad():
            output = network(pixel_values=depth_pro_pixels(frames, network.config))
        view = torch.deg2rad(output.field_of_view).numpy()
        np.testing.assert_allclose(answer.focal, 0.5 * W / np.tan(view / 2), rtol=1e-5)
        inverse = torch.nn.functional.interpolate(
            output.predicted_depth[:, None], (H, W), mode="bilinear"
        )[:, 0].clamp(1e-4, 1e4)
        np.testing.assert_allclose(answer.maps, 1 / inverse, rtol=1e-4)

    def test_frames_of_a_batch_do_not_matter_to_one_another(self, folders, frames):
        tiny = model(folders("metric")[0])
        alone = np.concatenate([tiny(frame[None]).maps for frame in frames])
        np.testing.assert_allclose(tiny(frames).maps, alone, rtol=1e-4, atol=1e-5)


class TestDepthProPixels:
    """Against an image processor of the library that needs no torchvision."""

    config = tf.DepthProConfig()

    def processor(self, **settings):
        return tf.DPTImageProcessorPil(
            image_mean=[0.5] * 3, image_std=[0.5] * 3, **settings
        )

    def test_range_number_by_number(self, rng):
        frames = rng.integers(0, 256, (1, 1536, 1536, 3), dtype=np.uint8)
        frames[0, 0, :2] = [[0] * 3, [255] * 3]
        found = depth_pro_pixels(frames, self.config)
        other = self.processor(do_resize=False)(list(frames), return_tensors="pt")
        np.testing.assert_allclose(found, other["pixel_values"], rtol=0, atol=1e-6)
        assert float(found.min()) == -1
        assert float(found.max()) == 1

    def test_enlarged_number_by_number(self, rng):
        frames = rng.integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
        found = depth_pro_pixels(frames, self.config)
        assert found.shape == (1, 3, 1536, 1536)
        other = self.processor(size={"height": 1536, "width": 1536}, resample=2)(
            list(frames), return_tensors="pt"
        )
        # that one rounds to whole grey levels after each axis: half a level twice
        apart = np.abs(found.numpy() - other["pixel_values"].numpy()) * 127.5
        assert apart.max() < 1.01
        assert apart.mean() < 0.4


class TestKinds:
    def test_metric_and_relative_by_their_configuration(self, folders):
        assert model(folders("metric")[0]).kind == "metric"
        assert model(folders("relative")[0]).kind == "affine_disparity"

    def test_relative_is_no_metric_source(self, folders):
        path, _ = folders("relative")
        with pytest.raises(DepthError, match=r"inverse depth.*unknown scale and shift"):
            resolve_depth(path)
        source = resolve_depth(path, affine=True)
        assert kind_of(source) == "affine_disparity"
        assert not source.metric
        assert resolve_depth(DepthModel(path, kind="metric")).metric

    def test_a_type_that_does_not_say(self, folders, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "chmv2"}))
        with pytest.raises(DepthError, match=r"'chmv2'.*kind=\"metric\""):
            DepthModel(tmp_path)


class TestRefusals:
    def test_missing_weights(self, folders, tmp_path):
        path, _ = folders("metric")
        (tmp_path / "config.json").write_bytes((path / "config.json").read_bytes())
        (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
        with pytest.raises(DepthError, match=r"no .safetensors.*pytorch_model.bin"):
            DepthModel(tmp_path)

    def test_weights_with_holes(self, folders, tmp_path, frames):
        from safetensors.torch import load_file, save_file

        path, _ = folders("glpn")
        for name in ("config.json", "preprocessor_config.json"):
            (tmp_path / name).write_bytes((path / name).read_bytes())
        state = load_file(path / "model.safetensors")
        state.pop(min(state))
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(DepthError, match=r"1 weights are missing"):
            model(tmp_path)(frames)

    def test_half_precision_is_for_cuda(self, folders):
        with pytest.raises(DepthError, match=r"float16 is for CUDA.*'cpu'"):
            DepthModel(folders("metric")[0], device="cpu", dtype="float16")
        with pytest.raises(DepthError, match=r"dtype must be.*'int8'"):
            DepthModel(folders("metric")[0], device="cpu", dtype="int8")

    def test_device_is_used_or_refused(self, folders):
        with pytest.raises(WeightsError, match="cuda:77"):
            DepthModel(folders("metric")[0], device="cuda:77")

    def test_nothing_is_downloaded_unasked(self, monkeypatch):
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        asked = []

        def download(repository, *, allow_patterns, local_files_only=False):
            asked.append((repository, local_files_only))
            raise LocalEntryNotFoundError("not here")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        with pytest.raises(DepthError, match=r"DepthPro-hf.*licence: Apple.*download"):
            resolve_depth("depth-pro")
        with pytest.raises(DepthError, match=r"someone/model.*stated on that page"):
            DepthModel("someone/model")
        assert asked == [("apple/DepthPro-hf", True), ("someone/model", True)]

    def test_licence_is_shown_before_a_download(self, monkeypatch, caplog, folders):
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        def download(repository, *, allow_patterns, local_files_only=False):
            if local_files_only:
                raise LocalEntryNotFoundError("not here")
            assert "licence: MIT" in caplog.text
            assert not any("bin" in p or "pt" in p for p in allow_patterns)
            return str(folders("zoedepth")[0])

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        with caplog.at_level(logging.WARNING, "seurat_tracks"):
            source = DepthModel("zoedepth", download=True, device="cpu")
        assert source.licence == "MIT"
        assert source.name == "zoedepth (Intel/zoedepth-nyu-kitti)"

    def test_unknown_name_lists_the_names(self):
        with pytest.raises(DepthError, match=r"depth-pro, .*moge-2"):
            DepthModel("depth_pro_xl")


class TestFolders:
    def test_licence_of_the_readme(self, folders, tmp_path):
        (tmp_path / "README.md").write_text(
            "---\nlicense: other\nlicense_name: apple-amlr\ntags:\n- depth\n---\n# x\n"
        )
        assert stated_licence(tmp_path) == "apple-amlr"
        (tmp_path / "README.md").write_text("---\nlicense: 'mit'\n---\n")
        assert stated_licence(tmp_path) == "mit"
        assert find_weights(str(tmp_path), download=False) == (tmp_path, "mit")
        (tmp_path / "README.md").write_text("# nothing\n")
        assert "unknown" in find_weights(str(tmp_path), download=False)[1]

    def test_hash_follows_weights_and_settings(self, folders, tmp_path):
        path, _ = folders("glpn")
        for file in path.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        before = weights_hash(tmp_path)
        assert before == weights_hash(path)
        config = tmp_path / "preprocessor_config.json"
        config.write_text(config.read_text() + "\n")
        assert weights_hash(tmp_path) != before

    def test_hub_cache_needs_no_hashing(self, tmp_path):
        from seurat_tracks.depth.catalogue import file_digest

        blob = tmp_path / "blobs" / ("ab" * 32)
        blob.parent.mkdir()
        blob.write_bytes(b"weights")
        link = tmp_path / "model.safetensors"
        link.symlink_to(blob)
        assert file_digest(link) == "ab" * 32
