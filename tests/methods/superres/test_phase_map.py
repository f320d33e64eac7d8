import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.methods.superres.phase_map import PhaseMap
from napari_microgen.phases import PhaseImage


def image(fractions, values=None, names=None, shape=(100, 100)):
    cuts = np.cumsum(np.round(np.array(fractions) * np.prod(shape)).astype(int))[:-1]
    indices = np.searchsorted(cuts, np.arange(np.prod(shape)), side="right").reshape(shape)
    values = list(range(len(fractions))) if values is None else values
    named = {} if names is None else dict(zip(values, names, strict=True))
    return PhaseImage.from_labels(np.array(values)[indices], names=named)


def guess(high, low):
    return PhaseMap.guess(high, low).text


def test_is_guessed_from_volume_fractions():
    high = image((0.4, 0.45, 0.15), (10, 20, 30))
    assert guess(high, image((0.55, 0.45), (1, 2))) == "10:1,20:2,30:1"
    assert guess(high, image((0.4, 0.6), (1, 2))) == "10:1,20:2,30:2"
    assert guess(image((0.36, 0.33, 0.31)), image((0.355, 0.341, 0.304))) == "0:0,1:1,2:2"


def test_names_go_before_fractions():
    high = image((0.3, 0.3, 0.4), names=("pore", "particle", "binder"))
    low = image((0.6, 0.4), (0, 255), names=("Particle", "Pore"))
    assert guess(high, low) == "0:255,1:0,2:0"


def test_equal_labels_decide_between_equal_fits():
    assert guess(image((0.5, 0.5)), image((0.49, 0.51))) == "0:0,1:1"
    assert guess(image((0.2, 0.8)), image((0.8, 0.2))) == "0:1,1:0"


def test_reads_what_it_writes():
    high, low = image((0.4, 0.45, 0.15), (3, 0, 200)), image((0.55, 0.45), (0, 128))
    made = PhaseMap.parse("0:0, 3:128,200:0", high.phases, low.phases)
    assert made.text == "0:0,3:128,200:0"
    assert PhaseMap.parse(made.text, high.phases, low.phases) == made
    np.testing.assert_array_equal(made.matrix, [[1, 0, 1], [0, 1, 0]])
    assert "phase 3 (3) looks like phase 128 (128)" in made.describe()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0:0,1:1", r"leaves 'phase 2' \(label 2\) of the image"),
        ("0:0,1:0,2:0", "leaves 'phase 1' .* of the volume"),
        ("0:0,1:1,2:7", "the label 7, which the volume does not have"),
        ("0:0,1:1,9:0", "the label 9, which the image does not have"),
        ("0:0,1:1,1:0,2:0", "twice"),
        ("0-0", "pairs of labels"),
        ("0:0,,", "pairs of labels"),
        ("pore:pore", "pairs of labels"),
    ],
)
def test_maps_that_cannot_be_are_refused(text, told):
    high, low = image((0.4, 0.45, 0.15)), image((0.55, 0.45))
    with pytest.raises(InputError, match=told):
        PhaseMap.parse(text, high.phases, low.phases)


def test_more_phases_in_the_volume_than_in_the_image_are_refused():
    with pytest.raises(InputError, match=r"3 phases but .* only 2"):
        PhaseMap.guess(image((0.5, 0.5)), image((0.3, 0.3, 0.4)))
    high, low = image((0.5, 0.5)), image((0.3, 0.3, 0.4))
    with pytest.raises(InputError, match=r"3 phases but .* only 2"):
        PhaseMap.parse("0:0,1:1", high.phases, low.phases)
