import numpy as np

from napari_microgen.metrics.fidelity import Reference
from napari_microgen.phases import PhaseImage


def test_turned_copies_of_sections_do_not_hide_the_sampling_noise():
    random = np.random.default_rng(0)
    stack = np.stack([blurred(random) for _ in range(4)])
    copied = np.concatenate([stack, stack[:, ::-1], stack.swapaxes(1, 2), stack[:, :, ::-1]])
    volume = [random.integers(0, 2, (64, 64, 64)).astype(np.uint8)]
    plain, enlarged = (
        Reference({0: PhaseImage.from_labels(s)}).score(volume).to_dict() for s in (stack, copied)
    )
    assert plain == enlarged


def blurred(random):
    from scipy.ndimage import gaussian_filter

    return (gaussian_filter(random.normal(size=(64, 64)), 2) > 0).astype(np.uint8)
