import pytest
import torch
from torch import nn

from napari_microgen.methods import METHODS, get_method
from napari_microgen.networks.density import check_transposed, information_density
from napari_microgen.networks.slice_generator import SliceGenerator


@pytest.mark.parametrize("preset", get_method("slicegan").config_class.presets)
def test_information_density_of_every_generator_is_uniform(preset):
    config = get_method("slicegan").config_class.from_preset(preset)
    with torch.device("meta"):
        generator = SliceGenerator(config.latent_channels, config.generator_channels, 3)
    density = information_density(list(generator.layers), 4)
    assert density.shape == (66, 66, 66)
    assert density.min() == density.max() == 1


def test_a_padding_too_small_thins_the_edges():
    density = information_density([nn.ConvTranspose3d(1, 1, 4, 2, 1)], 4)
    assert density.min() < 0.2
    assert density[2:-2, 2:-2, 2:-2].min() == 1


def test_a_kernel_that_is_no_multiple_of_the_stride_leaves_a_checkerboard():
    density = information_density([nn.ConvTranspose3d(1, 1, 3, 2, 2)], 6)
    inner = density[1:-1, 1:-1, 1:-1]
    assert inner.min() < inner.max()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (4, 2, 1)])
def test_rules_of_information_density_are_enforced(kernel, stride, padding):
    with pytest.raises(ValueError, match="must be"):
        check_transposed(kernel, stride, padding)


def test_every_registered_method_can_be_imported():
    for name in METHODS:
        assert get_method(name).name == name
