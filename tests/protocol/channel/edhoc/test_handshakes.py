"""Whole handshakes: every method, suite and kind of credential; what both sides know at the end; what can go wrong."""

from __future__ import annotations

import hashlib
from itertools import product

import pytest
from edhoc_pair import KINDS, Setting, ead, run

from insitu.protocol.channel.edhoc import SUITES, Credential, Established, Method, Side


def test_all_methods_suites_and_kinds_of_credential():
    """Both roles, every combination of what each side proves itself with and how it identifies it."""
    exported = set()
    for method, suite, initiator_kind, responder_kind in product(Method, SUITES, KINDS, KINDS):
        setting = Setting(method, suite, initiator_kind, responder_kind)
        initiator, responder = setting.initiator(), setting.responder()
        frames = run(initiator, responder)
        where = f"{method.name} suite {suite} {initiator_kind} {responder_kind}"
        assert initiator.established, where
        assert responder.established, where
        assert len(frames) == 4
        key = initiator.data.exporter(0x8001, b"context", 48)
        assert key == responder.data.exporter(0x8001, b"context", 48), where
        exported.add(key)
    assert len(exported) == len(Method) * len(SUITES) * len(KINDS) ** 2, "no two sessions share a key"


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("suite", SUITES)
def test_what_both_sides_know_at_the_end(method, suite):
    setting = Setting(method, suite, "x5chain", "kccs")
    initiator = setting.initiator(
        c_i=b"\x21\x22", ead_1=(ead(1, b"one"), ead(0, bytes(9)), ead(2)), ead_3=(ead(65535, b""),)
    )
    responder = setting.responder(c_r=b"", ead_2=(ead(7),), ead_4=(ead(8, b"eight"),))
    run(initiator, responder)
    assert isinstance(initiator.data, Established)
    one, other = initiator.data.facts, responder.data.facts
    assert (one.side, other.side) == (Side.INITIATOR, Side.RESPONDER)
    assert one.method is other.method is method
    assert one.suite is other.suite is SUITES[suite]
    assert (one.c_i, one.c_r) == (other.c_i, other.c_r) == (b"\x21\x22", b"")
    assert one.own is setting.initiator_credential
    assert one.peer is setting.responder_credential
    assert (other.own, other.peer) == (one.peer, one.own)
    assert one.peer_id == setting.responder_credential.id_cred
    assert other.peer_id == setting.initiator_credential.id_cred
    assert other.ead_1 == (ead(1, b"one"), ead(2)), "padding goes no further"
    assert one.ead_2 == other.ead_2 == (ead(7),)
    assert one.ead_3 == other.ead_3 == (ead(65535, b""),)
    assert one.ead_4 == other.ead_4 == (ead(8, b"eight"),)
    assert one.th_4 == other.th_4
    assert len(one.th_4) == SUITES[suite].hash.size


def test_the_queries_say_what_was_claimed():
    setting = Setting(Method.SIGNATURE_THEN_STATIC, 3, "x5t", "kid")
    initiator = setting.initiator(ead_1=(ead(1, b"intent"),), ead_3=(ead(3),))
    responder = setting.responder(ead_2=(ead(2),))
    run(initiator, responder)
    (asked,), (answered) = initiator.queries, responder.queries[0]
    assert asked.id_cred == setting.responder_credential.id_cred
    assert answered.id_cred == setting.initiator_credential.id_cred
    assert (asked.ead, answered.ead) == ((ead(2),), (ead(3),))
    assert asked.ead_1 == answered.ead_1 == (ead(1, b"intent"),)
    assert asked.method is answered.method is Method.SIGNATURE_THEN_STATIC
    assert asked.suite == answered.suite == 3


def test_the_same_entropy_gives_the_same_handshake():
    """Static keys leave nothing to chance: every step replays."""
    setting = Setting(Method.STATIC, 3)
    assert run(setting.initiator(), setting.responder()) == run(setting.initiator(), setting.responder())


@pytest.mark.parametrize("changed", ["initiator", "responder"])
def test_other_entropy_gives_other_keys(changed):
    setting = Setting(Method.STATIC, 3)
    first, second = (
        setting.initiator(),
        setting.initiator("other" if changed == "initiator" else "entropy of the initiator"),
    )
    one, two = setting.responder(), setting.responder("other" if changed == "responder" else "entropy of the responder")
    run(first, one)
    run(second, two)
    assert first.data.exporter(0x8000, b"", 16) != second.data.exporter(0x8000, b"", 16)


@pytest.mark.parametrize("suite", [3, 24])
def test_long_messages(suite):
    """PLAINTEXT_2 longer than HKDF-Expand reaches in one go (RFC 9528 appendix G)."""
    setting = Setting(Method.SIGNATURES, suite)
    long = tuple(ead(100 + i, hashlib.shake_128(bytes((i,))).digest(9000)) for i in range(4))
    initiator, responder = setting.initiator(ead_3=long), setting.responder(ead_2=long, ead_4=long)
    frames = run(initiator, responder)
    assert initiator.established
    assert responder.established
    assert all(len(frame) > 36_000 for frame in frames[1:])
    assert initiator.data.facts.ead_2 == long


def test_message_sizes():
    """RFC 9528 section 1.2, figure 1: method 3, suite 2, kid of one byte."""
    setting = Setting(Method.STATIC, 2, "kid", "kid")
    setting.responder_credential = Credential.kid(setting.responder_credential.cred, b"\x32")
    responder = setting.responder(c_r=b"\x27", credential=setting.responder_credential)
    assert [len(frame) for frame in run(setting.initiator(), responder)] == [37, 45, 19, 9]
