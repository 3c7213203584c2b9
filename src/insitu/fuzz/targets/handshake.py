"""EDHOC, role by role and flight by flight, as a session runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final
from zlib import crc32

from ...protocol.channel.edhoc.curves import EphemeralKey, load_x
from ...protocol.channel.edhoc.schedule import extract_2e, hash_2, keystream, xor
from ...protocol.channel.edhoc.suites import SUITES
from ...protocol.channel.handshake import Handshake
from ...protocol.engine import InsituError, ProtocolError, Send
from ...protocol.engine.effects import Effect
from ...protocol.keys.port import KeyStore
from ...protocol.messages import Purpose, TrustOption, decode_sequence, encode
from ...protocol.ports import Ports, perform
from ...protocol.session import HANDSHAKE_FRAME
from ...shell.trusting import ModuleHas, UnitHas, module_terms, unit_terms
from ..scene import NOW, SERIAL, Named, scene
from ..target import Shape, check, outcome_of, target

OPTIONS: Final = (TrustOption.CERTIFICATES, TrustOption.PHYSICAL)
"""One whose parties prove certificates by signature, and one with fresh keys by value."""


class End:
    """One side of a handshake with its keys."""

    def __init__(self, handshake: Handshake, keys: KeyStore) -> None:
        self.handshake = handshake
        self._ports = Ports(keys)

    def start(self) -> list[bytes]:
        """The first frames."""
        return self._follow(self.handshake.start(NOW))

    def receive(self, frame: bytes) -> list[bytes]:
        """The frames that a frame leads to."""
        return self._follow(self.handshake.receive(frame, NOW))

    def _follow(self, effects: list[Effect]) -> list[bytes]:
        frames: list[bytes] = []
        todo = list(effects)
        while todo:
            effect = todo.pop(0)
            if isinstance(effect, Send):
                check(isinstance(effect.message, bytes), "the handshake sends no frame")
                frames.append(bytes(effect.message))  # type: ignore[call-overload]
            elif hasattr(effect, "key") or hasattr(effect, "label"):
                answer = perform(effect, self._ports)
                todo += [] if answer is None else self.handshake.answer(answer, NOW)
        return frames


def ends(option: TrustOption) -> tuple[End, End]:
    """A module and a unit that have not begun; the same keys every time."""
    module, card = scene().a_module(), scene().a_card()
    has = ModuleHas(module.record, module.keys, wired=True, entropy=Named("module"))
    here = Handshake.initiate(module_terms(option, has), Purpose.PERSONALIZE, Named("module's handshake")(64))
    means = scene().means(SERIAL)
    at_unit = UnitHas(card, card.keys, SERIAL, NOW, None, means, wired=True, entropy=Named("unit"))
    terms = unit_terms(option, at_unit)
    there = Handshake.respond(terms, {Purpose.PERSONALIZE}, Named("unit's handshake")(64))
    return End(here, module.keys), End(there, card.keys)


def reached(option: TrustOption, flight: int) -> tuple[End, End, list[bytes]]:
    """Both ends when this flight is to arrive (1 to 4); who gets it comes first, then who sent it, then its frames."""
    module, unit = ends(option)
    frames = module.start()
    receiver, sender = unit, module
    for _ in range(flight - 1):
        frames = [each for frame in frames for each in receiver.receive(frame)]
        receiver, sender = sender, receiver
    return receiver, sender, frames


@cache
def genuine(option: TrustOption, flight: int) -> bytes:
    """The frame that belongs there."""
    return reached(option, flight)[2][0]


def _seeds(flight: int) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        yield from (genuine(option, flight) for option in OPTIONS)
        yield genuine(OPTIONS[0], flight % 4 + 1)

    return seeds


def _take(flight: int, option: TrustOption, data: bytes) -> str:
    """Give one frame to whoever awaits this flight, and look at what it led to."""
    receiver, _, _ = reached(option, flight)
    handshake = receiver.handshake
    try:
        frames = receiver.receive(data[:HANDSHAKE_FRAME])
    except InsituError as error:
        check(isinstance(error, ProtocolError), f"{type(error).__name__} is not declared for a peer's frame")
        handshake.error, frames = error, []
    went_on = handshake.opened is not None or (flight < 3 and len(frames) == 1 and _is_flight(handshake))
    if data != genuine(option, flight):
        check(flight == 1 or not went_on, "another frame than the genuine one was accepted")
    check(sum(map(len, frames)) <= HANDSHAKE_FRAME, "an answer is too long")
    if went_on:
        return "went on"
    check(handshake.opened is None, "a channel was opened")
    return outcome_of(handshake.error)


def _is_flight(handshake: Handshake) -> bool:
    return isinstance(handshake.error, ProtocolError) and handshake.error.summary == "the handshake has not ended"


def _by_an_option(flight: int, data: bytes) -> str:
    """By the option that the frame belongs to, else by one or the other."""
    other = OPTIONS[crc32(data) % len(OPTIONS)]
    return _take(flight, next((each for each in OPTIONS if genuine(each, flight) == data), other), data)


@target("edhoc-1-at-responder", Shape.CBOR, _seeds(1), seconds=0.1)
def first(data: bytes) -> str:
    """Any frame as message_1 leads to message_2 or one refusal, and opens nothing; ProtocolError is the only error."""
    return _by_an_option(1, data)


@target("edhoc-2-at-initiator", Shape.CBOR, _seeds(2), seconds=0.1)
def second(data: bytes) -> str:
    """No frame but the genuine one is taken for message_2; ProtocolError is the only error."""
    return _by_an_option(2, data)


def plaintext_seeds() -> Iterator[bytes]:
    """What a responder encrypts in message_2: C_R, ID_CRED_R, signature or MAC, and EAD_2."""
    yield encode(-24) + encode({33: [scene().unit, scene().customer]}) + encode(bytes(64))
    yield encode(b"\x01") + encode({14: {8: {1: {1: 2, -1: 1, -2: bytes(32), -3: bytes(32)}}}}) + encode(bytes(64))
    yield encode(1) + encode({34: [-16, bytes(32)]}) + encode(bytes(64)) + encode(-3) + encode(b"ead")


@target("edhoc-2-plaintext", Shape.CBOR, plaintext_seeds, seconds=0.1)
def second_plaintext(data: bytes) -> str:
    """Whatever a stranger encrypts in message_2, the initiator refuses it; ProtocolError is the only error."""
    module, _ = ends(OPTIONS[0])
    message_1 = module.start()[0]
    items = decode_sequence(message_1)
    suites, theirs = items[1], items[2]
    number = suites[-1] if isinstance(suites, tuple) else suites
    suite = SUITES[number]  # type: ignore[index]
    key = EphemeralKey.from_private(suite.exchange, b"\x07" * 32)
    th_2 = hash_2(suite, key.x, message_1)
    prk_2e = extract_2e(suite, th_2, key.agree(load_x(suite.exchange, theirs)))  # type: ignore[arg-type]
    cipher = xor(data, keystream(suite, prk_2e, th_2, len(data)))
    try:
        frames = module.receive(encode(key.x + cipher)[:HANDSHAKE_FRAME])
    except InsituError as error:
        check(isinstance(error, ProtocolError), f"{type(error).__name__} is not declared for a peer's frame")
        return outcome_of(error)
    check(not _is_flight(module.handshake), "a stranger was believed")
    check(len(frames) <= 1, "more than one answer")
    return outcome_of(module.handshake.error)


@target("edhoc-3-at-responder", Shape.CBOR, _seeds(3), seconds=0.1)
def third(data: bytes) -> str:
    """No frame but the genuine one is taken for message_3 and opens the channel; ProtocolError is the only error."""
    return _by_an_option(3, data)


@target("edhoc-4-at-initiator", Shape.CBOR, _seeds(4), seconds=0.1)
def fourth(data: bytes) -> str:
    """No frame but the genuine one is taken for message_4 and opens the channel; ProtocolError is the only error."""
    return _by_an_option(4, data)
