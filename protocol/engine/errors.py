"""The errors of this library, by whose fault they are. No other exception is ever raised on purpose.

Only the base types live here; a layer that needs a finer one derives it beside the code that raises it.
Every error says who, what was expected and what came, in fields that programs can read; the text is made
from the fields. Nothing secret may be put into a field.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Fault(IntEnum):
    """What a peer is told of a refusal: one code and nothing else (SECURITY: resource limits)."""

    UNEXPECTED = 1
    """A message that the present state does not accept."""
    MALFORMED = 2
    """Bytes that are not a message."""
    UNTRUSTED = 3
    """A credential, certificate, signature or proof that does not hold."""
    UNSUPPORTED = 4
    """A version, suite, method, option or policy that this side does not offer."""
    TIMEOUT = 5
    """The other side was waited for in vain."""
    UNAVAILABLE = 6
    """This side cannot go on now (store, token or approval missing)."""
    BUSY = 7
    """What this side needs serves others now: come again soon."""
    LOCKED = 8
    """Too many wrong PINs: nothing can be approved or signed before somebody unlocks it."""


class InsituError(Exception):
    """Base of all errors: `who` found the fault, what was `expected`, what was `got` instead.

    Attributes:
        summary: one clause without a full stop.
        who: the party or part that noticed ("module", "card", "codec").
        expected: what would have been accepted; empty where that says nothing more.
        got: what came instead; never a secret.

    """

    exit_code: ClassVar[int] = 1

    def __init__(self, summary: str, *, who: str = "", expected: object = "", got: object = "") -> None:
        self.summary = summary
        self.who = who
        self.expected = str(expected)
        self.got = str(got)
        super().__init__(summary)

    def __str__(self) -> str:
        """One line: who: summary (expected ..., got ...), safe to show on a terminal or in a log."""
        text = f"{self.who}: {self.summary}" if self.who else self.summary
        details = [f"{word} {value}" for word, value in (("expected", self.expected), ("got", self.got)) if value]
        return _printable(f"{text} ({', '.join(details)})" if details else text)


class UsageError(InsituError):
    """The caller's fault: a wrong argument, file, passphrase or call. Exit code 2."""

    exit_code = 2


class ProtocolError(InsituError):
    """The peer's fault: it sent what the protocol does not allow, or nothing. Exit code 3.

    Attributes:
        fault: the one code that the peer may be told.

    """

    exit_code = 3

    def __init__(
        self,
        summary: str,
        *,
        who: str = "",
        expected: object = "",
        got: object = "",
        fault: Fault = Fault.UNTRUSTED,
    ) -> None:
        super().__init__(summary, who=who, expected=expected, got=got)
        self.fault = fault


class EnvironmentFault(InsituError):
    """Neither side's fault: a port, disk, token or store that does not do its work. Exit code 4."""

    exit_code = 4


class StateError(InsituError):
    """The caller asked for what the present durable state does not allow. Exit code 5."""

    exit_code = 5


def _printable(text: str) -> str:
    """The text with line breaks and control characters spelled out: part of it may be a peer's words."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
