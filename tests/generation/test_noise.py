import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_microgen.generation.noise import CHUNK, normal_at, philox


def test_philox_gives_the_published_known_answers():
    # Random123's known-answer file: counter and key all zero, and all ones.
    zeros = philox(np.zeros((4, 1), np.uint32), (0, 0))[:, 0]
    ones = philox(np.full((4, 1), 0xFFFFFFFF, np.uint32), (0xFFFFFFFF, 0xFFFFFFFF))[:, 0]
    assert [hex(w) for w in zeros] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    assert [hex(w) for w in ones] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]


def test_noise_is_standard_normal_and_uncorrelated():
    noise = normal_at([np.arange(32)] * 3, 8, seed=3).astype(float)
    count = noise.size
    assert abs(noise.mean()) < 4 / count**0.5
    assert abs(noise.var() - 1) < 4 * (2 / count) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / count) ** 0.5
    for shifted in (np.roll(noise, 1, 0), np.roll(noise, 1, 1), np.roll(noise, 1, 3)):
        assert abs((noise * shifted).mean()) < 4 / count**0.5


positions = st.integers(-(2**20), 2**20)


@given(positions, positions, positions, st.integers(1, 9), st.integers(0, 2**40))
def test_a_block_is_the_same_block_of_the_whole(z, y, x, channels, seed):
    axes = [start + np.arange(4) for start in (z, y, x)]
    whole = normal_at(axes, channels, seed)
    part = normal_at([axes[0][1:3], axes[1][2:], axes[2][:1]], channels, seed)
    np.testing.assert_array_equal(part, whole[:, 1:3, 2:, :1])


def test_large_fields_are_the_same_as_their_rows():
    width = CHUNK // 3 + 1
    whole = normal_at([np.arange(2), np.arange(5), np.arange(width)], 6, seed=1)
    rows = [
        [normal_at([[z], [y], np.arange(width)], 6, seed=1)[:, 0, 0] for y in range(5)]
        for z in range(2)
    ]
    np.testing.assert_array_equal(whole, np.moveaxis(rows, 2, 0))
    assert normal_at([np.arange(0), np.arange(3), np.arange(3)], 2, 0).shape == (2, 0, 3, 3)


def test_seeds_and_streams_are_independent_fields():
    grid = [np.arange(16)] * 3
    first = normal_at(grid, 4, seed=0)
    for other in (normal_at(grid, 4, seed=1), normal_at(grid, 4, seed=0, stream=1)):
        assert abs((first * other).mean()) < 4 / first.size**0.5
