import itertools

import pytest
import torch

from napari_microgen.methods.excursion.model import compressed
from napari_microgen.methods.fieldgan.networks import (
    ISOTROPIC,
    ORTHOTROPIC,
    TRANSVERSE,
    FieldNetwork,
    FilterNetwork,
    SymmetricConvolution,
    describe_network,
    indicators,
    normalise,
    rebuild_network,
    sharp,
    straight_through,
)

SYMMETRIES = (ISOTROPIC, TRANSVERSE, ORTHOTROPIC)


def random_network(make, groups):
    """A network whose every weight is random, in double precision."""
    random = torch.Generator().manual_seed(0)
    network = make(groups).double()
    for weight in network.parameters():
        weight.data = torch.randn(weight.shape, generator=random, dtype=torch.float64) / 4
    return network.requires_grad_(False)


def filter_of(groups):
    return FilterNetwork(3, groups)


def network_of(groups):
    return FieldNetwork(3, groups)


def noise(network, side=5):
    channels = network.n_phases + len(network.bands)
    shape = [n + 2 * network.radius for n in (side, side + 1, side + 2)]
    random = torch.Generator().manual_seed(1)
    return torch.randn(1, channels, *shape, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("make", [filter_of, network_of])
@pytest.mark.parametrize("groups", SYMMETRIES)
def test_mirroring_what_goes_in_mirrors_what_comes_out(make, groups):
    network = random_network(make, groups)
    values = noise(network)
    for axis in (2, 3, 4):
        torch.testing.assert_close(
            network(values.flip(axis)), network(values).flip(axis), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("make", [filter_of, network_of])
@pytest.mark.parametrize("groups", SYMMETRIES)
def test_axes_that_are_alike_can_be_exchanged_and_others_not(make, groups):
    network = random_network(make, groups)
    values = noise(network)
    for first, second in itertools.combinations(range(3), 2):
        turned = network(values.transpose(2 + first, 2 + second))
        difference = (turned - network(values).transpose(2 + first, 2 + second)).abs().max()
        alike = any(first in group and second in group for group in groups)
        assert difference < 1e-12 if alike else difference > 1e-3


@pytest.mark.parametrize("make", [filter_of, network_of])
def test_what_goes_in_moved_comes_out_moved_at_every_step(make):
    network = random_network(make, ISOTROPIC)
    values = noise(network, 9)
    whole = network(values)
    for shift in (1, 2, 3):
        moved = network(values[..., shift:])
        torch.testing.assert_close(moved, whole[..., shift:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [filter_of, network_of])
def test_an_untrained_network_changes_nothing(make):
    network = make(ISOTROPIC)
    values = noise(network).float()
    r = network.radius
    assert torch.equal(network(values), values[:, :3, r:-r, r:-r, r:-r])


@pytest.mark.parametrize("make", [filter_of, network_of])
def test_nothing_beyond_the_radius_is_heard_of(make):
    network = random_network(make, ISOTROPIC)
    values = noise(network, 1)[..., : 2 * network.radius + 1, : 2 * network.radius + 1,
                               : 2 * network.radius + 1].requires_grad_()  # fmt: skip
    network(values).sum().backward()
    heard = values.grad.abs().sum((0, 1))
    assert heard[0].sum() > 0 and heard[:, -1].sum() > 0 and heard[..., 0].sum() > 0


@pytest.mark.parametrize("groups", SYMMETRIES)
def test_symmetric_convolutions_are_convolutions(groups):
    layer = SymmetricConvolution(2, 3, 2, groups).double()
    impulse = torch.zeros(1, 2, 9, 9, 9, dtype=torch.float64)
    impulse[0, 1, 4, 4, 4] = 1
    kernel = (layer(impulse) - layer(0 * impulse))[0].flip(1, 2, 3)
    values = torch.randn(1, 2, 9, 8, 7, dtype=torch.float64)
    only = values * torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None, None]
    wanted = torch.nn.functional.conv3d(only[:, 1:], kernel[:, None])
    torch.testing.assert_close((layer(only) - layer(0 * only)), wanted, rtol=0, atol=1e-12)


def test_networks_are_described_and_rebuilt():
    for make in (filter_of, network_of):
        for groups in SYMMETRIES:
            network = random_network(make, groups).float()
            again = rebuild_network(describe_network(network))
            again.load_state_dict(network.state_dict())
            values = noise(network).float()
            assert torch.equal(network(values), again(values))


def test_indicators_are_nearly_sharp_and_add_up_to_one():
    logits = torch.randn(4, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 4
    soft = indicators(logits)
    torch.testing.assert_close(soft.sum(1), torch.ones(4, 20, 20))
    hard = torch.zeros_like(soft).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
    assert (soft - hard).abs().mean() < 0.02


def test_straight_through_is_sharp_and_reaches_deep_within_a_phase():
    logits = torch.tensor([[9.0, 0.1, -3.0], [0.0, 0.0, 0.0]]).T[None, :, :, None].requires_grad_()
    wanted = torch.tensor([0.0, 1.0, 0.0])[None, :, None, None]

    def gradient_within(of):
        (gradient,) = torch.autograd.grad((of(logits) * wanted).sum(), logits)
        return float(gradient[0, 1, 0, 0])

    assert torch.equal(straight_through(logits), sharp(logits))
    assert gradient_within(indicators) < 1e-20 < 1e-3 < gradient_within(straight_through)


@pytest.mark.parametrize("groups", SYMMETRIES)
def test_normalised_networks_listen_to_far_neighbours(groups):
    torch.manual_seed(0)
    network = FieldNetwork(3, groups)
    values = 3 * noise(network, 24).float() + 1
    normalise(network, values)
    assert torch.equal(network.correction(values), torch.zeros(1, 3, 24, 25, 26))
    outputs = []
    for layer in (*network.layers, network.mix):
        layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    network.correction(values)
    for output in outputs:
        spread, mean = torch.std_mean(output, (0, 2, 3, 4))
        torch.testing.assert_close(spread, torch.ones_like(spread), rtol=1e-3, atol=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-3)


def test_compressed_logits_mean_the_same_phases():
    logits = 20 * torch.randn(3, 9, 9, 9, generator=torch.Generator().manual_seed(0))
    few = compressed(logits)
    assert torch.equal(few.argmax(0), logits.argmax(0))
    torch.testing.assert_close(compressed(logits / 200), logits / 200, rtol=3e-3, atol=0)
    assert few.abs().max() < 20 < logits.abs().max()
