import numpy as np
import pytest

from seurat_tracks.depth.sampling import sample_map


def test_default_sampling_under_true_tracks(real_data):
    """Kinect depth of a kitchen, coarse: docs/depth.md has the whole table."""
    path = real_data / "sevenscenes_a" / "seq_a.npz"
    if not path.is_file():
        pytest.skip("the kitchen is not among the real recordings here")
    with np.load(path, allow_pickle=False) as clip:
        depth, xy = clip["depth"][::4], clip["tracks_uv"][::4]
        truth = clip["tracks_xyz"][::4, :, 2]
        seen = clip["visibility"].astype(bool)[::4]
    T, H, W = depth.shape
    blocks = depth.reshape(T, H // 4, 4, W // 4, 4)
    good = np.isfinite(blocks)
    with np.errstate(invalid="ignore"):
        coarse = np.where(good, blocks, 0).sum((2, 4)) / good.sum((2, 4))

    def errors(sampling):
        found = [
            sample_map(coarse[t], xy[t, seen[t]], (W, H), sampling=sampling)
            for t in range(T)
        ]
        return np.abs(np.concatenate(found) - truth[seen]) / truth[seen]

    edge, bilinear = errors("edge"), errors("bilinear")
    assert np.nanmedian(edge) < 0.005
    assert np.nanmedian(edge) <= np.nanmedian(bilinear) * 1.01
    assert np.nanpercentile(edge, 99) < 0.95 * np.nanpercentile(bilinear, 99)
