from __future__ import annotations

from dataclasses import replace

import pytest
from edhoc_pair import Key, Setting

from insitu.protocol.channel.edhoc import SUITES, Method, begin_initiator, begin_responder
from insitu.protocol.channel.edhoc.config import Entropy
from insitu.protocol.engine import KeyKind, UsageError


@pytest.fixture
def setting():
    return Setting(Method.STATIC, 3, "kid", "kid")


@pytest.mark.parametrize("suites", [(), (3, 3), (4,), (3, 25), (-24,)])
def test_suites_that_cannot_be(setting, suites):
    for config in (setting.initiator_config, setting.responder_config):
        with pytest.raises(UsageError, match="suites"):
            replace(config, suites=suites)


def test_the_selected_suite_is_one_of_them(setting):
    with pytest.raises(UsageError, match="selected suite"):
        replace(setting.initiator_config, suites=(3, 2), selected=24)
    assert replace(setting.initiator_config, suites=(3, 2), selected=2).selected == 2


def test_a_responder_without_methods(setting):
    with pytest.raises(UsageError, match="methods"):
        replace(setting.responder_config, methods=frozenset())


def test_a_key_that_does_not_belong_to_the_credential(setting):
    """Noticed when it is loaded, not when a handshake fails."""
    for config in (setting.initiator_config, setting.responder_config):
        with pytest.raises(UsageError, match="does not belong"):
            replace(config, key=Key(KeyKind.P256, "another").handle)


@pytest.mark.parametrize("suites", [(0,), (3, 24), (6, 3)])
@pytest.mark.parametrize("method", [Method.STATIC])
def test_a_key_that_does_not_serve_in_every_suite(setting, suites, method):
    for config in (setting.initiator_config, setting.responder_config):
        with pytest.raises(UsageError, match=r"static Diffie-Hellman key of .* got P-256"):
            replace(config, suites=suites)


def test_signature_keys_and_static_keys_are_told_apart():
    """Suite 0 signs with Ed25519 and agrees on X25519."""
    signing = Setting(Method.SIGNATURES, 0)
    assert replace(signing.initiator_config, method=Method.SIGNATURE_THEN_STATIC).method.initiator_signs
    with pytest.raises(UsageError, match="static Diffie-Hellman key of X25519 for suite 0, got Ed25519"):
        replace(signing.initiator_config, method=Method.STATIC)
    with pytest.raises(UsageError, match="static Diffie-Hellman key of X25519"):
        replace(signing.responder_config, methods=frozenset({Method.SIGNATURES, Method.STATIC}))

    with pytest.raises(UsageError, match="a signature key of P-256 for suite 3, got Ed25519"):
        replace(signing.initiator_config, suites=(0, 3))


def test_all_suites_are_suites_but_no_key_serves_them_all(setting):
    with pytest.raises(UsageError, match="authentication key"):
        replace(setting.initiator_config, suites=tuple(SUITES))


@pytest.mark.parametrize("size", [0, 32, 63])
def test_too_little_entropy(setting, size):
    with pytest.raises(UsageError, match="at least 64 bytes"):
        begin_initiator(setting.initiator_config, bytes(size))
    with pytest.raises(UsageError, match="at least 64 bytes"):
        begin_responder(setting.responder_config, bytes(size))


def test_ephemeral_pairs_differ_by_everything():
    seeds = (bytes(64), bytes(63) + b"\x01")
    pairs = {
        Entropy(seed, side)(kind, attempt).x
        for seed in seeds
        for side in ("initiator", "responder")
        for kind in (KeyKind.P256, KeyKind.X25519)
        for attempt in range(3)
    }
    assert len(pairs) == 2 * 2 * 2 * 3


def test_the_same_entropy_gives_the_same_pair():
    assert Entropy(bytes(64), "a")(KeyKind.P384, 0).x == Entropy(bytes(64), "a")(KeyKind.P384, 0).x
