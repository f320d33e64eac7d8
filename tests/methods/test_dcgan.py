import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_microgen.errors import InputError
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.dcgan.training import DCGANTraining, count_places, cross_entropy
from napari_microgen.networks.critics import CubeDiscriminator
from napari_microgen.networks.cube_generator import CubeGenerator
from napari_microgen.phases import UNLABELLED, PhaseImage

METHOD = get_method("dcgan")
TINY = {
    "widths": "8 8 8 8", "critic_widths": "4 4", "latent_channels": 8, "side": 32,
    "real_cubes": 2, "smooth_start": False, "preview_seconds": 0, "fidelity_every": 3,
    "minutes": 5, "device": "cpu", "threads": 1, "measured_side": 64, "warm_up": 1, "lattice": 1.0,
}  # fmt: skip
PAPER = {**TINY, "side": 64, "critic_widths": "4 4 4 4", "volumes": 2, "warm_up": 0, "lattice": 0}


def config(preset="quick", **changes):
    return METHOD.config_class.from_preset(
        preset, **{**(PAPER if preset == "paper" else TINY), **changes}
    )


def blobs(shape, seed=0, sigma=3.0, phases=3):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    levels = np.quantile(field, np.arange(1, phases) / phases)
    return np.digitize(field, levels)


@pytest.fixture(scope="module")
def image():
    labels = np.array([3, 0, 200])[blobs((72, 80, 76))]
    return PhaseImage.from_labels(
        labels, names={3: "pore"}, voxel_size=(20, 20, 20), unit="nm", name="block"
    )


@pytest.fixture(scope="module")
def model(image):
    changes = {"smooth_start": True, "latent_channels": 16, "widths": "32 16 16 8"}
    training = DCGANTraining(image, image, config(measured_side=128, **changes))
    list(training.prepare())
    return training.snapshot(0, 0.0, {})


@pytest.fixture(scope="module")
def paper_model(image):
    return DCGANTraining(image, image, config("paper")).snapshot(0, 0.0, {})


def last(items):
    found = None
    for item in items:
        found = item
    return found


# ---------------------------------------------------------------------- the paper's networks


def convolutions(sizes, elements=64):
    return sum(elements * a * b for a, b in itertools.pairwise(sizes))


def test_networks_have_the_parameters_of_the_papers_table():
    sizes = (100, 512, 256, 128, 64, 3)
    generator = CubeGenerator(100, sizes[1:5], 3)
    scales = 2 * sum(sizes[1:5])
    assert sum(p.numel() for p in generator.parameters()) == convolutions(sizes) + scales
    sizes = (3, 16, 32, 64, 128, 1)
    critic = CubeDiscriminator(3, sizes[1:5])
    scales = 2 * sum(sizes[1:5])
    assert sum(p.numel() for p in critic.parameters()) == convolutions(sizes) + scales


@pytest.mark.parametrize("alpha", [1, 2, 4])
def test_volumes_grow_by_sixteen_voxels_per_latent(alpha):
    generator = CubeGenerator(5, (4, 4, 4, 4), 3).eval()
    volume = generator(torch.randn(1, 5, alpha, 1, 1))
    assert volume.shape == (1, 3, 64 + 16 * (alpha - 1), 64, 64)
    assert CubeDiscriminator(3, (4, 4, 4, 4))(volume[:, :, :64]).shape == (1, 1, 1, 1, 1)


def test_the_inside_of_a_volume_is_what_all_its_latents_give():
    generator = CubeGenerator(5, (4, 4, 4, 4), 3).eval()
    latent = torch.randn(1, 5, 7, 6, 6)
    inside = generator(latent)[..., 64:-64, 64:-64, 64:-64]
    torch.testing.assert_close(generator.endless(latent), inside)
    assert inside.shape[2:] == (32, 16, 16)


def test_weights_start_from_a_narrow_normal_distribution(image):
    training = DCGANTraining(image, image, config("paper", widths="64 32 16 8"))
    weight = training.generator.layers[0].weight.detach()
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert training.critics[0][0].weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_label_smoothing_acts_on_the_real_term_alone(image):
    logits = torch.tensor([2.0, -1.0])
    p = torch.sigmoid(logits)
    smoothed = -(0.9 * p.log() + 0.1 * (1 - p).log()).mean()
    torch.testing.assert_close(cross_entropy(logits, 0.9), smoothed)
    torch.testing.assert_close(cross_entropy(logits, 0.0), -(1 - p).log().mean())
    losses = {}
    for label in (0.9, 1.0):
        training = DCGANTraining(image, image, config("paper", label=label))
        for _ in steps(training.step(0)):
            pass
        losses[label] = training.losses = steps.result
    # The discriminator sees the label; so does the generator's loss, but only through it.
    assert losses[0.9]["discriminator"] != losses[1.0]["discriminator"]
    assert losses[0.9]["generator"] == pytest.approx(losses[1.0]["generator"], abs=1e-2)


def steps(generator):
    while True:
        try:
            yield next(generator)
        except StopIteration as stop:
            steps.result = stop.value
            return


def test_the_generator_is_updated_twice_per_discriminator_update(image):
    training = DCGANTraining(image, image, config("paper"))
    updated = []
    for index in range(4):
        before = training.critics[0][0].weight.clone()
        list(steps(training.step(index)))
        updated.append(not torch.equal(before, training.critics[0][0].weight))
    assert updated == [True, False, True, False]


def test_an_epoch_has_the_papers_number_of_cubes():
    assert count_places((253, 252, 252), 64) == 24 * 24 * 24  # 13,824 in table 1
    assert count_places((64, 64, 71), 64) == 1


# ---------------------------------------------------------------------- generation


@pytest.mark.parametrize("name", ["model", "paper_model"])
def test_a_rolled_latent_gives_a_rolled_volume_in_periodic_axes(name, request):
    model = request.getfixturevalue(name)
    stride = model.generator.stride
    shape, periodic = (64, 96, 64), (True, True, False)
    shift = (stride, 2 * stride, 0)
    volume = model.generate(shape, seed=2, periodic=periodic)
    moved = model.generate(shape, seed=2, offset=shift, periodic=periodic)
    np.testing.assert_array_equal(moved.data, np.roll(volume.data, [-s for s in shift], (0, 1, 2)))
    assert (moved.data != volume.data).any()


@pytest.mark.parametrize("name", ["model", "paper_model"])
def test_any_block_made_alone_is_the_same_block_of_the_whole(name, request):
    model = request.getfixturevalue(name)
    whole = model.generate((70, 90, 75), seed=1, offset=(0, 7, -45))
    part = model.generate((31, 64, 20), seed=1, offset=(13, 12, -5))
    np.testing.assert_array_equal(part.confidence, whole.confidence[13:44, 5:69, 40:60])


def test_the_seam_of_a_periodic_volume_is_like_any_other_place(model):
    volumes = [
        model.generate((64, 64, 64), seed=s, periodic=(True, True, True)).data for s in range(8)
    ]
    for axis in range(3):
        unlike = np.array([
            (v != np.roll(v, -1, axis)).mean(tuple(a for a in range(3) if a != axis))
            for v in volumes
        ])  # fmt: skip
        seam, others = unlike[:, -1].mean(), unlike[:, :-1].mean(0)
        assert abs(seam - others.mean()) < 4 * others.std()


def test_a_period_that_cannot_be_is_refused(model, paper_model):
    with pytest.raises(InputError, match="choose 64 or 96"):
        model.generate((64, 64, 80), periodic=(False, False, True))
    assert paper_model.generate((16, 16, 80), periodic=(False, False, True)).data.shape[2] == 80


def test_latent_interpolation_ends_on_its_end_points(model):
    shape = (32, 32, 64)
    first, last_ = (model.generate(shape, seed=s).confidence for s in (3, 4))
    frames = [model.towards(4, b).generate(shape, seed=3).confidence for b in (0, 0.25, 0.5, 1)]
    np.testing.assert_array_equal(frames[0], first)
    np.testing.assert_allclose(frames[-1], last_, atol=1e-6)
    away = [np.abs(f - first).mean() for f in frames]
    assert away == sorted(away)


def test_volumes_on_the_way_are_as_varied_as_those_at_the_ends(model):
    fractions = [
        (model.towards(8, b).generate((128, 128, 128), seed=7).data == 3).mean()
        for b in (0, 0.5, 1)
    ]
    assert np.ptp(fractions) < 0.06


def test_the_other_seed_is_told(model):
    told = model.towards(4, 0.5).generate((8, 8, 8), seed=3).provenance
    assert told["towards"] == {"seed": 4, "share": 0.5} and told["seed"] == 3
    with pytest.raises(InputError, match="between 0 and 1"):
        model.towards(4, 1.5)


def test_saved_and_loaded_models_generate_the_same(model, paper_model, tmp_path):
    for n, kept in enumerate((model, paper_model)):
        loaded = load_model(kept.save(tmp_path / f"{n}.safetensors"))
        assert loaded.origin == kept.origin
        shape = (48, 32, 32)
        ours, theirs = (m.generate(shape, seed=3).confidence for m in (kept, loaded))
        np.testing.assert_array_equal(ours, theirs)


# ---------------------------------------------------------------------- training


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_resuming_equals_never_having_stopped(image, tmp_path, preset):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    last(METHOD.train([image], config(preset, steps=6), checkpoint=straight))
    last(METHOD.train([image], config(preset, steps=3), checkpoint=broken))
    run = METHOD.train([image], config(preset, steps=6), checkpoint=broken, resume=True)
    assert last(run).step == 6
    states = [torch.load(p, weights_only=True)["trainable"] for p in (straight, broken)]
    for name in ("generator", "critics", "average"):
        first, second = (state[name] for state in states)
        assert all(torch.equal(first[k], second[k]) for k in first), name
    if preset == "quick":
        assert torch.equal(*(state["spread"] for state in states))


def test_same_seed_same_weights_and_other_seed_others(image):
    kept = [last(METHOD.train([image], config(steps=2, seed=s))).model.tensors() for s in (0, 0, 1)]
    assert all(np.array_equal(kept[0][k], kept[1][k]) for k in kept[0])
    assert any(not np.array_equal(kept[0][k], kept[2][k]) for k in kept[0])


def test_the_length_of_the_paper_is_in_epochs(image):
    run = METHOD.train([image], config("paper", epochs=3, steps=0, real_cubes=4))
    # 2 x 3 x 2 places at a stride of 8 are 3 batches of 4, with two generator steps each.
    assert count_places(image.shape, 64) == 12
    assert last(run).step == 3 * 3 * 2


def test_diffusivities_are_judged_where_the_volume_shows_them(image):
    training = DCGANTraining(image, image, config())
    assert training.score()["d_rel"] > 0
    gaps = np.array(image.data)
    gaps[33] = gaps[:, 33] = gaps[:, :, 33] = UNLABELLED
    patchy = PhaseImage("labels", gaps, image.phases, image.voxel_size, image.unit)
    assert DCGANTraining(patchy, patchy, config(symmetry="none")).diffusivities is None


# ---------------------------------------------------------------------- bad input


def test_a_flat_image_is_pointed_to_slicegan():
    flat = PhaseImage.from_labels(blobs((96, 96)))
    with pytest.raises(InputError, match="train SliceGAN"):
        METHOD.check([flat], config())


def test_a_small_volume_is_offered_smaller_cubes():
    volume = PhaseImage.from_labels(blobs((62, 62, 62)))
    with pytest.raises(InputError, match="set 'side' to 32"):
        METHOD.check([volume], config(side=64))
    assert any("only 1 separate cube" in w for w in METHOD.check([volume], config()))
    with pytest.raises(InputError, match="SliceGAN on its sections"):
        METHOD.check([PhaseImage.from_labels(blobs((30, 62, 62)))], config())


def test_the_papers_networks_take_no_smaller_cubes():
    with pytest.raises(InputError, match="cubes of 64"):
        config("paper", side=32)
    with pytest.raises(InputError, match="one of 32, 64, not 48"):
        config(side="48")


def test_long_voxels_are_resampled_to_cubes_and_said_so():
    volume = PhaseImage.from_labels(
        blobs((40, 80, 80)), voxel_size=(20, 10, 10), unit="nm", name="long"
    )
    assert any("resampled to cubes of 10 nm" in w for w in METHOD.check([volume], config()))
    cubic = volume.with_cubic_voxels()
    assert cubic.shape == (80, 80, 80) and cubic.voxel_size == (10, 10, 10)
    np.testing.assert_array_equal(cubic.data[::2], volume.data)
    np.testing.assert_array_equal(cubic.data[1::2], volume.data)
    model = last(METHOD.train([volume], config(steps=1))).model
    assert model.origin.voxel_size == (10, 10, 10)
