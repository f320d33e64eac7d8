import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_microgen.generation.tiles import count_pieces, pieces

lengths = st.tuples(*[st.integers(1, 40)] * 3)
offsets = st.tuples(*[st.integers(-60, 60)] * 3)
flags = st.tuples(*[st.booleans()] * 3)


@given(lengths, offsets, flags, st.integers(1, 17))
def test_pieces_fill_the_volume_exactly_once_with_the_right_positions(
    shape, offset, periodic, side
):
    seen = np.zeros(shape, int)
    found = list(pieces(shape, offset, periodic, side))
    for piece in found:
        seen[piece.where] += 1
        for axis in range(3):
            inside, where = piece.inside[axis], piece.where[axis]
            assert 0 <= inside.start < inside.stop <= side
            position = offset[axis] + where.start
            if periodic[axis]:
                position %= shape[axis]
            assert piece.tile[axis] * side + inside.start == position
            assert inside.stop - inside.start == where.stop - where.start
    assert (seen == 1).all()
    assert count_pieces(shape, offset, periodic, side) == len(found)
