"""The errors of the transports, by whose fault they are. Nothing else belongs here.

`protocol/` has its own; the two are apart on purpose, since transports know nothing of the protocol. Fields, text and
exit codes follow the same pattern, so that a program (or the command line) can treat both alike. Where trio's stream
interfaces ask for `trio.BrokenResourceError`, LinkBroken is one as well; `trio.ClosedResourceError` and
`trio.BusyResourceError` are raised as they are: they report a mistake of the caller, not of the line.
"""

from __future__ import annotations

from typing import ClassVar

import trio


class TransportError(Exception):
    """Base of all errors here: what happened, what was `expected`, what was `got` instead.

    Attributes:
        summary: one clause without a full stop.
        who: the part that noticed, with the address where there is one ("tcp 127.0.0.1:4711", "serial /dev/ttyS0").
        expected: what would have been right; empty where that says nothing more.
        got: what came instead.

    """

    exit_code: ClassVar[int] = 1

    def __init__(self, summary: str, *, who: str = "", expected: object = "", got: object = "") -> None:
        self.summary = summary
        self.who = who
        self.expected = str(expected)
        self.got = str(got)
        super().__init__(summary)

    def __str__(self) -> str:
        """One line: who: summary (expected ..., got ...)."""
        text = f"{self.who}: {self.summary}" if self.who else self.summary
        details = [f"{word} {value}" for word, value in (("expected", self.expected), ("got", self.got)) if value]
        return f"{text} ({', '.join(details)})" if details else text


class AddressError(TransportError):
    """The caller's fault: an address, option or argument that cannot be. Exit code 2."""

    exit_code = 2


class FrameError(TransportError):
    """The peer's fault: it sent what the framing does not allow. Exit code 3."""

    exit_code = 3


class FrameTruncated(FrameError):
    """The stream ended within a frame."""


class PeerRefused(TransportError, trio.BrokenResourceError):
    """The peer's fault: TLS does not take it for the one that was expected, or it does not take us. Exit code 3."""

    exit_code = 3


class LinkError(TransportError):
    """Nobody's fault here: a port, line or network that does not do its work. Exit code 4."""

    exit_code = 4


class NameUnknown(LinkError):
    """The host name does not resolve to an address."""


class ConnectionRefused(LinkError):
    """Nobody listens at that address."""


class Unreachable(LinkError):
    """The network knows no way to that address, or nobody answered in time."""


class AddressInUse(LinkError):
    """Another program listens at that address already."""


class PortNotFound(LinkError):
    """There is no such serial port, or it was unplugged."""


class PortBusy(LinkError):
    """Another program holds the serial port."""


class PortDenied(LinkError):
    """The user whom this program runs as may not open the port."""


class NotASerialPort(LinkError):
    """The path exists but is no serial port, or refuses the settings asked for."""


class NotADevice(LinkError):
    """The path exists but is no device or stream that can be waited on."""


class Unsupported(LinkError):
    """The installation lacks what the link needs: the operating system or an optional package."""


class NoAnswer(LinkError):
    """The other end of the serial line did not answer the attention frame, or not with ours."""


class LinkBroken(LinkError, trio.BrokenResourceError):
    """The link was in use and is lost: hung up, reset by the peer, or no progress within the stated limit."""
