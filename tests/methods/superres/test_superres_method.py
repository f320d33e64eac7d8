import dataclasses

import numpy as np
import pytest
import torch

from napari_microgen.errors import InputError
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.superres.pair import Pair
from napari_microgen.methods.superres.training import SuperResTraining, middle_start
from napari_microgen.phases import PhaseImage

METHOD = get_method("superres")


def last(items):
    found = None
    for item in items:
        found = item
    return found


def training(data, config):
    return SuperResTraining(data, Pair.of(data, config), config)


def steps_of(trainable, count):
    losses = {}
    for index in range(count):
        steps = trainable.step(index)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                losses = stop.value
                break
    return losses


# ---------------------------------------------------------------------- training


def test_the_gradient_of_the_voxel_wise_loss_reaches_the_generator(
    section, volume, superres_config
):
    config = superres_config(weight=100.0, threshold=0.0)
    trainable = training([section, volume], config)
    latents = trainable._latents(1, torch.Generator().manual_seed(0))
    added, reported = trainable._added_loss(latents, trainable.generator(latents))
    added.backward()
    assert float(added.detach()) == pytest.approx(100 * reported["voxel-wise"])
    for name, weight in trainable.generator.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_the_voxel_wise_loss_counts_only_above_the_threshold(section, volume, superres_config):
    trainable = training([section, volume], superres_config(threshold=0.99))
    latents = trainable._latents(1, torch.Generator().manual_seed(0))
    volumes = trainable.generator(latents)
    added, reported = trainable._added_loss(latents, volumes)
    assert reported["voxel-wise"] > 0 and float(added.detach()) == 0


def test_the_voxel_wise_loss_falls(section, volume, superres_config):
    config = superres_config(weight=100.0, generator_rate=1e-2, sharpness=10.0)
    trainable = training([section, volume], config)
    latents = trainable._latents(1, torch.Generator().manual_seed(0))
    losses = []
    for _ in range(8):
        loss, reported = trainable._added_loss(latents, trainable.generator(latents))
        trainable._descend_generator(loss)
        losses.append(reported["voxel-wise"])
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("changes", [{}, {"loss": "wasserstein", "critic_widths": "8 8 8 8"}])
def test_resuming_equals_never_having_stopped(section, volume, superres_config, tmp_path, changes):
    checkpoint = tmp_path / "training.checkpoint"
    straight = last(METHOD.train([section, volume], superres_config(steps=6, **changes)))
    last(
        METHOD.train([section, volume], superres_config(steps=3, **changes), checkpoint=checkpoint)
    )
    resumed = last(
        METHOD.train(
            [section, volume], superres_config(steps=6, **changes), checkpoint=checkpoint,
            resume=True,
        )
    )  # fmt: skip
    assert resumed.losses == straight.losses
    ours, theirs = resumed.model.tensors(), straight.model.tensors()
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_same_seed_same_model_and_other_seed_another(section, volume, superres_config):
    models = [
        last(METHOD.train([section, volume], superres_config(steps=2, seed=s))).model.tensors()
        for s in (0, 0, 1)
    ]
    assert all((models[0][n] == models[1][n]).all() for n in models[0])
    assert (models[0]["entry.convolution.weight"] != models[2]["entry.convolution.weight"]).any()


@pytest.mark.parametrize("preset", ["standard", "paper"])
def test_every_preset_trains(section, volume, superres_config, preset):
    changes = {"critic_widths": "8 8 8 8"} if preset == "paper" else {}
    config = superres_config(preset, steps=1, volumes=2, critic_steps=1, **changes)
    progress = last(METHOD.train([section, volume], config))
    assert progress.step == 1
    assert set(progress.model.origin.fidelity) >= {"s2", "disagreement", "mean"}


def test_the_paper_preset_is_the_papers():
    paper = METHOD.config_class.from_preset("paper")
    assert (paper.threshold, paper.weight, paper.penalty, paper.critic_steps) == (0.005, 10, 10, 5)
    assert (paper.generator_rate, paper.beta1, paper.beta2) == (1e-4, 0.5, 0.999)
    assert (paper.volumes, paper.real_patches, paper.noise_channels) == (8, 64, 1)
    assert not paper.direct and paper.normalised


def test_the_model_tells_scale_and_phase_map_that_were_worked_out(
    section, volume, superres_config, tmp_path
):
    model = last(METHOD.train([section, volume], superres_config(steps=1))).model
    loaded = load_model(model.save(tmp_path / "model"))
    assert loaded.config.scale_factor == 4
    assert loaded.config.phase_map == "0:1,3:1,200:7"
    assert [d["name"] for d in loaded.origin.data] == ["section", "volume"]


def test_previews_show_the_middle_of_the_volume(section, volume, superres_config):
    config = superres_config(steps=1, preview_seconds=0.01)
    sample = last(METHOD.train([section, volume], config)).preview
    assert sample.data.shape == (64, 64, 64)
    # The part nearest to the middle that begins where a tile of 64 voxels does.
    assert sample.place == pytest.approx([-0.1 + 0.05 * (n + 0.5) for n in (0, 0, 0)])


def test_the_middle_begins_where_a_tile_does():
    assert middle_start(248, 128, 4) == 60
    assert middle_start(504, 128, 4) == 188
    assert middle_start(88, 64, 4) == 12
    assert middle_start(100, 100, 0) == 0


# ---------------------------------------------------------------------- orientations


def test_three_images_get_a_critic_per_distinct_orientation(section, volume, superres_config):
    other = dataclasses.replace(section, data=section.data[::-1, ::2].repeat(2, 1), _cache={})
    config = superres_config(steps=1)
    alike = training([section, section, other, volume], config)
    assert [o.axes for o in alike.orientations] == [(0, 1), (2,)]
    assert len(alike.critics) == 2
    last(METHOD.train([section, section, other, volume], config))


def test_two_images_beside_the_volume_are_refused(section, volume, superres_config):
    with pytest.raises(InputError, match="one image for all axes, or three"):
        METHOD.check([section, section, volume], superres_config())


def test_stacks_of_sections_are_taken(section, volume, superres_config):
    stack = PhaseImage(
        "labels", np.stack([section.data, section.data[::-1]]), section.phases, (50, 50, 50), "nm",
        name="stack",
    )  # fmt: skip
    assert METHOD.check([stack, stack, stack, volume], superres_config()) == []


# ---------------------------------------------------------------------- bad input


def test_a_volume_is_needed(section, volume, superres_config):
    with pytest.raises(InputError, match="is 2D; SuperRes needs 3D"):
        METHOD.check([section, section], superres_config())
    with pytest.raises(InputError, match="2 to 4 images, not 1"):
        METHOD.check([section], superres_config())


def test_grey_values_are_refused(section, volume, superres_config):
    grey = PhaseImage.from_grey(np.random.default_rng(0).normal(size=(20, 20, 20)))
    with pytest.raises(InputError, match="grey values"):
        METHOD.check([section, grey], superres_config())


def test_an_image_smaller_than_a_patch_is_refused(section, volume, superres_config):
    small = section.crop(slice(0, 50), slice(0, 160))
    with pytest.raises(InputError, match="56 x 56"):
        METHOD.check([small, volume], superres_config())


def test_other_mistakes_are_told(section, volume, superres_config):
    for changes, told in (
        ({"phase_map": "0:1,3:1,200:1"}, "without a partner"),
        ({"scale_factor": 0.5}, "from 1 to 8"),
        ({"widths": "8 8"}, "must be 4 numbers"),
        ({"loss": "wasserstein", "critic_widths": "8 8"}, "four numbers"),
    ):
        with pytest.raises(InputError, match=told):
            METHOD.check([section, volume], superres_config(**changes))


def test_unrepresentative_images_are_told(section, volume, superres_config):
    pore = dataclasses.replace(volume, data=np.where(volume.data == 1, 1, 0).astype(np.uint8))
    pore.data[:18] = 0
    assert any("representative" in w for w in METHOD.check([section, pore], superres_config()))


def test_unlabelled_voxels_of_the_volume_are_never_learned(section, volume, superres_config):
    gaps = dataclasses.replace(volume, data=volume.data.copy(), _cache={})
    gaps.data[:, :, 20:] = 255
    trainable = training([section, gaps], superres_config())
    for seed in range(10):
        latents = trainable._latents(2, torch.Generator().manual_seed(seed))
        assert (latents[:, :2].sum(1) == 1).all()
    gaps.data[:, :, 10:] = 255
    with pytest.raises(InputError, match="without unlabelled"):
        METHOD.check([section, gaps], superres_config())


def test_memory_grows_with_volumes_and_widths(section, volume, superres_config):
    config = METHOD.config_class.from_preset
    quick, paper = (METHOD.memory_needed([section, volume], config(p)) for p in ("quick", "paper"))
    assert 6e8 < quick < 2e9 < paper < 64e9
