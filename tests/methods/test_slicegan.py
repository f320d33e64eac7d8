import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_microgen.errors import InputError, RunError
from napari_microgen.generation.noise import normal_at
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.slicegan.training import SliceGANTraining
from napari_microgen.phases import PhaseImage
from napari_microgen.training.latent_training import selection
from napari_microgen.training.orientations import find_orientations

METHOD = get_method("slicegan")
TINY = {
    "widths": "8 8 8 8", "critic_widths": "8 8", "latent_channels": 4, "planes": 2,
    "real_patches": 4, "smooth_start": False, "preview_seconds": 0, "fidelity_every": 3,
    "minutes": 5, "device": "cpu", "threads": 1, "measured_side": 64,
    "warm_up": 1,
}  # fmt: skip


def config(preset="quick", **changes):
    return METHOD.config_class.from_preset(preset, **{**TINY, **changes})


def blobs(shape, seed=0, sigma=3.0, phases=3):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    levels = np.quantile(field, np.arange(1, phases) / phases)
    return np.digitize(field, levels)


@pytest.fixture(scope="module")
def image():
    labels = np.array([3, 0, 200])[blobs((128, 160))]
    return PhaseImage.from_labels(
        labels, names={3: "pore"}, colors={200: "#abcdef"}, voxel_size=(20, 20), unit="nm"
    )


@pytest.fixture(scope="module")
def model(image):
    changes = {"smooth_start": True, "latent_channels": 16, "widths": "32 16 16 8"}
    training = SliceGANTraining([image], config(measured_side=128, **changes))
    assert len(list(training.prepare())) == 8
    return training.snapshot(0, 0.0, {})


def last(items):
    found = None
    for item in items:
        found = item
    return found


# ---------------------------------------------------------------------- generation


def test_tiles_equal_the_whole(model):
    sample = model.generate((128, 96, 160), seed=4, probabilities=True)
    positions = [np.arange(n // 32 + 2) for n in (128, 96, 160)]
    latent = torch.from_numpy(normal_at(positions, 16, 4))[None]
    with torch.no_grad():
        whole = model.generator(latent)[0].numpy()
    assert np.abs(sample.probabilities - whole).max() < 1e-5
    values = np.array([p.value for p in model.origin.phases])
    assert np.abs(sample.data.astype(int) - values[whole.argmax(0)]).max() == 0


@pytest.mark.parametrize("offset", [(0, 0, 0), (32, 7, -45)])
def test_any_block_made_alone_is_the_same_block_of_the_whole(model, offset):
    whole = model.generate((70, 90, 75), seed=1, offset=offset)
    start = tuple(o + s for o, s in zip(offset, (13, 5, 40), strict=True))
    part = model.generate((31, 64, 20), seed=1, offset=start)
    inside = whole.data[13:44, 5:69, 40:60]
    np.testing.assert_array_equal(part.data, inside)
    np.testing.assert_array_equal(part.confidence, whole.confidence[13:44, 5:69, 40:60])


def test_a_larger_volume_of_the_same_seed_contains_the_smaller(model):
    small, large = model.generate((40, 50, 60), seed=9), model.generate((80, 60, 90), seed=9)
    np.testing.assert_array_equal(large.data[:40, :50, :60], small.data)


@pytest.mark.parametrize("periodic", [(True, True, True), (True, False, False)])
def test_a_rolled_latent_gives_a_rolled_volume_in_periodic_axes(model, periodic):
    shape = (96, 64, 128)
    volume = model.generate(shape, seed=2, periodic=periodic)
    shift = tuple(32 if p else 0 for p in periodic)
    moved = model.generate(shape, seed=2, offset=shift, periodic=periodic)
    rolled = np.roll(volume.data, [-s for s in shift], axis=(0, 1, 2))
    np.testing.assert_array_equal(moved.data, rolled)
    assert (moved.data != volume.data).any()


def test_wraps_around_without_a_seam_in_periodic_axes(model):
    shape = (64, 64, 96)
    volume = model.generate(shape, seed=2, periodic=(False, False, True), probabilities=True)
    extended = normal_at([np.arange(4), np.arange(4), np.arange(8) % 3], 16, 2)
    with torch.no_grad():
        twice = model.generator(torch.from_numpy(extended)[None])[0].numpy()
    np.testing.assert_allclose(twice[..., :96], volume.probabilities, atol=1e-5)
    np.testing.assert_allclose(twice[..., 96:], twice[..., :96], atol=1e-5)


def test_same_seed_same_volume_and_other_seed_another(model):
    first, again = (model.generate((64, 64, 64), seed=5).data for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (model.generate((64, 64, 64), seed=6).data != first).mean() > 0.2


def test_labels_names_colours_and_voxel_size_come_back(model):
    sample = model.generate((33, 34, 35))
    assert sample.data.shape == (33, 34, 35)
    assert set(np.unique(sample.data)) == {0, 3, 200}
    assert {p.value: p.name for p in sample.phases}[3] == "pore"
    assert {p.value: p.color for p in sample.phases}[200] == "#abcdef"
    assert (sample.voxel_size, sample.unit) == ((20.0, 20.0, 20.0), "nm")
    assert sample.provenance["model"]["method"] == "slicegan"


def test_confidence_is_the_largest_probability(model):
    sample = model.generate((40, 40, 40), probabilities=True)
    np.testing.assert_array_equal(sample.confidence, sample.probabilities.max(0))
    assert sample.confidence.min() >= 1 / 3 - 1e-6


def test_volume_fractions_of_the_kept_generator_are_the_images(image, model):
    volumes = [model.generate((192, 192, 192), seed=s).data for s in (11, 12)]
    found = [np.mean([(v == p.value).mean() for v in volumes]) for p in image.phases]
    np.testing.assert_allclose(found, image.fractions, atol=0.03)


def test_a_period_that_cannot_be_is_refused_with_the_nearest_that_can(model):
    with pytest.raises(InputError, match="choose 96 or 128"):
        model.generate((64, 64, 100), periodic=(False, False, True))
    with pytest.raises(InputError, match="three positive"):
        model.generate((64, 0, 64))


def test_counts_as_many_blocks_as_it_yields(model):
    for shape, offset, periodic in (
        ((70, 20, 130), (3, -5, 0), (False,) * 3),
        ((64, 96, 64), (0, 40, 0), (False, True, False)),
    ):
        blocks = list(model.blocks(shape, 0, offset, periodic))
        assert len(blocks) == model.count_blocks(shape, offset, periodic)


def test_saved_and_loaded_models_generate_the_same(model, tmp_path):
    path = model.save(tmp_path / "model.safetensors")
    loaded = load_model(path)
    assert loaded.origin == model.origin
    np.testing.assert_array_equal(
        loaded.generate((64, 64, 64), seed=3).data, model.generate((64, 64, 64), seed=3).data
    )


# ---------------------------------------------------------------------- training


def train(images, settings, **keywords):
    return last(METHOD.train(images, settings, **keywords))


def weights(progress):
    return progress.model.tensors()


def same(first, second):
    return all(np.array_equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("loss", ["logistic", "wasserstein"])
def test_resuming_equals_never_having_stopped(image, tmp_path, loss):
    changes = {"loss": loss, "critic_widths": "8 8 8 8", "generator_volumes": 2, "critic_steps": 2}
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train([image], config(steps=6, **changes), checkpoint=straight)
    train([image], config(steps=3, **changes), checkpoint=broken)
    run = METHOD.train([image], config(steps=6, **changes), checkpoint=broken, resume=True)
    assert last(run).step == 6
    states = [torch.load(p, weights_only=True)["trainable"] for p in (straight, broken)]
    for name in ("generator", "critics", "average"):
        first, second = (state[name] for state in states)
        assert all(torch.equal(first[k], second[k]) for k in first), name


def test_a_closed_run_leaves_a_checkpoint_to_go_on_from(image, tmp_path):
    run = METHOD.train([image], config(steps=50), checkpoint=tmp_path / "run")
    for progress in run:
        if progress.step >= 2:
            break
    run.close()
    stopped = torch.load(tmp_path / "run", weights_only=True)["tally"]["step"]
    resumed = METHOD.train(
        [image], config(steps=stopped + 2), checkpoint=tmp_path / "run", resume=True
    )
    first = next(resumed)
    assert first.step == stopped and first.model is not None
    assert last(resumed).step == stopped + 2
    assert not list(tmp_path.glob("run?*"))


def test_same_seed_same_weights_and_other_seed_others(image):
    first, again, other = (weights(train([image], config(steps=2, seed=s))) for s in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_the_checkpoint_of_other_settings_is_refused(image, tmp_path):
    train([image], config(steps=1), checkpoint=tmp_path / "run")
    other = METHOD.train([image], config(steps=2, seed=1), checkpoint=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="other images or settings"):
        last(other)


def test_a_checkpoint_belongs_to_labels_and_voxel_size_too(image):
    moved = tuple(dataclasses.replace(p, value=p.value + 1) for p in image.phases)
    changes = [{}, {"phases": moved}, {"voxel_size": (40, 40)}, {"unit": "um"}]
    images = [dataclasses.replace(image, **c) for c in changes]
    assert len({METHOD.signature([i], config()) for i in images}) == 4


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_or_missing_checkpoint_is_refused(image, tmp_path, damage):
    path = tmp_path / "run"
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(InputError, match="start a new training"):
        last(METHOD.train([image], config(steps=1), checkpoint=path, resume=True))


def test_progress_ends_with_the_best_model_and_a_full_bar(image):
    items = list(METHOD.train([image], config(steps=7, preview_seconds=0.001)))
    assert items[0].model is not None and items[0].preview is not None
    assert items[-1].fraction == 1 and items[-1].step == 7
    by_step = {i.step: i.fidelity for i in items if i.fidelity}
    improved = [i for i in items[:-1] if i.model]
    kept = items[-1].model.origin
    assert kept.steps == improved[-1].step
    assert kept.fidelity == by_step[kept.steps]

    chosen = {step: selection(ratios, True) for step, ratios in by_step.items()}
    assert chosen[kept.steps] == min(chosen.values())
    assert items[-1].seconds_left == 0
    assert [i.step for i in items] == sorted(i.step for i in items)


def test_no_ratio_below_one_makes_up_for_one_above():
    even = dict.fromkeys(("volume_fraction", "s2", "ssa", "chord", "ripple", "isotropy"), 1.0)
    assert selection(even, True) == selection({**even, "s2": 0.2}, True) == 1
    worse = {**even, "s2": 0.2, "chord": 2.0}
    assert selection(worse, True) == pytest.approx(2 ** (1 / 6))
    tilted = {**even, "isotropy": 3.0}
    assert selection(tilted, True) > selection(tilted, False) == 1


def test_training_stops_when_nothing_gets_better(image):
    settings = config(steps=500, patience=4, generator_rate=0.1, fidelity_every=2)
    final = train([image], settings)
    assert final.step < 500
    assert "Stopped early" in final.message


def test_one_step_moves_every_layer_of_generator_and_critic(image):
    training = SliceGANTraining([image], config(warm_up=1))
    networks = {"generator": training.generator, "critics": training.critics}
    before = {n: [p.detach().clone() for p in m.parameters()] for n, m in networks.items()}
    for index in range(2):
        for _ in training.step(index):
            pass
    for name, module in networks.items():
        for old, new in zip(before[name], module.parameters(), strict=True):
            assert not torch.equal(old, new), name


def test_symmetric_kernels_stay_symmetric_while_training(image):
    training = SliceGANTraining([image], config(smooth_start=True, warm_up=0))
    list(training.prepare())
    before = [w.detach().clone() for w in training.symmetric]
    assert before
    for index in range(3):
        for _ in training.step(index):
            pass
    for old, new in zip(before, training.symmetric, strict=True):
        assert not torch.equal(old, new)
        for turned in (new.transpose(2, 3), new.flip(4), new.permute(0, 1, 4, 2, 3).flip(2)):
            torch.testing.assert_close(turned, new, rtol=1e-4, atol=1e-6)


def test_a_critic_learns_to_tell_a_still_generator_from_the_image(image):
    changes = {"warm_up": 100, "critic_widths": "16 32", "planes": 4}
    training = SliceGANTraining([image], config(**changes))
    losses = []
    for index in range(30):
        step = training.step(index)
        with pytest.raises(StopIteration) as stop:
            while True:
                next(step)
        losses.append(stop.value.value["critic"])
    # 2 log 2 is the loss of a critic that knows nothing.
    assert np.mean(losses[-5:]) < 0.8 * 2 * np.log(2) < np.mean(losses[:2])


def test_losses_that_are_no_numbers_end_the_run_and_keep_the_checkpoint(image, tmp_path):
    path = tmp_path / "run"
    train([image], config(steps=1), checkpoint=path)
    state = torch.load(path, weights_only=True)
    state["trainable"]["critics"]["0.0.weight"].fill_(math.nan)
    torch.save(state, path)
    kept = path.read_bytes()
    with pytest.raises(RunError, match="no longer a finite number"):
        last(METHOD.train([image], config(steps=3), checkpoint=path, resume=True))
    assert path.read_bytes() == kept


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_every_preset_trains(image, preset):
    preset_config = METHOD.config_class.from_preset(preset)
    changes = {
        "widths": "4 4 4 4", "latent_channels": 2, "real_patches": 4, "planes": 2, "volumes": 1,
        "generator_volumes": 2, "minutes": 5, "steps": 1, "preview_seconds": 0, "device": "cpu",
        "measured_side": 64,
        "critic_widths": "4 4 4 4" if preset_config.loss == "wasserstein" else "4 4",
    }  # fmt: skip
    final = train([image], METHOD.config_class.from_preset(preset, **changes))
    assert final.step == 1 and np.isfinite(list(final.losses.values())).all()


def test_diagonal_sections_are_shown_to_the_critic(image):
    training = SliceGANTraining([image], config(planes=4, diagonal_sections=True))
    volumes = torch.rand(1, 3, 64, 64, 64)
    sections = training._sections(volumes, training.orientations[0], np.random.default_rng(0))
    assert sections.shape == (3 * 4 + 3 * 2, 3, 64, 64)
    assert train([image], config(steps=1, diagonal_sections=True)).step == 1


# ---------------------------------------------------------------------- other kinds of data


def test_grey_images_come_back_in_their_own_range():
    grey = gaussian_filter(np.random.default_rng(0).normal(size=(100, 100)), 3) * 1000 + 500
    final = train([PhaseImage.from_grey(grey)], config(steps=2))
    volume = final.model.generate((40, 40, 40)).data
    assert volume.dtype == np.float32 and volume.std() > 0
    assert grey.min() - 1 <= volume.min() and volume.max() <= grey.max() + 1


def test_colour_images_give_colour_volumes():
    colour = np.random.default_rng(0).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    final = train([PhaseImage.from_colour(colour)], config(steps=2))
    volume = final.model.generate((40, 33, 40)).data
    assert volume.shape == (40, 33, 40, 3) and volume.dtype == np.uint8


def test_a_volume_gives_one_orientation_per_axis():
    volume = PhaseImage.from_labels(blobs((64, 70, 80)))
    found = find_orientations([volume], config())
    assert [o.axes for o in found] == [(0,), (1,), (2,)]
    assert [o.image.shape for o in found] == [(64, 70, 80), (70, 64, 80), (80, 64, 70)]
    assert train([volume], config(steps=1)).step == 1


def test_equal_images_share_a_critic():
    side, end = (PhaseImage.from_labels(blobs((80, 80), seed)) for seed in (0, 1))
    assert [o.axes for o in find_orientations([side, side, end], config())] == [(0, 1), (2,)]
    assert [o.axes for o in find_orientations([end, side], config())] == [(0,), (1, 2)]
    assert [o.axes for o in find_orientations([side], config(axes="yx"))] == [(1, 2)]
    assert train([side, end], config(steps=1, axes="yx")).step == 1


# ---------------------------------------------------------------------- refusals and warnings


def refused(images, match, **changes):
    with pytest.raises(InputError, match=match) as caught:
        METHOD.check(images, config(**changes))
    assert "\n" not in str(caught.value)


def test_bad_images_are_refused_in_one_sentence(image):
    refused([], "takes 1 to 3 images")
    refused([PhaseImage.from_labels(blobs((40, 90)))], "bring a larger image")
    other = PhaseImage.from_labels(blobs((80, 80)) + 5)
    refused([other, image, image], "must show the same phases")
    corner = blobs((200, 200)) + 1
    corner[90:] = corner[:, 90:] = 0
    refused([PhaseImage.from_labels(corner, zero="unlabelled")], "crop it to the labelled part")
    grey = PhaseImage.from_grey(np.random.default_rng(0).random((80, 80)))
    refused([image, image, grey], "one kind")
    coarse = dataclasses.replace(image, voxel_size=(40.0, 40.0))
    refused([image, image, coarse], "resample")
    refused([image, image, dataclasses.replace(image, unit="um")], "one unit")
    refused([image, image, image], "one per axis", axes="yx")


def test_doubtful_images_are_warned_about():
    narrow = blobs((100, 100), sigma=(2, 8), phases=2)
    warnings = METHOD.check([PhaseImage.from_labels(narrow)], config())
    assert any("different along its two axes" in w for w in warnings)
    assert any("only 100 x 100" in w for w in warnings)
    rare = blobs((200, 200))
    rare[:3, :3] = 7
    assert any("fills only" in w for w in METHOD.check([PhaseImage.from_labels(rare)], config()))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"widths": "8 8"}, "four numbers"),
        ({"widths": "8 8 8 x"}, "must be numbers"),
        ({"loss": "wasserstein", "critic_widths": "8"}, "critic_widths"),
        ({"planes": 65}, "1 .*64"),
        ({"axes": "z"}, "one of"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(changes, match):
    with pytest.raises(InputError, match=match):
        config(**changes)


def test_memory_estimate_grows_with_the_networks(image):
    quick, paper = (METHOD.config_class.from_preset(p) for p in ("quick", "paper"))
    assert METHOD.memory_needed([image], quick) < 2e9 < METHOD.memory_needed([image], paper)


def test_voxels_are_as_long_as_the_sections_say(image):
    volume = PhaseImage.from_labels(blobs((70, 80, 90)), voxel_size=(3, 2, 1), unit="nm")
    sections = [
        dataclasses.replace(image, data=np.roll(image.data, i), voxel_size=size, _cache={})
        for i, size in enumerate([(2, 1), (3, 1), (3, 2)])
    ]
    for data in ([volume], sections):
        assert not any("pixels of" in w for w in METHOD.check(data, config()))
        training = SliceGANTraining(data, config())
        assert training.origin.voxel_size == (3, 2, 1)
    refused([*sections[:2], sections[0]], "Along z .* resample")


def test_pixels_that_are_no_squares_are_warned_of(image):
    flat = PhaseImage.from_labels(blobs((128, 128)), voxel_size=(3, 1), unit="nm", name="flat")
    assert any("pixels of 3 x 1 nm" in w for w in METHOD.check([flat], config()))
    assert not any("pixels of" in w for w in METHOD.check([image], config()))


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_first_step(image, tmp_path):
    (tmp_path / "file").write_text("no folder")
    run = METHOD.train([image], config(steps=50), checkpoint=tmp_path / "file" / "run")
    with pytest.raises(RunError, match="cannot be written"):
        next(run)
