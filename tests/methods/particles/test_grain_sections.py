import numpy as np
import pytest
import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.cutouts import (
    SectionCutouts,
    generated_cutouts,
    grid_points,
    one_hot,
    seeds_around,
)
from napari_microgen.methods.particles.diagram import (
    metrics,
    potentials,
    softmax_tessellation,
)
from napari_microgen.methods.particles.grain_anchor import (
    GrainAnchor,
    flatness,
    grain_features,
)
from napari_microgen.methods.particles.grain_config import GrainConfig
from napari_microgen.methods.particles.grain_method import Grains
from napari_microgen.methods.particles.grain_network import (
    MarkerNetwork,
    MarkerRange,
    realise,
    surroundings,
)
from napari_microgen.methods.particles.sections import Section, read_section, unit_length
from napari_microgen.methods.particles.seeds import Seeds, poisson_seeds
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_particles import grain_section, true_grains

CENTRES = GrainConfig(centres="160 160")


@pytest.fixture(scope="module")
def image():
    return PhaseImage.from_numbered(grain_section(1), voxel_size=(0.05, 0.05), unit="um",
                                    name="EBSD")  # fmt: skip


@pytest.fixture(scope="module")
def section(image):
    return read_section(image, (160.0, 160.0))


def disc(radius, side=None, numbers=None):
    """A round particle of square grains, numbered row by row."""
    side = side or 2 * radius + 5
    y, x = np.indices((side, side)) - side // 2
    grains = 1 + (y // 9 - y.min() // 9) * 100 + (x // 9 - x.min() // 9)
    return np.where(y * y + x * x <= radius * radius, grains, 0)


def image_of(numbers, **keywords):
    return PhaseImage.from_numbered(numbers, name="map", **keywords)


# ---------------------------------------------------------------------- reading sections


def test_what_was_not_indexed_goes_to_a_grain_beside_it(image, section):
    owner = true_grains(1, 107 + 16).owners((0, -160 / 1.5, -160 / 1.5), (1, 321, 321), 1 / 1.5)[0]
    filled = (section.numbers > 0) & (image.data == 0)
    assert 0.02 < section.unindexed < 0.06
    kept = image.data > 0
    np.testing.assert_array_equal(section.numbers[kept], image.data[kept])
    # Filled pixels belong to the grain that owns them in truth, in most cases.
    name = np.zeros(owner.max() + 1, int)
    name[owner[kept]] = image.data[kept]
    assert np.mean(name[owner[filled]] == section.numbers[filled]) > 0.6


def test_a_large_hole_belongs_to_the_particle_and_what_is_around_it_does_not():
    numbers = disc(60)
    holed = numbers.copy()
    holed[50:70, 50:70] = 0
    section = read_section(image_of(holed))
    np.testing.assert_array_equal(section.numbers > 0, numbers > 0)
    assert section.centre == pytest.approx((62, 62), abs=0.5)


def test_units_make_28_grains_per_window(section):
    unit = unit_length([section])
    assert section.n_grains * (32 * unit) ** 2 / section.area == pytest.approx(28)
    assert unit == pytest.approx(1.5, rel=0.1)


def test_a_centre_outside_the_particle_is_refused():
    with pytest.raises(InputError, match="outside the particle"):
        read_section(image_of(disc(60)), (2.0, 2.0))


def test_too_few_grains_are_refused():
    with pytest.raises(InputError, match="grains; at least 30"):
        read_section(image_of(disc(20)))
    with pytest.raises(InputError, match="shows 1 grain; at least 30"):
        read_section(image_of((disc(20) > 0).astype(int)))


def test_maps_that_are_mostly_unindexed_are_refused():
    random = np.random.default_rng(0)
    numbers = np.where(random.random((125, 125)) < 0.35, disc(60), 0)
    with pytest.raises(InputError, match="is not indexed"):
        read_section(image_of(numbers))


def test_gaps_are_warned_of():
    random = np.random.default_rng(0)
    numbers = np.where(random.random((205, 205)) < 0.7, disc(100), 0)
    warnings = Grains().check([image_of(numbers)], GrainConfig())
    assert any("% of the particle in 'map' is not indexed" in w for w in warnings)


def test_grains_that_point_anywhere_are_warned_of_with_their_angles(image):
    from scipy.spatial import cKDTree

    assert Grains().check([image], CENTRES) == []
    random = np.random.default_rng(0)
    y, x = np.indices((241, 241))
    _, grains = cKDTree(random.uniform(0, 241, (700, 2))).query(np.stack([y, x], -1))
    particle = (y - 120) ** 2 + (x - 120) ** 2 < 110**2
    nowhere = image_of(np.where(particle, grains + 1, 0))
    (warning,) = Grains().check([nowhere], GrainConfig())
    assert "do not point to the centre" in warning
    assert "steps of 15 degrees" in warning
    plot = Grains().warning_plot([nowhere], GrainConfig())
    (angles, shares), evenly = plot.curves["map"], plot.level
    assert angles == (7.5, 22.5, 37.5, 52.5, 67.5, 82.5)
    np.testing.assert_allclose(shares, evenly, atol=8)
    assert sum(shares) == pytest.approx(100)
    assert Grains().warning_plot([image], CENTRES) is None


def test_coarse_maps_and_few_grains_are_warned_of():
    numbers = disc(60)[::3, ::3]
    warnings = " ".join(Grains().check([image_of(numbers)], GrainConfig()))
    assert "pixels wide" in warnings
    assert "grains to learn from" in warnings


def test_small_particles_are_refused():
    with pytest.raises(InputError, match="too small to learn from"):
        Grains().check([image_of(disc(32))], GrainConfig())


def test_a_3d_image_is_a_stack_of_sections_only_if_that_is_said(image):
    stack = image_of(np.stack([image.data, image.data]), voxel_size=(1, 0.05, 0.05))
    with pytest.raises(InputError, match="turn on 'stack'"):
        Grains().read([stack], GrainConfig())
    sections = Grains().read([stack], GrainConfig(stack=True, centres="160 160; 150 150"))
    assert [s.centre for s in sections] == [(160, 160), (150, 150)]


def test_centres_have_to_fit_the_sections(image):
    with pytest.raises(InputError, match="2 centres"):
        Grains().read([image], GrainConfig(centres="1 2; 3 4"))
    with pytest.raises(InputError, match="two numbers per section"):
        GrainConfig(centres="middle")


def test_pixel_sizes_are_compared_in_one_unit(image):
    def sized(size, unit):
        return image_of(image.data, voxel_size=(size, size), unit=unit)

    assert len(Grains().read([sized(0.05, "um"), sized(50, "nm")], GrainConfig())) == 2
    with pytest.raises(InputError, match=r"0\.05 um and 'map' of 0\.05 nm"):
        Grains().read([sized(0.05, "um"), sized(0.05, "nm")], GrainConfig())
    with pytest.raises(InputError, match="set its scale"):
        Grains().read([sized(0.05, "um"), image_of(image.data)], GrainConfig())


def test_only_the_largest_particle_of_a_map_counts():
    small, large = disc(30), disc(60)
    gaps = np.where(np.indices(large.shape).sum(0) % 2, large, 0)
    both = np.zeros((len(large), len(large) + len(small)), int)
    both[:, : len(large)], both[: len(small), len(large) :] = gaps, small
    alone, among = (read_section(image_of(numbers)) for numbers in (gaps, both))
    assert among.unindexed == pytest.approx(alone.unindexed, abs=0.02)
    assert among.area == pytest.approx(alone.area, rel=0.02)


def beside(image):
    """The sample's section twice, side by side, all grains numbered."""
    other = np.where(image.data > 0, image.data + image.data.max(), 0)
    return np.concatenate([image.data, other[:, 20:-20]], axis=1)


def test_other_particles_of_a_map_are_told_of(image):
    (warning,) = Grains().check([image_of(beside(image))], GrainConfig(centres="160 160"))
    assert "'map' shows more than one particle; 50 % of its indexed pixels" in warning
    specks = image.data.copy()
    specks[:4, :4] = 1
    assert Grains().check([image_of(specks)], CENTRES) == []
    with pytest.raises(InputError, match="shows 1 grain; at least 30"):
        Grains().check([image_of(specks)], GrainConfig(centres="2 2"))


def test_a_centre_chooses_its_particle(image):
    first, second = (
        read_section(image_of(beside(image)), (160.0, x)) for x in (160.0, 321 + 140.0)
    )
    assert first.area == pytest.approx(second.area, rel=0.01)
    assert first.numbers.max() <= image.data.max() < second.numbers[second.numbers > 0].min()


def test_a_background_with_a_label_is_told_of(image, section):
    labelled = np.where(section.numbers > 0, image.data, 5000)
    warnings = Grains().check([image_of(labelled)], CENTRES)
    (warning,) = [w for w in warnings if "background" in w]
    assert "One grain of 'map' (label 5000) covers 5" in warning


@pytest.mark.parametrize("centres", ["nan nan", "inf 3", "5 6; 1 nan"])
def test_centres_are_numbers(centres):
    with pytest.raises(InputError, match="two numbers per section"):
        GrainConfig(centres=centres)


def test_pixels_have_to_be_square_and_of_one_size(image):
    oblong = image_of(image.data, voxel_size=(0.05, 0.1))
    with pytest.raises(InputError, match="square"):
        Grains().read([oblong], GrainConfig())
    with pytest.raises(InputError, match="set its scale and unit"):
        Grains().read([image, image_of(image.data, voxel_size=(0.1, 0.1))], GrainConfig())


# ---------------------------------------------------------------------- cutouts


def test_cutouts_look_away_from_the_centre():
    side = 321
    y, x = np.indices((side, side)) - side // 2
    rings = 1 + np.hypot(y, x).astype(int)  # the number is the distance from the centre
    section = Section(rings.astype(np.int32), (160.0, 160.0), 0.0, "rings")
    numbers, distances = SectionCutouts([section], 1.0).draw(20, np.random.default_rng(0))
    first, second = np.arange(1, 33)[:, None], np.arange(1, 33)[None] - 16.5
    expected = 1 + np.hypot(first + distances[:, None, None], second)
    assert np.abs(numbers - expected).max() <= 2
    assert distances.max() > 60
    assert distances.min() < 20


def test_channels_are_the_largest_grains_in_order():
    numbers = np.arange(32 * 32).reshape(1, 32, 32) // 64  # sixteen of 64 points
    numbers[0, 0, :] = 99
    channels = one_hot(numbers)
    assert channels.shape == (1, 12, 32, 32)
    sizes = channels.sum((2, 3))[0]
    assert (sizes.diff() <= 0).all()
    assert sizes.max() == 64
    assert channels.sum(1).max() == 1


@pytest.fixture(scope="module")
def drawn():
    network = MarkerNetwork(MarkerRange())
    distances = np.array([3.0, 40.0])
    around, owner = seeds_around(distances, 0.0026, np.random.default_rng(0))
    return network, distances, around, owner


def test_generated_cutouts_are_the_plain_tessellation(drawn):
    network, distances, around, owner = drawn
    channels, _, _ = generated_cutouts(network, around, owner, distances)
    assert channels.shape == (2, 12, 32, 32)
    for i, p in enumerate(distances):
        own = torch.from_numpy(owner == i)
        diagonals, offsets = network(around.displacements[own], around.noise[own])
        points = grid_points().double() + torch.tensor([p + 16.5, 0, 0])
        plain = softmax_tessellation(
            potentials(points, around.points[own].double(),
                       metrics(around.bases[own], diagonals).double(), offsets.double())
        )  # fmt: skip
        largest = plain.sum(0).topk(12).indices
        expected = plain[:, largest].T.reshape(12, 32, 32)
        np.testing.assert_allclose(channels[i].detach(), expected.detach(), atol=2e-3)


def test_markers_get_a_gradient_from_cutouts(drawn):
    network, distances, around, owner = drawn
    channels, shares, _ = generated_cutouts(network, around, owner, distances)
    (channels.square().mean() + shares.square().mean()).backward()
    for parameter in network.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


def test_features_say_how_large_and_how_radial_a_grain_is():
    shares = torch.zeros(2, 32, 32, 2)
    shares[:, 8:24, 14:18, 0] = 1  # 16 along the radius, 4 across, beside the first axis
    shares[:, :4, :, 1] = 1  # cut by the border
    features = grain_features(shares.reshape(2, 1024, 2), torch.tensor([10.0, 60.0]))
    assert features.shape == (2, 3)
    moments = (16**2 / 12, 4**2 / 12)
    expected = (moments[0] - moments[1]) / sum(moments)
    assert features[:, 0].numpy() == pytest.approx(np.log(64) / 0.7, rel=1e-4)
    assert features[:, 1].numpy() == pytest.approx(expected / 0.3, rel=1e-3)
    assert features[:, 2].abs().max() < 0.05


def test_the_anchor_is_zero_for_real_grains_and_not_for_others(section):
    cutouts = SectionCutouts([section], unit_length([section]))
    anchor = GrainAnchor(cutouts, np.random.default_rng(0))
    numbers, distances = cutouts.draw(60, np.random.default_rng(1))
    shares = torch.zeros(60, 1024, 80)
    for i, each in enumerate(numbers):
        values = np.unique(each)
        shares[i, :, : len(values)] = torch.from_numpy(each.reshape(-1, 1) == values).float()
    at = torch.from_numpy(distances).float()
    across = shares.reshape(60, 32, 32, 80).transpose(1, 2).reshape(60, 1024, 80)
    assert abs(float(anchor.loss(shares, at))) < 0.02
    assert float(anchor.loss(across, at)) > 0.2


def test_needles_are_not_flat_and_plates_are():
    needles = torch.tensor([[1.0, 5.0, 5.0], [2.0, 8.0, 8.0]])
    plates = torch.tensor([[1.0, 2.0, 8.0], [1.0, 8.0, 2.0]])
    assert float(flatness(needles)) == 0
    assert float(flatness(plates)) == pytest.approx(np.log(4) ** 2)


# ---------------------------------------------------------------------- the marker network


def test_markers_stay_in_their_ranges_and_near_their_start():
    limits = MarkerRange((1.0, 10.0), (0.0, 50.0))
    network = MarkerNetwork(limits, spread=0.02)
    network.start_at((1.5, 4.0, 8.0), 30.0)
    diagram = realise(network, poisson_seeds(0.003, 0, 16))
    assert diagram.diagonals.min() > 1
    assert diagram.diagonals.max() < 10
    assert diagram.diagonals.mean(axis=0) == pytest.approx([1.5, 4, 8], rel=0.05)
    assert diagram.offsets.mean() == pytest.approx(30, rel=0.05)


def test_turning_all_seeds_turns_the_grains():
    """The markers see nothing of where their seed lies, but through the radial basis."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.random(random_state=1).as_matrix()
    seeds = poisson_seeds(0.003, 2, 16)
    around = surroundings(seeds, np.arange(len(seeds)))
    turned = Seeds(seeds.points @ turn.T, seeds.noise, seeds.turns)
    again = surroundings(turned, np.arange(len(seeds)))
    lengths = (around.displacements.norm(dim=2), again.displacements.norm(dim=2))
    np.testing.assert_allclose(*lengths, atol=1e-4)
    # Along the radius nothing changes; across it, the angle gamma is another one.
    np.testing.assert_allclose(around.displacements[..., 0], again.displacements[..., 0], atol=1e-4)
    across = [a.displacements[..., 1:].norm(dim=2) for a in (around, again)]
    np.testing.assert_allclose(*across, atol=1e-3)


def test_seeds_of_different_realisations_do_not_see_each_other():
    seeds = poisson_seeds(0.003, 2, 16)
    alone = surroundings(seeds, np.arange(len(seeds)))
    twice = Seeds(*(np.concatenate([getattr(seeds, n)] * 2) for n in ("points", "noise", "turns")))
    both = surroundings(twice, np.arange(len(twice)), np.repeat([0, 1], len(seeds)))
    np.testing.assert_allclose(both.displacements, torch.cat([alone.displacements] * 2), atol=1e-3)


def test_a_horseshoe_without_a_centre_is_told_to_give_one():
    numbers = disc(60)
    y, x = np.indices(numbers.shape) - len(numbers) // 2
    numbers[(np.hypot(y, x) < 30) | ((abs(y) < 30) & (x > 0))] = 0
    with pytest.raises(InputError, match=r"centroid of 'map'.*give the particle's centre"):
        read_section(image_of(numbers))
