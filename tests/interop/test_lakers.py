"""Live handshakes with lakers, an EDHOC implementation in Rust: method 3, suite 2, both roles, no recordings."""

from __future__ import annotations

import os

import lakers
import pytest
from edhoc_pair import End, Key, Setting

from insitu.protocol.channel.edhoc import (
    Credential,
    CredentialFound,
    CredentialQuery,
    Ead,
    InitiatorConfig,
    Kccs,
    Kid,
    Method,
    PeerRefused,
    ResponderConfig,
    write_ccs,
)
from insitu.protocol.engine import KeyKind, Started
from insitu.protocol.messages.codec import encode

TRANSFERS = {"by reference": lakers.CredentialTransfer.ByReference, "by value": lakers.CredentialTransfer.ByValue}
ROUNDS = 10


class Party:
    """A name, a fresh P-256 key, and the claims set around it, as ours and as lakers has it."""

    def __init__(self, name: str, kid: bytes) -> None:
        self.scalar = (int.from_bytes(os.urandom(40), "big") % (2**255) + 1).to_bytes(32, "big")
        self.key = Key(KeyKind.P256, self.scalar, exact=True)
        self.ccs = write_ccs(self.key.public, subject=name, kid=kid)
        self.theirs = lakers.Credential(self.ccs)
        self.by_kid, self.by_value = Credential.kid(self.ccs, kid), Credential.kccs(self.ccs)

    def ours(self, transfer: str) -> Credential:
        return self.by_kid if transfer == "by reference" else self.by_value

    def found(self, query: CredentialQuery) -> CredentialFound:
        """What our side finds when lakers names this party, by kid or by the claims set itself."""
        match query.id_cred:
            case Kid(value=value):
                assert self.by_kid.id_cred == Kid(value)
                return CredentialFound(self.by_kid)
            case Kccs(ccs=ccs):
                assert ccs == self.ccs
                return CredentialFound(Credential.kccs(ccs))
        raise AssertionError(query)


@pytest.fixture(params=range(3))
def parties(request):
    kids = [(b"\x2b", b"\x32"), (b"\x0a", b"\x18"), (b"\x00", b"\x37")][request.param]
    return Party("initiator", kids[0]), Party("responder", kids[1])


def initiator_of(party: Party, peer: Party, transfer: str, **more) -> End:
    config = InitiatorConfig(
        method=Method.STATIC,
        credential=party.ours(transfer),
        key=party.key.handle,
        **{"suites": (2,), "c_i": b"\x07", **more},
    )
    setting = Setting(Method.STATIC, 2)
    setting.initiator_config, setting.initiator_key = config, party.key
    end = setting.initiator(os.urandom(32).hex())
    end.find = peer.found
    return end


def responder_of(party: Party, peer: Party, transfer: str, **more) -> End:
    config = ResponderConfig(
        methods=frozenset({Method.STATIC}),
        credential=party.ours(transfer),
        key=party.key.handle,
        **{"suites": (2,), "c_r": b"\x27", **more},
    )
    setting = Setting(Method.STATIC, 2)
    setting.responder_config, setting.responder_key = config, party.key
    end = setting.responder(os.urandom(32).hex())
    end.find = peer.found
    return end


def same_keys(ours: End, theirs) -> None:
    for label, context, length in (
        (0, b"", 16),
        (1, b"", 8),
        (23, b"context", 100),
    ):  # theirs encodes no label above 23
        assert ours.data.exporter(label, context, length) == bytes(theirs.edhoc_exporter(label, context, length))
    theirs.edhoc_key_update(b"update")
    ours.data = ours.data.key_update(b"update")
    assert ours.data.exporter(0, b"", 32) == bytes(theirs.edhoc_exporter(0, b"", 32))


@pytest.mark.parametrize("ours", TRANSFERS)
@pytest.mark.parametrize("theirs", TRANSFERS)
@pytest.mark.parametrize("c_r", [None, b"\x27", b"\xff"])
def test_we_initiate(parties, ours, theirs, c_r):
    for _ in range(ROUNDS):
        us, them = parties
        initiator = initiator_of(us, them, ours)
        responder = lakers.EdhocResponder(them.scalar, them.theirs)
        (message_1,) = initiator.feed(Started())
        c_i, ead_1 = responder.process_message_1(message_1)
        assert (c_i, ead_1) == (b"\x07", [])
        (message_3,) = initiator.receive(bytes(responder.prepare_message_2(TRANSFERS[theirs], c_r, [])))
        id_cred_i, _ = responder.parse_message_3(message_3)
        responder.verify_message_3(lakers.credential_check_or_fetch(id_cred_i, us.theirs))
        assert initiator.receive(bytes(responder.prepare_message_4([]))) == []
        assert initiator.established
        assert c_r is None or initiator.data.facts.c_r == c_r
        same_keys(initiator, responder)


@pytest.mark.parametrize("ours", TRANSFERS)
@pytest.mark.parametrize("theirs", TRANSFERS)
@pytest.mark.parametrize("c_i", [None, b"\x37", b"\xff"])
def test_we_respond(parties, ours, theirs, c_i):
    for _ in range(ROUNDS):
        them, us = parties
        responder = responder_of(us, them, ours)
        initiator = lakers.EdhocInitiator()
        (message_2,) = responder.receive(bytes(initiator.prepare_message_1(c_i, [])))
        c_r, id_cred_r, _ = initiator.parse_message_2(message_2)
        assert c_r == b"\x27"
        initiator.verify_message_2(them.scalar, them.theirs, lakers.credential_check_or_fetch(id_cred_r, us.theirs))
        message_3, _ = initiator.prepare_message_3(TRANSFERS[theirs], [])
        (message_4,) = responder.receive(bytes(message_3))
        assert initiator.process_message_4(message_4) == []
        assert responder.established
        assert c_i is None or responder.data.facts.c_i == c_i
        same_keys(responder, initiator)


def items(*pairs):
    return [lakers.EADItem(label, critical, value) for label, value, critical in pairs]


def seen(found):
    return [
        (item.label(), bytes(item.value()) if item.value() is not None else None, item.is_critical()) for item in found
    ]


def test_ead_crosses_both_ways(parties):
    one, other = parties
    labels = frozenset({1, 2, 3, 4})
    sent = [(number, bytes((number,)) * number, number % 2 == 1) for number in (1, 2, 3, 4)]
    ours = {f"ead_{number}": (Ead(number, value, critical=critical),) for number, value, critical in sent}

    initiator = initiator_of(one, other, "by reference", ead_1=ours["ead_1"], ead_3=ours["ead_3"], ead_labels=labels)
    responder = lakers.EdhocResponder(other.scalar, other.theirs)
    (message_1,) = initiator.feed(Started())
    assert seen(responder.process_message_1(message_1)[1]) == [sent[0]]
    (message_3,) = initiator.receive(
        bytes(responder.prepare_message_2(TRANSFERS["by reference"], None, items(sent[1])))
    )
    id_cred_i, ead_3 = responder.parse_message_3(message_3)
    assert seen(ead_3) == [sent[2]]
    responder.verify_message_3(lakers.credential_check_or_fetch(id_cred_i, one.theirs))
    initiator.receive(bytes(responder.prepare_message_4(items(sent[3]))))
    assert initiator.data.facts.ead_2 == ours["ead_2"]
    assert initiator.data.facts.ead_4 == ours["ead_4"]

    us = responder_of(other, one, "by reference", ead_2=ours["ead_2"], ead_4=ours["ead_4"], ead_labels=labels)
    them = lakers.EdhocInitiator()
    (message_2,) = us.receive(bytes(them.prepare_message_1(None, items(sent[0]))))
    _, id_cred_r, ead_2 = them.parse_message_2(message_2)
    assert seen(ead_2) == [sent[1]]
    them.verify_message_2(one.scalar, one.theirs, lakers.credential_check_or_fetch(id_cred_r, other.theirs))
    message_3, _ = them.prepare_message_3(TRANSFERS["by reference"], items(sent[2]))
    (message_4,) = us.receive(bytes(message_3))
    assert seen(them.process_message_4(message_4)) == [sent[3]]
    assert us.data.facts.ead_1 == ours["ead_1"]
    assert us.data.facts.ead_3 == ours["ead_3"]
    same_keys(us, them)


def test_they_refuse_what_we_would_refuse(parties):
    """A changed message_2, and a wrong suite that is named again in our error message."""
    us, them = parties
    initiator = initiator_of(us, them, "by reference")
    responder = lakers.EdhocResponder(them.scalar, them.theirs)
    responder.process_message_1(initiator.feed(Started())[0])
    message_2 = bytearray(responder.prepare_message_2(TRANSFERS["by reference"], None, []))
    message_2[-1] ^= 1
    initiator.receive(bytes(message_2))
    assert initiator.failed
    assert "MAC does not hold" in str(initiator.error)

    we = responder_of(them, us, "by reference", suites=(3,))
    assert we.receive(bytes(lakers.EdhocInitiator().prepare_message_1(None, []))) == [bytes.fromhex("0203")]


def test_they_refuse_our_preferred_suite_and_we_come_again(parties):
    """lakers supports suite 2 only and says so with an exception; its error message is made here for it."""
    us, them = parties
    initiator = initiator_of(us, them, "by reference", suites=(3, 2))
    responder = lakers.EdhocResponder(them.scalar, them.theirs)
    with pytest.raises(ValueError, match="UnsupportedCipherSuite"):
        responder.process_message_1(initiator.feed(Started())[0])
    (message_1,) = initiator.receive(encode(2) + encode(2))
    responder = lakers.EdhocResponder(them.scalar, them.theirs)
    responder.process_message_1(message_1)
    (message_3,) = initiator.receive(bytes(responder.prepare_message_2(TRANSFERS["by value"], None, [])))
    id_cred_i, _ = responder.parse_message_3(message_3)
    responder.verify_message_3(lakers.credential_check_or_fetch(id_cred_i, us.theirs))
    initiator.receive(bytes(responder.prepare_message_4([])))
    assert initiator.data.facts.suite.number == 2
    same_keys(initiator, responder)


def test_their_critical_item_that_we_do_not_understand(parties):
    them, us = parties
    responder = responder_of(us, them, "by reference")
    out = responder.receive(bytes(lakers.EdhocInitiator().prepare_message_1(None, items((9, b"", True)))))
    assert responder.failed
    assert "critical EAD item" in str(responder.error)
    assert len(out) == 1
    assert not isinstance(responder.error, PeerRefused)
