"""Calls that a network connects (A9): its gateway reports from which number each comes, and is believed.

That is weaker than the other ways, since whoever can forge a caller number, in the network or at its gateway, passes
for that mobile; and nothing proves the unit to it. What is asked of a real network's gateway is the Protocol here; two
stand behind it: one that calls the unit at a port, and for tests and demonstrations an operator to call through it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import trio

from ..protocol.engine import ProtocolError, UsageError
from ..protocol.messages import CallReported, decode_message, encode_message
from ..transports.errors import TransportError
from ..transports.framing import FrameChannel
from ..transports.links import Address, Link, open_link, serve_links
from .local_link import is_loopback

REPORT_SECONDS: Final = 10.0
"""How long gateway and phone may take to say who they are."""
_LONGEST: Final = 64

Attend = Callable[[str, FrameChannel], Awaitable[None]]
"""Takes a call: from which number it comes, and what it carries."""


class Gateway(Protocol):
    """A network's gateway."""

    async def serve(
        self, attend: Attend, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run `attend` for each call, until cancelled; `nursery.start` answers where the gateway is served."""
        ...


class GatewayAtPort:
    """A gateway that connects to the unit for each call: a CallReported, then what the call carries.

    Args:
        address: where; over tls, which pins the gateway by its certificate, or at this machine, for tests.
        tell: gets a line for each error.

    Raises:
        UsageError: anybody could report numbers there.

    """

    def __init__(self, address: Address, *, tell: Callable[[str], None]) -> None:
        pinned = address.tls is not None and address.tls.fingerprint
        if not pinned and not (address.kind == "tcp" and is_loopback(address.place)) and address.kind != "memory":
            expected = "tls:...&fingerprint=SHA256 of the gateway's certificate; tcp:127.0.0.1:PORT for tests"
            raise UsageError("anybody could report numbers there", who="gateway", expected=expected, got=str(address))
        self._address = address
        self._tell = tell

    async def serve(
        self, attend: Attend, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """See Gateway.

        Raises:
            LinkError: why nobody can be awaited there.

        """

        async def meet(link: Link) -> None:
            channel = FrameChannel(link.stream)
            try:
                with trio.fail_after(REPORT_SECONDS):
                    frame = await channel.receive_frame(_LONGEST)
                caller = reported(frame)
            except (trio.TooSlowError, trio.BrokenResourceError, TransportError, ProtocolError) as error:
                self._tell(f"gateway: no report of a caller: {error or 'nothing came'}")
                return
            await attend(caller, channel)

        await serve_links(self._address, meet, task_status=task_status)


def reported(frame: bytes | None) -> str:
    """From which number a call comes, as its gateway says first.

    Raises:
        ProtocolError: it says something else.

    """
    report = None if frame is None else decode_message(frame)
    if not isinstance(report, CallReported):
        got = type(report).__name__
        raise ProtocolError("first word of a gateway", who="gateway", expected="CallReported", got=got)
    return report.caller


class SimulatedOperator:
    """An operator of a telephone network that there is not: phones call it at this machine, and get the unit.

    Args:
        subscribers: their numbers, by what it knows each phone by, as its card proves it in reality.
        unit: where the unit awaits the gateway.
        tell: gets a line for each error.

    """

    def __init__(self, subscribers: Mapping[bytes, str], unit: Address, *, tell: Callable[[str], None]) -> None:
        self._subscribers = subscribers
        self._unit = unit
        self._tell = tell

    async def serve(
        self, address: Address, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take calls of phones, until cancelled.

        Raises:
            UsageError: not at this machine.
            LinkError: why nobody can call there.

        """
        if address.kind != "memory" and not (address.kind == "tcp" and is_loopback(address.place)):
            raise UsageError("a simulation", who="operator", expected="tcp:127.0.0.1:PORT", got=str(address))
        await serve_links(address, self.attend, task_status=task_status)

    async def attend(self, link: Link) -> None:
        """One call."""
        try:
            await self._connect(FrameChannel(link.stream))
        except (TransportError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            self._tell(f"operator: a call is lost: {error}")

    async def _connect(self, phone: FrameChannel) -> None:
        with trio.fail_after(REPORT_SECONDS):
            sim = await phone.receive_frame(_LONGEST)
        number = self._subscribers.get(sim or b"")
        if number is None:
            self._tell("operator: somebody who is no subscriber")
            return
        async with await open_link(self._unit) as gateway:
            unit = FrameChannel(gateway.stream)
            await unit.send_frame(encode_message(CallReported(number)))
            for heard, says in ((phone, unit), (unit, phone)):  # the mobile speaks, then the unit, once each
                frame = await heard.receive_frame()
                if frame is None:
                    return
                await says.send_frame(frame)
