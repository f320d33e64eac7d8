import pytest

from napari_microgen.units import length_ratio, length_text


@pytest.mark.parametrize(
    ("length", "unit", "text"),
    [
        (59_800, "nm", "59.8 um"),
        (0.25, "um", "250 nm"),
        (999.9, "nm", "1.00 um"),
        (3, "inch", "76.2 mm"),
        (1, "m", "1.00 m"),
        (1234.5, "pixel", "1230 pixels"),
        (2.5, "furlong", "2.50 furlong"),
    ],
)
def test_lengths_are_written_in_the_unit_that_suits_them(length, unit, text):
    assert length_text(length, unit) == text


def test_only_lengths_have_a_ratio():
    assert length_ratio("nm", "um") == 0.001
    assert length_ratio("mm", "mm") == 1
    assert length_ratio("nm", "pixel") is length_ratio("pixel", "pixel") is None
