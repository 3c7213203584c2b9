"""The links of mobiles as streams: at a module, at a mobile, and at a unit that is called (A9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from ...protocol.channel.trust.calling import by_certificate, by_key
from ...protocol.channel.trust.conveyed import NumberCame, NumberConveyed, WordCame
from ...protocol.driver import Order, Orders
from ...protocol.engine import KeyHandle, KeyKind, ProtocolError, UsageError
from ...protocol.keys.certificates import key_digest
from ...protocol.messages import (
    CallReported,
    Conveyance,
    DecodeError,
    Number,
    Passage,
    Verdict,
    decode_message,
    encode_message,
)
from ...shell.calls import Calls, KnownMobiles, Switchboard
from ...shell.far_link import ByChannel
from ...shell.gateway import reported
from ...shell.local_link import AtMobile, LocalPort
from ...shell.mobile import convey
from ...transports.errors import FrameError, TransportError
from ...transports.framing import FrameDecoder
from ...transports.links import Link
from ...transports.memory import memory_pair
from .. import cast
from ..mutation import joined
from ..puppet import Dribble
from ..scene import SERIAL, CopiedVault, Named, now, scene
from ..scratch import scratch
from ..target import Shape, check, outcome_of, target
from .parties import ENDS_AFTER, ROOM, Stage, declare, private

NUMBER: Final = bytes(range(16))
BINDING: Final = bytes(range(32))
CONVEYANCE: Final = Conveyance(serial=SERIAL, binding=BINDING, random=NUMBER)
YES: Final = Verdict(serial=SERIAL, binding=BINDING)
CERTIFICATE: Final = b"the certificate of a mobile"
"""Whose key the link has proved; nobody reads it here."""

Serve = Callable[[trio.abc.Stream], Awaitable[None]]


async def _exchange(serve: Serve, data: bytes, *, dribble: bool, calmly: bool = False) -> bytes:
    """Send `data` to whoever serves a stream, and end it, calmly: once he did all that it led to; what came back."""
    here, there = memory_pair(ROOM)
    heard = bytearray()

    async def listen() -> None:
        async with there:
            while came := await there.receive_some():
                heard.extend(came)

    async def serve_here() -> None:
        async with here:
            await serve(here)

    ended = False
    with trio.move_on_after(ENDS_AFTER):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_here)
            nursery.start_soon(listen)
            try:
                await (Dribble(there) if dribble else there).send_all(data)
                for _ in range(2 * calmly):  # until the unit answers, and until the answer was heard
                    await wait_all_tasks_blocked()
                await there.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # it has heard enough
        ended = True
    check(ended, "the link does not end")
    return bytes(heard)


def _messages(data: bytes) -> list[object]:
    """All messages that were said, one a frame."""
    decoder, found = FrameDecoder(), list[object]()
    decoder.feed(data)
    while (frame := decoder.next_frame()) is not None:
        found.append(decode_message(frame))
    decoder.finish()
    return found


# At a module -------------------------------------------------------------------------------------------------


class _Taking(Orders):
    """A session that takes whatever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[object] = []

    def put(self, order: Order) -> None:
        """At once."""
        self.events.append(order.take())
        order.settle(None)


def local_seeds() -> Iterator[bytes]:
    """What a mobile says to a module: a number, a word, and what passes through."""
    yield joined([encode_message(YES)])
    yield joined([encode_message(Number(NUMBER)), encode_message(Verdict(serial=SERIAL))])
    passing = [encode_message(Passage(content)) for content in (b"hello", b"unit", b"", b"again")]
    yield joined([*passing, encode_message(YES)])


@target("local-port", Shape.FRAMES, local_seeds, seconds=0.5)
def local_port(data: bytes) -> str:
    """Whatever a mobile says, a module takes numbers and words whole, in order, and tells why it ends the link.

    It is the same byte by byte, and nothing passes through to the unit but what a Passage held.
    """
    whole, pieces = (trio.run(_at_port, data, dribble) for dribble in (False, True))
    events, told, said = whole
    check(pieces[:2] == (events, told), "byte by byte it is another link")  # what is said to one who leaves depends
    expected: list[object] = []
    for message in _fitting(data, (Number, Verdict, Passage)):
        if isinstance(message, Number):
            expected.append(NumberCame(message.random))
        elif isinstance(message, Verdict):
            expected.append(WordCame(message.serial, message.binding))
    check(list(events) == expected, "something else was reported")
    check(said.count(CONVEYANCE) <= 1, "a number was said twice")
    return f"{min(len(events), 3)} events, {told[0].split(':')[0] if told else 'ended'}, {min(len(said), 3)} said"


async def _at_port(data: bytes, dribble: bool) -> tuple[tuple[object, ...], tuple[str, ...], tuple[object, ...]]:
    told: list[str] = []
    carried = bytearray()

    async def reach_unit() -> trio.abc.Stream:
        here, there = memory_pair(ROOM)
        nursery.start_soon(swallow, there)
        return here

    async def swallow(stream: trio.abc.Stream) -> None:
        async with stream:
            while came := await stream.receive_some():
                carried.extend(came)

    port = LocalPort(tell=told.append, reach_unit=reach_unit)
    session = port.open()
    session.orders = taking = _Taking()
    session.forward(CONVEYANCE)

    async def serve(stream: trio.abc.Stream) -> None:
        await port.attend(Link("memory", "mobile", attests_wired=True, stream=stream))

    async with trio.open_nursery() as nursery:
        heard = await _exchange(serve, data, dribble=dribble)
        nursery.cancel_scope.cancel()
    passed = b"".join(each.content for each in _fitting(data, (Number, Verdict, Passage)) if isinstance(each, Passage))
    check(passed.startswith(carried), "other bytes passed through")
    said = tuple(each for each in _messages(heard) if not isinstance(each, Passage))
    return tuple(taking.events), tuple(line.split(" at byte")[0] for line in told), said


def _fitting(data: bytes, kinds: tuple[type[Any], ...]) -> Iterator[Any]:
    """The messages of these kinds that come before anything else does."""
    decoder = FrameDecoder()
    try:
        decoder.feed(data)
        while (frame := decoder.next_frame()) is not None:
            message = decode_message(frame)
            if not isinstance(message, kinds):
                return
            yield message
    except (FrameError, DecodeError):
        return


# At a mobile -------------------------------------------------------------------------------------------------


@dataclass
class _Unit:
    """The way to a unit that vouches for whatever it hears."""

    heard: list[Conveyance] = field(default_factory=list)

    async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
        """See FarLink; once all else has been heard, since a module that leaves meanwhile is not waited for."""
        self.heard.append(conveyance)
        await wait_all_tasks_blocked()
        return Verdict(serial=conveyance.serial, binding=conveyance.binding)


def near_seeds() -> Iterator[bytes]:
    """What a module says to its mobile."""
    yield joined([encode_message(CONVEYANCE)])
    yield joined([encode_message(Conveyance(serial=SERIAL, binding=BINDING)), encode_message(Passage(b"x"))])
    yield joined([encode_message(Passage(b"from the unit")), encode_message(CONVEYANCE)])


@target("local-link", Shape.FRAMES, near_seeds, seconds=0.5)
def local_link(data: bytes) -> str:
    """Whatever a module says, its mobile calls the unit once at most, for that module, and gives its word to it only.

    It is the same byte by byte; ProtocolError and errors of links are all that a mobile ends with.
    """
    whole, pieces = (trio.run(_at_mobile, data, dribble) for dribble in (False, True))
    check(whole == pieces, "byte by byte it is another link")
    heard, said, ended = whole
    asked = [each for each in heard if each.serial == SERIAL]
    check(len(heard) <= 1 and len(asked) == len(heard), "the unit was asked for another module, or twice")
    words = [each for each in said if isinstance(each, Verdict)]
    check(len(words) <= len(heard), "a word that no unit gave")
    check(all(word.binding == given.binding for word, given in zip(words, heard, strict=False)), "another binding")
    return f"{len(heard)} heard, {ended}"


async def _at_mobile(data: bytes, dribble: bool) -> tuple[tuple[Conveyance, ...], tuple[object, ...], str]:
    unit, ended = _Unit(), "good end"

    async def serve(stream: trio.abc.Stream) -> None:
        nonlocal ended
        try:
            await convey(stream, SERIAL, unit, entropy=Named("mobile"))
        except (ProtocolError, TransportError) as error:
            ended = outcome_of(error)

    said = await _exchange(serve, data, dribble=dribble, calmly=True)
    return tuple(unit.heard), tuple(_messages(said)), ended


# At a unit that is called ------------------------------------------------------------------------------------


class _Session(Orders):
    """A session with the module, which knows its channel."""

    def __init__(self) -> None:
        super().__init__()
        self.forward: Callable[[object], None] = lambda message: None

    def put(self, order: Order) -> None:
        """What a mobile brings is compared."""
        said = order.take()
        check(isinstance(said, NumberConveyed), "a session got something else from a mobile")
        agrees = isinstance(said, NumberConveyed) and (said.binding, said.number) == (BINDING, NUMBER)
        self.forward(YES if agrees else Verdict(serial=SERIAL))
        order.settle(None)


def _calls(mobile: str, told: list[str]) -> Calls:
    """A unit that believes this mobile, with a session that waits for it."""
    card, board, session = scene().a_card(), Switchboard(lambda: {mobile: "ours"}), _Session()
    mobiles, found = board.place_for_whoever(session)
    session.forward = mobiles.link.forward
    found(SERIAL)
    about: dict[str, Any] = {"tell": told.append, "entropy": Named("unit session"), "now": now}
    return Calls(board, card.record.name, card.authentication, card.keys, **about)


def call_seeds() -> Iterator[bytes]:
    """What a mobile says to a unit."""
    yield joined([encode_message(CONVEYANCE)])
    yield joined([encode_message(Conveyance(serial="SN-2", binding=BINDING, random=NUMBER))])
    yield joined([encode_message(Conveyance(serial=SERIAL, binding=BINDING)), encode_message(CONVEYANCE)])


@target("calls", Shape.FRAMES, call_seeds, seconds=0.5)
def calls(data: bytes) -> str:
    """A call gets one word at most, which vouches for nothing but what its session knows; whole or byte by byte."""
    whole, pieces = (trio.run(_call, data, dribble) for dribble in (False, True))
    check(whole == pieces, "byte by byte it is another call")
    said, told = whole
    check(len(said) + len(told) <= 1, "more than one answer")
    asked = next(iter(_fitting(data, (Conveyance,))), None)
    check(YES not in said or asked == CONVEYANCE, "it vouched for something else")
    return f"{'vouched' if YES in said else 'refused' if said else 'silent'} {told[0].split(':')[1] if told else ''}"


async def _call(data: bytes, dribble: bool) -> tuple[tuple[object, ...], tuple[str, ...]]:
    told: list[str] = []
    unit = _calls(by_certificate(CERTIFICATE), told)

    async def serve(stream: trio.abc.Stream) -> None:
        await unit.attend(Link("tls", "mobile", attests_wired=False, stream=stream, certificate=CERTIFICATE))

    return tuple(_messages(await _exchange(serve, data, dribble=dribble))), tuple(told)


def _mobile() -> tuple[CopiedVault, KeyHandle]:
    vault = CopiedVault("mobile")
    return vault, vault.generate("mobile", KeyKind.P256, b"")


def _at_called_unit() -> Stage:
    vault, key = _mobile()
    told: list[str] = []
    unit, card = _calls(by_key(key.public), told), scene().a_card()
    puppet, ports = cast.calling_mobile(
        vault, key, key_digest(card.authentication.public), CONVEYANCE, entropy=Named("puppet")
    )

    async def party(stream: trio.abc.Stream) -> None:
        await unit.attend(Link("tcp", "mobile", attests_wired=False, stream=stream))

    def sound(refused: bool) -> None:
        words = [each for each in puppet.told if isinstance(each, Verdict)]
        check(len(words) <= 1 and len(told) <= 1, "more than one answer")
        said = _decoded(puppet.says[0]) if puppet.says else None
        check(YES not in words or said == CONVEYANCE, "it vouched for something else")

    return Stage(party, puppet, ports, private(card.keys), sound, hangs_up=False)


def _decoded(payload: bytes) -> object:
    try:
        return decode_message(payload)
    except DecodeError:
        return None


def _at_calling_mobile() -> Stage:
    vault, key = _mobile()
    card = scene().a_card()
    puppet, ports = cast.called_unit(card, frozenset({by_key(key.public)}), entropy=Named("puppet"))
    digest, words = key_digest(card.authentication.public), list[Verdict]()

    async def party(stream: trio.abc.Stream) -> None:
        async def dial(_: AtMobile) -> trio.abc.Stream:
            return stream

        far = ByChannel(dial, "mobile", key, vault, digest, entropy=Named("mobile session"), now=now)
        words.append(await far.ask(CONVEYANCE, AtMobile(memory_pair()[0])))

    def sound(refused: bool) -> None:
        check(len(words) == (not refused), "a refused call brought a word")
        check(not words or words[0] in [_decoded(each) for each in puppet.says], "a word that nobody said")

    return Stage(party, puppet, ports, private(vault), sound)


declare(
    "unit-called",
    "A called unit vouches for nothing but what its session knows, whatever a mobile says.",
    _at_called_unit,
)
declare(
    "mobile-calling", "Whatever a unit says, its mobile brings back one word that it said, or none.", _at_calling_mobile
)


# Gateways and lists ------------------------------------------------------------------------------------------


def report_seeds() -> Iterator[bytes]:
    """What a gateway says first."""
    yield encode_message(CallReported("+4930123456"))
    yield encode_message(CONVEYANCE)


@target("gateway-reports", Shape.CBOR, report_seeds)
def gateway_reports(data: bytes) -> str:
    """A gateway's first word is a caller's number in digits; ProtocolError is the only error."""
    try:
        caller = reported(data)
    except ProtocolError as error:
        return outcome_of(error)
    check(caller[:1] == "+" and caller[1:].isascii() and caller[1:].isdigit(), "a number that is none")
    return "reported"


def list_seeds() -> Iterator[bytes]:
    """Files of mobiles."""
    digits = "ab" * 32
    yield f"# mobiles\nkey {digits} of Alice\ncaller +4930123456 of Bob\n".encode()
    yield f"certificate {':'.join(['0F'] * 32)}\n\n  key {digits.upper()}\n".encode()


def _list_file() -> Path:
    return scratch() / "mobiles"


@target("mobile-lists", Shape.TEXT, list_seeds)
def mobile_lists(data: bytes) -> str:
    """A file of mobiles names keys, certificates and callers of the one form; UsageError is the only error."""
    _list_file().write_bytes(data)
    try:
        known = KnownMobiles(_list_file())()
    except UsageError as error:
        return outcome_of(error).split("insitu")[0]
    for name, note in known.items():
        kind, _, what = name.partition(" ")
        if kind == "caller":
            check(what[:1] == "+" and what[1:].isascii() and what[1:].isdigit(), "a caller's number that is none")
        else:
            check(kind in ("key", "certificate") and what == what.lower() and len(bytes.fromhex(what)) == 32, "a name")
        check("\n" not in note, "a note of several lines")
    return f"{min(len(known), 3)} mobiles"
