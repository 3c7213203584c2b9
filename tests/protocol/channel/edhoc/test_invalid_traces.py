"""RFC 9529 section 4: every invalid trace is refused with a ProtocolError, and for the reason that it is there for."""

from __future__ import annotations

import pytest
from edhoc_pair import Setting, forge_message_2, vectors

from insitu.protocol.channel.edhoc import HandshakeFailed, Message1Received, Method, classify
from insitu.protocol.channel.edhoc.messages import read_error
from insitu.protocol.engine import Fault, ProtocolError, Started
from insitu.protocol.messages.codec import DecodeError

CASES = {case["title"]: case for case in vectors("edhoc/rfc9529_invalid.json")["cases"]}

REASONS = {
    "Surplus array encoding of message": "message_1 (expected at least 4 items, got 1",
    "Surplus bstr encoding of connection identifier": "C_I (expected an integer of one byte",
    "Surplus array encoding of ciphersuite": "cipher suites (expected an integer or an array of at least two",
    "Text string encoding of ephemeral key": "G_X (expected a byte string, got a text string",
    "Wrong number of CBOR sequence elements": "message_2 (expected one byte string, got 2 items",
    "Surplus map encoding of ID_CRED field": "ID_CRED (expected a kid without a map around it",
    "Surplus bstr encoding of ID_CRED field": "ID_CRED (expected an integer of one byte",
    "Error in length of ephemeral key": "ephemeral key (expected 48 bytes, got 32",
    "Error in elliptic curve representation": "ephemeral key (expected a point on P-256",
    "Error in elliptic curve point": "ephemeral key (expected a point on P-256",
    "Curve point of low order": "no shared secret (expected a X25519 key of full order",
    "Error in length of MAC": "Signature_or_MAC (expected 8 bytes, got 4 bytes",
    "Error in elliptic curve encoding": "ephemeral key (expected 32 bytes, got 31",
    "Unnecessary long encoding": "not the shortest encoding at byte 0",
    "Indefinite-length array encoding": "not a head at byte 1 (expected a length or value, got an indefinite length",
}
SUITE_OF = {"Error in length of ephemeral key": 24, "Curve point of low order": 0}


def test_every_case_has_its_reason():
    assert REASONS.keys() == CASES.keys()


@pytest.mark.parametrize("title", [title for title, case in CASES.items() if case["item"] == "message_1"])
def test_message_1(title):
    responder = Setting(Method.STATIC, SUITE_OF.get(title, 2)).responder()
    out = responder.receive(bytes.fromhex(CASES[title]["hex"]))
    check(title, responder)
    assert [read_error(frame).text for frame in out] == [Fault.MALFORMED.name.lower()]


@pytest.mark.parametrize("title", [title for title, case in CASES.items() if case["item"] == "message_2"])
def test_message_2(title):
    initiator = Setting(Method.STATIC, 2).initiator()
    initiator.feed(Started())
    assert isinstance(classify(initiator.state, bytes.fromhex(CASES[title]["hex"])), HandshakeFailed)
    out = initiator.receive(bytes.fromhex(CASES[title]["hex"]))
    check(title, initiator)
    assert [read_error(frame).text for frame in out] == ["refused"]


@pytest.mark.parametrize("title", [title for title, case in CASES.items() if case["item"] == "PLAINTEXT_2"])
def test_plaintext_2(title):
    """Encrypted by a responder that is none: message_2 authenticates nobody before its proof is checked."""
    setting = Setting(Method.STATIC, 2, responder_kind="kid")
    initiator = setting.initiator()
    initiator.feed(Started())
    out = initiator.receive(forge_message_2(initiator, bytes.fromhex(CASES[title]["hex"])))
    check(title, initiator)
    assert [read_error(frame).text for frame in out] == ["refused"]


def check(title, end):
    assert end.failed
    assert isinstance(end.error, ProtocolError)
    assert REASONS[title] in str(end.error)
    if CASES[title]["section"] != "Crypto-related Errors":
        assert isinstance(end.error, DecodeError)
    assert end.error.fault is Fault.MALFORMED
    assert end.closed.fault is Fault.MALFORMED


def test_the_same_without_the_fault_is_accepted():
    """So the cases above fail for what is wrong with them: their sound originals pass the same checks."""
    responder = Setting(Method.STATIC, 2).responder()
    event = classify(
        responder.state,
        bytes.fromhex("03025820741a13d7ba048fbb615e94386aa3b61bea5b3d8f65f32620b749bee8d278efa90e"),
    )
    assert isinstance(event, Message1Received)
    assert responder.feed(event)
    assert responder.state.name == "ANSWERED"
    initiator = Setting(Method.STATIC, 2, responder_kind="kid").initiator()
    initiator.feed(Started())
    initiator.receive(forge_message_2(initiator, bytes.fromhex("273248fa5efa2ebf920bf3")))
    assert initiator.queries, "read as far as the question whose credential it is"
    assert "MAC does not hold" in str(initiator.error)
