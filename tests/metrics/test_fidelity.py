import json

import numpy as np
import pytest
from conftest import cut_in_three, periodic_field

from napari_microgen.errors import InputError
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.phases import PhaseImage


@pytest.fixture(scope="module")
def material() -> PhaseImage:
    """A large section of the material, 512 x 512."""
    return PhaseImage.from_labels(cut_in_three(periodic_field((512, 512), 3.0, 1)))


@pytest.fixture(scope="module")
def reference(material) -> Reference:
    return Reference(dict.fromkeys(range(3), material))


@pytest.fixture(scope="module")
def same_material() -> list[np.ndarray]:
    return [cut_in_three(periodic_field((72, 64, 64), 3.0, seed)) for seed in range(2, 8)]


def test_the_same_material_is_told_apart_by_nothing(reference, same_material):
    found = reference.score(same_material)
    ratios = found.to_dict()
    assert list(ratios) == [
        "volume_fraction", "s2", "ssa", "chord", "ripple", "isotropy", "mean",
    ]  # fmt: skip
    assert 0.5 < found.mean < 1.6
    assert found.ripple < 1.5
    assert found.isotropy < 1.5
    four = np.prod([found.volume_fraction, found.s2, found.ssa, found.chord])
    assert found.mean == pytest.approx(four ** (1 / 4))


def test_another_part_of_the_image_is_told_apart_by_nothing(material):
    left, right = material.crop(slice(None), slice(0, 256)), material.data[:, 256:]
    crops = right.reshape(8, 64, 4, 64).swapaxes(1, 2).reshape(-1, 64, 64)
    found = Reference({0: left}).score([crops])
    assert found.mean < 2
    assert found.ripple < 1.5


def test_noise_of_the_right_fractions_is_terrible(reference, material):
    noise = np.random.default_rng(0).choice(3, (64, 64, 64), p=material.fractions)
    found = reference.score([noise.astype(np.uint8)])
    assert found.ssa > 100
    assert found.s2 > 3
    assert found.chord > 10


def test_coarser_features_are_seen(reference, same_material):
    coarse = [cut_in_three(periodic_field((64, 64, 64), 4.0, seed)) for seed in range(2, 6)]
    found, same = reference.score(coarse), reference.score(same_material)
    assert found.ssa > 4 * same.ssa
    assert found.chord > 4 * same.chord


def test_wrong_fractions_are_seen(reference):
    fields = [periodic_field((64, 64, 64), 3.0, seed) for seed in range(2, 6)]
    shifted = [np.digitize(f, (-0.6, 0.5244)).astype(np.uint8) for f in fields]
    assert reference.score(shifted).volume_fraction > 5


def test_a_lattice_shows_as_ripple(reference, same_material):
    x = np.arange(64)
    wave = 0.8 * np.cos(2 * np.pi * x / 8)
    lattice = wave[:, None, None] + wave[:, None] + wave
    fields = [periodic_field((64, 64, 64), 3.0, seed) for seed in range(2, 8)]
    found = reference.score([cut_in_three((f + lattice) / 1.4) for f in fields])
    assert found.ripple > 3
    assert found.ripple > 3 * reference.score(same_material).ripple


def test_stretched_features_show_as_anisotropy(reference, same_material):
    found = reference.score([np.repeat(v, 2, axis=0)[:72] for v in same_material])
    assert found.isotropy > 5
    assert found.details["isotropy_deviation"] > 0.3
    density = found.details["interface_density_generated"]
    assert density[0] == pytest.approx(density[1] / 2, rel=0.1)


def test_one_volume_may_hold_all_the_voxels(reference, same_material):
    found = reference.score([np.concatenate(same_material)])
    assert found.mean == pytest.approx(reference.score(same_material).mean, rel=0.3)


def test_a_missing_phase_gives_a_bad_but_finite_score(reference):
    volume = cut_in_three(periodic_field((32, 32, 32), 3.0, 2))
    found = reference.score([np.minimum(volume, 1)])
    assert all(np.isfinite(v) for v in found.to_dict().values())
    assert found.mean > 5


def test_unlabelled_voxels_are_left_out(reference, same_material):
    holed = [v.copy() for v in same_material]
    for volume in holed:
        volume[:, 20:40, 20:40] = 255
    found = reference.score(holed)
    assert found.mean == pytest.approx(reference.score(same_material).mean, rel=0.5)


def test_details_are_plain_json(reference, same_material):
    details = reference.score(same_material[:1]).details
    assert json.loads(json.dumps(details, allow_nan=False)) == details
    assert details["volume_fraction_real"] == pytest.approx([0.4, 0.3, 0.3], abs=0.03)


def test_an_anisotropic_material_is_compared_axis_by_axis():
    def stretched(n: int, seed: int) -> np.ndarray:
        return np.repeat(cut_in_three(periodic_field((n // 2, n, n), 3.0, seed)), 2, axis=0)

    image = PhaseImage.from_labels(stretched(128, 3))
    reference = Reference({axis: image.sections(axis) for axis in range(3)})
    assert not reference.isotropic
    others = [stretched(80, seed) for seed in range(4, 8)]
    found = reference.score(others)
    turned = reference.score([np.moveaxis(v, 0, 2) for v in others])
    assert found.mean < 1.6
    assert found.isotropy < 3
    assert turned.isotropy > 10
    assert turned.ssa > 2 * found.ssa


def test_equal_images_are_one_material(material):
    copy = PhaseImage.from_labels(material.data.copy())
    assert Reference({0: material, 1: copy, 2: material}).isotropic
    assert not Reference({0: material, 1: material}).isotropic


def test_phases_must_agree():
    values = np.tile([0, 1], (32, 16))
    with pytest.raises(InputError, match="different phases"):
        Reference({0: PhaseImage.from_labels(values), 1: PhaseImage.from_labels(values * 2)})


def test_grey_values_are_refused(section):
    grey = PhaseImage.from_grey(section.data.astype(float))
    with pytest.raises(InputError, match="give it as labels"):
        Reference({0: grey})
    assert Reference({0: grey.as_labels()}).n_phases == 3


def test_a_tiny_image_is_refused():
    with pytest.raises(InputError, match="too small"):
        Reference({0: PhaseImage.from_labels(np.tile([0, 1], (12, 6)))})


def test_a_mostly_unlabelled_image_is_refused():
    values = np.zeros((64, 64), int)
    values[:20, :20] = np.tile([1, 2], (20, 10))
    with pytest.raises(InputError, match="labelled in less than half"):
        Reference({0: PhaseImage.from_labels(values, zero="unlabelled")})


def test_a_laminate_is_as_isotropic_as_itself():
    layers = np.repeat(np.arange(64) // 4 % 2, 64 * 64).reshape(64, 64, 64).astype(np.uint8)
    image = PhaseImage.from_labels(layers)
    judge = Reference({axis: image.sections(axis) for axis in range(3)})
    same = judge.score([layers]).isotropy
    assert same < 100 < judge.score([layers.swapaxes(0, 1)]).isotropy < 1e9


def test_volumes_must_be_alike(reference):
    with pytest.raises(InputError, match="same shape"):
        reference.score([np.zeros((8, 8, 8), np.uint8), np.zeros((8, 8, 9), np.uint8)])
    with pytest.raises(InputError, match="same shape"):
        reference.score([])
    with pytest.raises(InputError, match="at least one"):
        Reference({})


def test_another_real_image_scores_as_part_of_the_material_and_a_coarser_one_does_not(reference):
    same, coarse = (
        PhaseImage.from_labels(cut_in_three(periodic_field((512, 512), length, 9)))
        for length in (3.0, 4.0)
    )
    found = reference.score_image(same)
    assert 0.4 < found["mean"] < 1.6 and found["ripple"] < 1.5
    assert reference.score_image(coarse)["mean"] > 2 * found["mean"]
