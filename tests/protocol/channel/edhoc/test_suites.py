from __future__ import annotations

import pytest

from insitu.protocol.channel.edhoc.suites import SUITES, Method, best
from insitu.protocol.engine import KeyKind

REGISTRY = {
    0: (10, -16, 8, 4, -8, 10, -16),
    1: (30, -16, 16, 4, -8, 10, -16),
    2: (10, -16, 8, 1, -7, 10, -16),
    3: (30, -16, 16, 1, -7, 10, -16),
    6: (1, -16, 16, 4, -7, 1, -16),
    24: (3, -43, 16, 2, -35, 3, -43),
}
"""RFC 9528 section 10.2: the arrays of the registry."""
CURVES = {KeyKind.P256: 1, KeyKind.P384: 2, KeyKind.X25519: 4}
HASHES = {"sha256": -16, "sha384": -43}


def test_the_suites_are_those_of_the_registry():
    made = {
        number: (
            suite.aead.number,
            HASHES[suite.hash.name],
            suite.mac_bytes,
            CURVES[suite.exchange],
            int(suite.signature),
            suite.application_aead,
            suite.application_hash,
        )
        for number, suite in SUITES.items()
    }
    assert made == REGISTRY
    assert all(suite.number == number for number, suite in SUITES.items())


@pytest.mark.parametrize(
    ("number", "initiator_signs", "responder_signs"),
    [(0, True, True), (1, True, False), (2, False, True), (3, False, False)],
)
def test_methods(number, initiator_signs, responder_signs):
    """RFC 9528 section 3.2, figure 4."""
    assert Method(number).initiator_signs is initiator_signs
    assert Method(number).responder_signs is responder_signs


def test_best():
    assert best((3, 2), (2, 3)) == 3
    assert best((3, 2), (2,)) == 2
    assert best((3,), (2,)) is None
