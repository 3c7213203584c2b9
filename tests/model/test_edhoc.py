"""The model checker with real handshakes: whom an end met was there, and nobody is talked down."""

from __future__ import annotations

from insitu.check.edhoc import EdhocHandshake, Shaking
from insitu.check.search import Search
from insitu.check.themes import HANDSHAKES
from insitu.check.trace import mermaid
from insitu.protocol.channel.edhoc import initiator
from insitu.protocol.channel.edhoc.proofs import Statement
from insitu.protocol.engine import ProtocolError
from insitu.protocol.messages import TrustOption


def test_a_handshake_by_certificates_to_the_end():
    report = Search(Shaking(TrustOption.CERTIFICATES, made=0)).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.liveness == report.states - 1


def test_together_the_worlds_have_each_way_to_prove_oneself():
    """All that our options pin."""
    methods = set()
    for make in HANDSHAKES.values():
        world = make()
        joined = world.joined(world.initial(), 1)
        assert joined is not None
        methods |= {world.ends[slot.end].session.handshake.terms.method for slot in joined.slots[:2]}
    assert methods == {0, 1, 3}


def test_it_is_the_products_handshake_gone_on_with_from_the_same_place_twice():
    world = Shaking(TrustOption.CERTIFICATES)
    joined = world.joined(world.initial(), 1)
    assert joined is not None
    unit = world.ends[joined.slots[1].end].session
    offer = world.frames[joined.slots[1].inbox[0]]
    one, other = unit.fork(), unit.fork()
    assert isinstance(one.handshake, EdhocHandshake)
    assert one.handshake is not other.handshake
    assert repr(one.receive(offer, 0)) == repr(other.receive(offer, 0))
    assert one.identity == other.identity != unit.identity


def test_a_module_that_takes_anything_for_message_4_is_noticed(monkeypatch):
    unseal = initiator.unseal

    def lenient(*about):
        try:
            return unseal(*about)
        except ProtocolError:
            return b""

    monkeypatch.setattr(initiator, "unseal", lenient)
    report = Search(Shaking(TrustOption.CERTIFICATES), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "s10_whom_an_end_met_was_there"


def test_a_side_that_verifies_no_signature_is_noticed(monkeypatch):
    """Certificates can be read by anybody."""
    monkeypatch.setattr(Statement, "verify", lambda *_: None)
    report = Search(Shaking(TrustOption.CERTIFICATES, made=0), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "s10_whom_an_end_met_was_there"
