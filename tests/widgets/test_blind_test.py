import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_microgen.errors import InputError
from napari_microgen.phases import PALETTE, PhaseImage
from napari_microgen.widgets.blind_pane import BlindPane
from napari_microgen.widgets.blind_test import BlindTest, Score, wilson


def image(values, shape, name="image", **keywords):
    return PhaseImage.from_labels(
        np.random.default_rng(0).choice(values, shape).astype(np.uint8), name=name, **keywords
    )


@pytest.fixture(scope="module")
def real():
    """Only the first two of three phases; the third in one corner, so that crops show it not."""
    labels = image((0, 1), (160, 224)).data
    labels[-1, -1] = 2
    return PhaseImage.from_labels(labels, name="real")


@pytest.fixture(scope="module")
def generated():
    """Only the last two of three phases."""
    labels = image((1, 2), (96, 96, 96)).data + 1
    labels[-1, -1, -1] = 0
    return PhaseImage.from_labels(labels, name="generated")


def is_real(picture):
    """The truth, which only these two materials give away."""
    ground = [int(PALETTE[0][i : i + 2], 16) for i in (1, 3, 5)]
    return bool((picture == ground).all(axis=-1).any())


def test_wilsons_interval():
    # Newcombe, Statistics in Medicine 17, 1998, table I: 81/263, 15/148, 0/20, 1/29.
    known = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611),
             (1, 29): (0.0061, 0.1718)}  # fmt: skip
    for (right, total), expected in known.items():
        assert wilson(right, total) == pytest.approx(expected, abs=5e-5)
    assert wilson(20, 20) == pytest.approx((1 - 0.1611, 1.0), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("right", "said"), [(11, "guessing"), (18, "You can tell"), (2, "take real for generated")]
)
def test_the_sentence_follows_the_interval(right, said):
    text = str(Score(right, 20))
    assert text.startswith(f"{right} of 20 right: {right * 5} %, 95 % confidence")
    assert said in text


def test_who_sees_the_difference_is_always_right(real, generated):
    test = BlindTest(real, generated, 12, seed=3)
    while not test.finished:
        test.answer(is_real(test.picture))
    assert test.picture is None
    assert test.score() == Score(12, 12)


def test_the_seed_decides_the_order(real, generated):
    def order(seed):
        return [is_real(p) for p in BlindTest(real, generated, 12, seed).pictures]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(8)}) == 8
    shares = [np.mean(order(seed)) for seed in range(20)]
    assert len(set(shares)) > 3  # not balanced, so that counting does not help
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)


def test_pictures_differ_in_nothing_but_their_content(real, generated):
    test = BlindTest(real, generated, 12, seed=0)
    assert {(p.shape, p.dtype.name) for p in test.pictures} == {((48, 48, 3), "uint8")}


def test_no_two_crops_of_a_side_overlap():
    numbers = np.arange(160 * 160).reshape(160, 160)
    labels = (numbers % 7 % 3).astype(np.uint8)
    labels[::5, ::11] = 2
    one = PhaseImage.from_labels(labels, name="one")
    test = BlindTest(one, PhaseImage.from_labels(labels.T.copy()), 20, seed=0)
    assert len({p.tobytes() for p in test.pictures}) > 15


def test_grey_and_colour_are_shown_as_they_are():
    rng = np.random.default_rng(0)
    grey = PhaseImage.from_grey(rng.uniform(50, 150, (160, 160)), name="grey")
    darker = PhaseImage.from_grey(rng.uniform(50, 100, (160, 160)), name="darker")
    pictures = BlindTest(grey, darker, 12, seed=1).pictures
    assert all((p == p[..., :1]).all() for p in pictures)
    # On one scale, that of the real image.
    assert {bool(p.max() > 200) for p in pictures} == {True, False}
    assert max(p.max() for p in pictures if p.max() <= 200) in range(125, 130)
    colour = PhaseImage.from_colour(rng.integers(0, 256, (160, 160, 3), dtype=np.uint8))
    pictures = BlindTest(colour, colour, 12, seed=1).pictures
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 100
    with pytest.raises(InputError, match="same kind"):
        BlindTest(grey, colour)


def test_unlabelled_parts_are_not_shown():
    labels = image((1, 2, 3), (160, 160)).data + 1
    labels[:, 80:] = 0
    part = PhaseImage.from_labels(labels, zero="unlabelled", name="half")
    with pytest.raises(InputError, match="'half' has only 10 separate crops"):
        BlindTest(part, part, 20)
    assert len(BlindTest(part, part, 10).pictures) == 10


def test_images_that_do_not_belong_together_are_refused(real, generated):
    with pytest.raises(InputError, match="same labels"):
        BlindTest(real, image((7, 8), (96, 96, 96)))
    coarse = image((0, 1, 2), (96, 96, 96), voxel_size=(2, 2, 2))
    with pytest.raises(InputError, match="resample"):
        BlindTest(real, coarse)


# ---------------------------------------------------------------------- the pane


@pytest.fixture
def pane(qtbot, real, generated):
    pane = BlindPane()
    qtbot.addWidget(pane)
    pane.resize(380, 480)
    pane.show()
    pane.begin(BlindTest(real, generated, 6, seed=5))
    return pane


def test_mouse_and_keyboard_answer(pane, qtbot):
    qtbot.mouseClick(pane.real_button, Qt.MouseButton.LeftButton)
    qtbot.keyClick(pane, Qt.Key.Key_G)
    qtbot.keyClick(pane, Qt.Key.Key_R)
    qtbot.keyClick(pane.real_button, Qt.Key.Key_G)
    assert pane.test.answers == [True, False, True, False]
    assert pane.question.text() == "Crop 5 of 6: real or not?"


def test_nothing_is_said_before_the_end(pane, qtbot):
    for _ in range(5):
        qtbot.keyClick(pane, Qt.Key.Key_R)
        assert not pane.result.text()
    with qtbot.waitSignal(pane.finished) as caught:
        qtbot.keyClick(pane, Qt.Key.Key_R)
    assert pane.result.text() == str(caught.args[0]) == str(pane.test.score())
    assert not pane.real_button.isVisible()
    qtbot.keyClick(pane, Qt.Key.Key_R)
    assert len(pane.test.answers) == 6


def test_the_picture_is_shown_pixel_by_pixel(pane):
    shown = pane.picture.grab().toImage()
    pixels = pane.test.picture
    factor = 340 // 48
    left, top = ((n - 48 * factor) // 2 for n in (shown.width(), shown.height()))
    for y, x in ((0, 0), (10, 30), (47, 47)):
        place = left + x * factor + factor // 2, top + y * factor + factor // 2
        assert shown.pixelColor(*place).getRgb()[:3] == tuple(pixels[y, x])


def test_it_runs_from_the_dock(viewer, open_dock, qtbot):
    rng = np.random.default_rng(0)
    viewer.layers["micrograph"].data = rng.choice([0, 3, 200], (160, 224)).astype(np.uint8)
    viewer.add_labels(
        rng.choice([0, 3, 200], (96, 96, 96)).astype(np.uint8), name="generated",
        scale=(0.5,) * 3, units=("um",) * 3, axis_labels=("z", "y", "x"),
    )  # fmt: skip
    compare = open_dock("Compare")
    real, generated = compare.inputs.pickers
    real.value, generated.value = viewer.layers["micrograph"], viewer.layers["generated"]
    compare.questions.value = 8
    compare.blind_button.click()
    qtbot.waitUntil(lambda: compare.blind.test is not None, timeout=20_000)
    assert len(compare.blind.test.pictures) == 8
    again = open_dock("Compare")
    assert again.blind.test is compare.blind.test
