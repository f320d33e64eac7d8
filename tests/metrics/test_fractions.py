import numpy as np

from napari_microgen.metrics.fractions import volume_fractions


def test_unlabelled_voxels_do_not_count():
    data = np.array([[0, 0, 1], [255, 255, 2]], np.uint8)
    assert volume_fractions(data, 4).tolist() == [0.5, 0.25, 0.25, 0]


def test_nothing_labelled_gives_zeros():
    assert volume_fractions(np.full((4, 4), 255, np.uint8), 2).tolist() == [0, 0]
