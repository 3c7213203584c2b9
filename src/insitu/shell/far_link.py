"""The mobile's long-distance link (A9): its ways to the unit. Each takes a conveyance there, and the unit's word back.

TLS with a client certificate; a channel of ours, where the mobile's key lies in a card or a key store, which Python's
TLS cannot use; a telephone call, whose number the network reports. The first two may pass through the module.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import MobileCalling
from ..protocol.driver import run
from ..protocol.engine import KeyHandle, ProtocolError, given
from ..protocol.keys.vault import Vault
from ..protocol.messages import Conveyance, Purpose, Verdict, encode_message
from ..protocol.parties.mobile import from_unit
from ..protocol.parties.mobile_call import CALLING, CallingData, CallingState
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..transports import tls
from ..transports.errors import LinkBroken, PeerRefused
from ..transports.framing import FrameChannel
from ..transports.links import Address, open_link
from .keeping import Show, ignore, wall_clock
from .local_link import AtMobile

LONGEST_WORD: Final = 128
"""Bytes of a Verdict."""

Dial = Callable[[AtMobile], Awaitable[trio.abc.Stream]]
"""Opens the way to the unit; told the local link, through which it may pass."""


class FarLink(Protocol):
    """A way to the unit."""

    async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
        """Call the unit and bring it the conveyance; its word.

        Raises:
            ProtocolError: the unit is not the one that is meant, or does not take this mobile.
            TransportError: it cannot be reached.

        """
        ...


def directly(address: Address) -> Dial:
    """Over a network of the mobile's own: tcp or tls."""

    async def dial(_: AtMobile) -> trio.abc.Stream:
        return (await open_link(address)).stream

    return dial


def through_module(address: Address) -> Dial:
    """Through the local link; the module was told where the unit is, and what of `address` proves the unit counts."""

    async def dial(near: AtMobile) -> trio.abc.Stream:
        stream = near.tunnel()
        if address.tls is None:
            return stream
        return await tls.connect_over(stream, address.place, address.tls)

    return dial


class ByProvenLink:
    """Over a link that proves itself who calls, and whom: TLS."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
        """See FarLink."""
        async with await self._dial(near) as stream:
            return await _ask(FrameChannel(stream), conveyance)


class ByTelephone:
    """By a call at a (simulated) operator, who knows the mobile by its SIM and connects it with the unit.

    Nothing proves the unit to the mobile but the network; nor the mobile to the unit.

    Args:
        operator: where the operator is.
        sim: what it knows us by.

    """

    def __init__(self, operator: Address, sim: bytes) -> None:
        self._operator = operator
        self._sim = sim

    async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
        """See FarLink."""
        async with await open_link(self._operator) as link:
            channel = FrameChannel(link.stream)
            await channel.send_frame(self._sim)
            return await _ask(channel, conveyance)


class ByChannel:
    """Over a channel of ours.

    Args:
        dial: opens the way to the unit.
        name, key, keys: of the mobile, its key pair, and where that lies.
        unit: SHA-256 of the SubjectPublicKeyInfo of the unit's authentication key, 32 bytes.
        entropy, now, show: random bytes, unix seconds, notes.

    """

    def __init__(
        self,
        dial: Dial,
        name: str,
        key: KeyHandle,
        keys: Vault,
        unit: bytes,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        self._dial = dial
        self._name = name
        self._key = key
        self._keys = keys
        self._unit = unit
        self._entropy = entropy
        self._now = now
        self._show = show

    async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
        """See FarLink."""
        terms = MobileCalling.of(self._name, self._key, self._unit)
        handshake = Handshake.initiate(terms, Purpose.CONVEY, self._entropy(64))
        session = Session(CALLING, CallingState.READY, CallingData(conveyance), handshake)
        stream = await self._dial(near)
        await run(session, stream, Ports(self._keys, show=self._show), now=self._now)
        return given(session.data.word)


async def _ask(channel: FrameChannel, conveyance: Conveyance) -> Verdict:
    try:
        await channel.send_frame(encode_message(conveyance))
        frame = await channel.receive_frame(LONGEST_WORD)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        if isinstance(error, (LinkBroken, PeerRefused)):
            raise
        raise LinkBroken("the call to the unit is lost", who="mobile", got=error.__cause__ or "") from error
    if frame is None:
        expected = "its word; it takes no mobile that it was not told of"
        raise ProtocolError("the unit ended the call", who="mobile", expected=expected)
    return from_unit(frame)
