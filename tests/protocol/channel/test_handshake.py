from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from world import NOW, SERIAL, Seeded, World

from insitu.protocol.channel import handshake as handshake_module
from insitu.protocol.channel.edhoc import X5Chain
from insitu.protocol.channel.edhoc.messages import read_error
from insitu.protocol.channel.handshake import BINDING_BYTES, Handshake
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.trust import (
    ByCable,
    CardEnrolling,
    CentralAtWork,
    CentralEnrolling,
    ModuleAtWork,
    ModuleByIdentity,
    Terms,
    UnitByCertificate,
)
from insitu.protocol.engine import (
    Agree,
    EnvironmentFault,
    Fault,
    InsituError,
    KeyKind,
    KeyOperationFailed,
    ProtocolError,
    Send,
    Sign,
)
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.keys.profile import Role
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import Purpose, TrustOption
from insitu.protocol.ports import operate

ALL = frozenset(Purpose)


@dataclass
class End:
    """One side of a handshake with the key memory that it asks."""

    handshake: Handshake
    vault: Vault
    fails: bool = False
    sent: list[bytes] = field(default_factory=list)

    def take(self, effects: list[Any]) -> list[bytes]:
        """Do what is asked; the frames that this side sends."""
        frames: list[bytes] = []
        for effect in effects:
            if isinstance(effect, Send):
                frames.append(effect.message)  # type: ignore[arg-type]
                self.sent.append(frames[-1])
            elif isinstance(effect, (Sign, Agree)):
                answer = KeyOperationFailed("gone") if self.fails else operate(effect, self.vault)
                frames += self.take(self.handshake.answer(answer, NOW))
        return frames


Tamper = Callable[[int, bytes], bytes]


def shake(initiator: End, responder: End, tamper: Tamper = lambda number, frame: frame) -> None:
    """Let both run until nobody says anything."""
    number = 0
    line = [(responder, frame) for frame in initiator.take(initiator.handshake.start(NOW))]
    while line:
        receiver, frame = line.pop(0)
        try:
            answer = receiver.take(receiver.handshake.receive(tamper(number, frame), NOW))
        except ProtocolError:
            answer = []  # a frame after the end
        number += 1
        other = initiator if receiver is responder else responder
        line += [(other, each) for each in answer]


@pytest.fixture
def sides(world: World) -> dict[str, Terms]:
    """The terms of module and unit under both options, and of module and central system at work."""
    from pump import personalize

    card, central = world.card, world.central
    personalize(world)
    record, vault = world.module.record, world.vault(SERIAL)
    cable = {name: world.vault(name).generate("session", KeyKind.P256, b"") for name in (SERIAL, "card")}
    return {
        "module by identity": ModuleByIdentity.of(record, vault.find("identity")),
        "unit by certificate": UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL),
        "module by cable": ByCable.of(SERIAL, cable[SERIAL], wired=True),
        "unit by cable": ByCable.of("Bank", cable["card"], wired=True),
        "module at work": ModuleAtWork.of(record, vault.find(record.key or "")),
        "card enrolling": CardEnrolling.of(
            card.customer, card.unit, card.authentication, key_digest(central.key.public), now=NOW
        ),
        "central enrolling": CentralEnrolling.of("Host", central.key, card.root, card.customer.fingerprint),
        "central at work": CentralAtWork.of(central.record.certificate or b"", central.issuers(), central._key()),
    }


PAIRS = {
    "certificates": ("module by identity", "unit by certificate", SERIAL, "Bank unit 1"),
    "physical": ("module by cable", "unit by cable", SERIAL, "Bank"),
    "operating": ("module at work", "central at work", SERIAL, "Host"),
    "enrolling": ("card enrolling", "central enrolling", "Bank unit 1", "Host"),
}


def vault_of(world: World, initiator: Terms) -> Vault:
    return world.vault("card" if initiator.key.label == "authentication" else SERIAL)


def ends(
    world: World,
    module: Terms,
    other: Terms,
    purpose: Purpose = Purpose.PERSONALIZE,
    purposes: frozenset[Purpose] = ALL,
) -> tuple[End, End]:
    vault = world.vault("central Host" if other.key.label == "central" else "card")
    return (
        End(Handshake.initiate(module, purpose, Seeded("initiator")(64)), vault_of(world, module)),
        End(Handshake.respond(other, purposes, Seeded("responder")(64)), vault),
    )


@pytest.fixture(params=PAIRS.values(), ids=PAIRS.keys())
def both(request: pytest.FixtureRequest, world: World, sides: dict[str, Terms]) -> tuple[End, End]:
    return ends(world, sides[request.param[0]], sides[request.param[1]])


def outcome(end: End) -> ChannelOpened | None:
    return end.handshake.opened


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_both_sides_learn_who_is_there_for_what_and_the_same_binding(world: World, sides, pair, purpose):
    module, other = ends(world, sides[pair[0]], sides[pair[1]], purpose)
    assert outcome(module) is None
    shake(module, other)
    mine, theirs = outcome(module), outcome(other)
    assert mine is not None
    assert theirs is not None
    assert (theirs.peer.name, mine.peer.name) == pair[2:]
    assert mine.binding == theirs.binding
    assert len(mine.binding) == BINDING_BYTES
    assert mine.intent == theirs.intent
    assert (mine.intent.purpose, mine.intent.option) == (purpose, sides[pair[0]].option)
    assert mine.wrapping == theirs.wrapping != mine.binding
    assert len(mine.wrapping) == (32 if purpose is Purpose.OPERATE else 0), "symmetric keys cross at work alone (L11)"
    assert mine.at == theirs.at == NOW
    assert [len(module.sent), len(other.sent)] == [2, 2]
    established = module.handshake.established, other.handshake.established
    assert established[0].exporter(0x8001, b"", 28) == established[1].exporter(0x8001, b"", 28)


def test_two_channels_have_two_bindings(world: World, sides):
    bindings = set()
    for seed in ("a", "b"):
        module, other = ends(world, sides["module by identity"], sides["unit by certificate"])
        other.handshake = Handshake.respond(sides["unit by certificate"], ALL, Seeded(seed)(64))
        shake(module, other)
        bindings.add(outcome(module).binding)  # type: ignore[union-attr]
    assert len(bindings) == 2


def test_the_binding_is_not_what_records_are_made_of(both):
    """A label of its own: knowing the binding tells nothing of the keys."""
    shake(*both)
    established = both[0].handshake.established
    exported = {established.exporter(label, b"", BINDING_BYTES) for label in (0x8001, 0x8002, 0x8003)}
    assert len(exported) == 3


# Pins (S13)


def refused_by(responder: End, module: End, fault: Fault) -> None:
    shake(module, responder)
    assert outcome(module) is None
    assert outcome(responder) is None
    error = responder.handshake.error
    assert isinstance(error, ProtocolError)
    assert error.fault is fault
    assert (read_error(responder.sent[-1]) or pytest.fail("no error message")).text == fault.name.lower()


@pytest.mark.parametrize("allowed", [frozenset({purpose}) for purpose in Purpose], ids=str)
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_a_purpose_that_was_not_pinned_is_refused_before_anything_is_answered(world: World, sides, purpose, allowed):
    module, other = ends(world, sides["module by identity"], sides["unit by certificate"], purpose, allowed)
    if purpose in allowed:
        shake(module, other)
        assert outcome(module)
    else:
        refused_by(other, module, Fault.UNSUPPORTED)


def test_another_trust_option_is_refused_also_with_the_same_method(world: World, sides):
    other_option = replace(sides["module by identity"], option=TrustOption.PHYSICAL)
    refused_by(*ends(world, other_option, sides["unit by certificate"])[::-1], Fault.UNSUPPORTED)


@pytest.mark.parametrize(("module", "other"), [(0, 1), (1, 0)])
def test_another_method_is_refused(world: World, sides, module, other):
    modules, others = ("module by identity", "module by cable"), ("unit by certificate", "unit by cable")
    refused_by(*ends(world, sides[modules[module]], sides[others[other]])[::-1], Fault.UNSUPPORTED)


@pytest.mark.parametrize(
    ("offered", "supported", "agreed"), [((3,), (2,), None), ((2,), (3,), None), ((2,), (2, 3), 2)]
)
def test_suites_are_agreed_on_or_there_is_no_channel(world: World, sides, monkeypatch, offered, supported, agreed):
    monkeypatch.setattr(handshake_module, "SUITES", offered)
    module = Handshake.initiate(sides["module by identity"], Purpose.STATUS, Seeded("i")(64))
    monkeypatch.setattr(handshake_module, "SUITES", supported)
    _, other = ends(world, sides["module by identity"], sides["unit by certificate"])
    end = End(module, world.vault(SERIAL))
    shake(end, other)
    if agreed is None:
        assert outcome(end) is outcome(other) is None
    else:
        assert end.handshake.established.facts.suite.number == agreed


def test_a_forged_error_does_not_bring_the_weaker_suite(world: World, sides):
    """The attacker says "suite 2 only"; the module offers 3 and 2 with 2 selected; the unit refuses, since it has 3."""
    from insitu.protocol.channel.edhoc.messages import ErrorCode, ErrorMessage

    module, other = ends(world, sides["module by identity"], sides["unit by certificate"])
    module.take(module.handshake.start(NOW))
    forged = ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2,)).encode()
    (again,) = module.take(module.handshake.receive(forged, NOW))
    (answer,) = other.take(other.handshake.receive(again, NOW))
    assert read_error(answer) is not None
    assert outcome(other) is None
    module.take(module.handshake.receive(answer, NOW))
    assert outcome(module) is None


def test_without_an_intent_there_is_no_channel(world: World, sides, monkeypatch):
    for value in (b"", b"\x83\x02\x00\x01", b"\x83\x01\x00\x07", b"\x82\x01\x00"):
        monkeypatch.setattr(handshake_module, "encode_intent", lambda intent, value=value: value)
        module, other = ends(world, sides["module by identity"], sides["unit by certificate"])
        shake(module, other)
        assert outcome(module) is outcome(other) is None
    monkeypatch.undo()
    monkeypatch.setattr(handshake_module, "InitiatorConfig", lambda **about: Config(**{**about, "ead_1": ()}))
    module, other = ends(world, sides["module by identity"], sides["unit by certificate"])
    shake(module, other)
    assert outcome(module) is outcome(other) is None


Config = handshake_module.InitiatorConfig


# Attacks on the line


@pytest.mark.parametrize("number", range(4), ids=["message_1", "message_2", "message_3", "message_4"])
def test_a_changed_message_never_opens_a_channel_on_both_sides(world: World, sides, number):
    """One bit of each byte in turn, every seventh of the long ones; without message_4 only the responder is content."""
    for position in range(0, 900, 1 if number in (0, 3) else 7):

        def tamper(count: int, frame: bytes, position: int = position) -> bytes:
            if count != number or position >= len(frame):
                return frame
            return frame[:position] + bytes((frame[position] ^ 1,)) + frame[position + 1 :]

        module, other = ends(world, sides["module by identity"], sides["unit by certificate"])
        shake(module, other, tamper)
        sender, index = (module, other)[number % 2], number // 2
        if position < len(sender.sent[index]):
            assert outcome(module) is None
            assert (outcome(other) is None) or number == 3
            with pytest.raises(InsituError):
                _ = module.handshake.established
        else:
            break


def test_a_message_that_comes_back_to_its_sender_opens_nothing(both):
    module, other = both
    (message_1,) = module.take(module.handshake.start(NOW))
    module.take(module.handshake.receive(message_1, NOW))
    assert outcome(module) is None
    with pytest.raises(ProtocolError):
        _ = module.handshake.established
    (message_2,) = other.take(other.handshake.receive(message_1, NOW))
    other.take(other.handshake.receive(message_2, NOW))
    assert outcome(other) is None


def test_no_message_counts_twice(both):
    module, other = both
    shake(module, other)
    for end, frames in ((module, other.sent), (other, module.sent)):
        before = end.handshake.established.exporter(0x8001, b"", 16)
        for frame in frames:
            with pytest.raises(ProtocolError):
                end.handshake.receive(frame, NOW)
        assert end.handshake.established.exporter(0x8001, b"", 16) == before


def test_recorded_messages_open_nothing_in_a_fresh_handshake(world: World, both, sides):
    shake(*both)
    module_frames, other_frames = both[0].sent, both[1].sent
    pair = next(pair for pair in PAIRS.values() if outcome(both[0]).peer.name == pair[3])  # type: ignore[union-attr]
    fresh = Handshake.initiate(sides[pair[0]], Purpose.PERSONALIZE, Seeded("fresh")(64))
    end = End(fresh, vault_of(world, sides[pair[0]]))
    end.take(fresh.start(NOW))
    end.take(fresh.receive(other_frames[0], NOW))
    assert fresh.opened is None
    answering = Handshake.respond(sides[pair[1]], ALL, Seeded("fresh")(64))
    end = End(answering, both[1].vault)
    end.take(answering.receive(module_frames[0], NOW))
    end.take(answering.receive(module_frames[1], NOW))
    assert answering.opened is None


# Failures of our own, and farewells


@pytest.mark.parametrize("who", [0, 1], ids=["module", "other"])
def test_key_memory_that_fails_is_nobodys_fault_at_the_other_end(both, who):
    both[who].fails = True
    shake(*both)
    assert outcome(both[0]) is outcome(both[1]) is None
    assert isinstance(both[who].handshake.error, EnvironmentFault)
    message = read_error(both[who].sent[-1])
    assert message is not None
    assert message.text == "unavailable"


def test_what_the_terms_refuse_is_the_error_and_the_peer_learns_one_word(world: World, sides, monkeypatch):
    """SECURITY: one code before authentication, the log says the rest."""
    wrong = UnitByCertificate.of(
        world.card.root, world.card.customer, world.card.unit, world.card.authentication, "SN-another"
    )
    module, other = ends(world, sides["module by identity"], wrong)
    shake(module, other)
    assert outcome(module) is outcome(other) is None
    assert "SN-another" in str(other.handshake.error)
    message = read_error(other.sent[-1])
    assert message is not None
    assert message.text == "refused"
    assert "SN-another" not in str(module.handshake.error)


@pytest.mark.parametrize("frames", range(5))
@pytest.mark.parametrize("who", [0, 1], ids=["module", "other"])
def test_a_farewell_can_be_said_at_any_time_and_once(both, who, frames):
    module, other = both
    line = [(other, frame) for frame in module.take(module.handshake.start(NOW))]
    for _ in range(frames):
        if line:
            receiver, frame = line.pop(0)
            answers = receiver.take(receiver.handshake.receive(frame, NOW))
            line += [(module if receiver is other else other, each) for each in answers]
    end = both[who].handshake
    stands = end.opened is not None
    said = end.farewell(Fault.TIMEOUT)
    assert [read_error(frame) is not None for frame in said] == ([] if stands else [True])
    assert end.farewell(Fault.TIMEOUT) == []
    assert (end.opened is not None) is stands


def test_before_the_end_there_is_no_session(both, monkeypatch):
    """And nobody is asked for a proof in a channel that is not open."""
    monkeypatch.setattr(type(both[0].handshake._terms), "stage", lambda terms, opened: pytest.fail("asked too early"))
    with pytest.raises(ProtocolError, match="has not ended"):
        _ = both[0].handshake.established
    assert both[0].handshake.stage() is None


def test_a_peer_is_known_by_a_certificate_or_by_a_proof(world: World):
    assert not Peer("SN-1", None, world.card.authentication.public).is_known
    assert Peer("SN-1", Role.MODULE, world.card.authentication.public).is_known
    assert Peer("SN-1", None, world.card.authentication.public, proved=TrustOption.TAN).is_known


def test_identifiers_of_credentials_are_judged_by_the_terms_alone(world: World, sides):
    judged: list[Any] = []

    class Curious(type(sides["unit by certificate"])):  # type: ignore[misc]
        def judge(self, claim: Any, at: int) -> Any:
            judged.append(claim)
            return super().judge(claim, at)

    terms = sides["unit by certificate"]
    curious = Curious(terms.root, terms.serial, terms.own, terms.key)  # type: ignore[attr-defined]
    shake(*ends(world, sides["module by identity"], curious))
    assert [type(claim) for claim in judged] == [X5Chain]


def test_nothing_but_credentials_is_looked_up(both):
    """A mistake of ours, and not the peer's: no ProtocolError."""
    with pytest.raises(TypeError, match="credentials only"):
        both[0].handshake._judge(object(), NOW)
