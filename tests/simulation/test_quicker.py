"""What simulated worlds do quicker has the result that it has in the field."""

from __future__ import annotations

import random

import pytest
from spake2 import SPAKE2_A, SPAKE2_B
from spake2 import ed25519_basic as group
from spake2.parameters.ed25519 import ParamsEd25519

from insitu.simulate.quicker import inverse, multiple, quicker_points

CHANCE = random.Random("points")
FIXED = {"base": group.Base, "M": ParamsEd25519.M, "N": ParamsEd25519.N}
POINTS = {
    **{name: element.XYTZ for name, element in FIXED.items()},
    "zero": group.Zero.XYTZ,
    "any": group.Base.scalarmult(7919).XYTZ,
    "of order 4": group.xform_affine_to_extended(group.decodepoint(bytes(32))),
}
TIMES = (0, 1, 2, 15, 16, 17, group.L - 1, group.L, group.L + 5, 8 * group.L - 1, CHANCE.randrange(group.L))


@pytest.mark.parametrize("name", POINTS)
def test_a_multiple_is_the_librarys(name):
    point, slow = POINTS[name], group.scalarmult_element_safe_slow
    wanted = [group.xform_extended_to_affine(slow(point, times)) for times in TIMES]
    with quicker_points():
        assert group.scalarmult_element is multiple
        assert [group.xform_extended_to_affine(multiple(point, times)) for times in TIMES] == wanted
    assert group.scalarmult_element_safe_slow is slow


def test_an_inverse_is_the_librarys():
    numbers = [0, 1, 2, group.Q - 1, group.Q, group.Q + 5, CHANCE.randrange(group.Q)]
    assert [inverse(each) for each in numbers] == [group.inv(each) for each in numbers]


def test_an_exchange_with_a_side_that_is_not_quicker():
    here, there = SPAKE2_A(b"secret"), SPAKE2_B(b"secret")
    with quicker_points():
        said = here.start()
    heard = there.start()
    with quicker_points():
        key = here.finish(heard)
    assert there.finish(said) == key


def test_what_was_encoded_is_recognized_and_the_same_element():
    element = group.Base.scalarmult(7919)
    with quicker_points():
        data = element.to_bytes()
        assert group.bytes_to_element(data) is element
    read = group.bytes_to_element(data)
    assert read is not element
    assert (read, read.to_bytes()) == (element, data)


def test_what_is_no_element_is_refused_as_before():
    here = SPAKE2_A(b"secret")
    here.start()
    with quicker_points(), pytest.raises(ValueError, match="not in the right group"):
        here.finish(b"B" + bytes(32))
