"""Both sides of the handshake before a peer with other suites, to be learned: what is named, how often, what follows.

RFC 9528 section 6.3: the responder refuses a suite by naming its own, and the initiator begins anew with one of them.
Neither goes on so for ever, and none of it lets a weaker suite pass where both have a better one (section 5.2.3).
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from handshake_players import ERROR, Frame, ModuleInitiates, Shaking, UnitResponds, named

from insitu.protocol.channel import handshake
from insitu.protocol.channel.edhoc.ead import encode_ead
from insitu.protocol.channel.edhoc.messages import ErrorCode, ErrorMessage, read_message_1, write_message_1
from insitu.protocol.channel.trust import SUITES
from insitu.protocol.messages.codec import DecodeError

BETTER, WEAKER = SUITES
FOREIGN: Final = 24
"""A suite that this library knows and no party of the protocol offers."""


def in_suites(frame: bytes, *suites: int) -> bytes:
    """A message_1 with another SUITES_I."""
    said = read_message_1(frame)
    return write_message_1(said.method, suites, said.g_x, said.c_i, encode_ead(said.ead))


class UnitNamesSuites(UnitResponds):
    """A unit before a module that selects another suite than both prefer, or one that it has not."""

    _TRIES: Final = {"another_try_is_left": len(SUITES)}
    led = (*UnitResponds.led, ("message 1 in a suite of others",) * (len(SUITES) + 1))
    letters = (
        UnitResponds.letters[0],
        Frame(
            "message 1 in a suite of others",
            {"LISTENING": "Message1Received"},
            limited=_TRIES,
            frame=lambda me: in_suites(me.first(), FOREIGN),  # type: ignore[attr-defined]
        ),
        Frame(
            "message 1 in a weaker suite",
            {"LISTENING": "Message1Received"},
            limited=_TRIES,
            frame=lambda me: in_suites(me.first(), BETTER, WEAKER),  # type: ignore[attr-defined]
        ),
        *UnitResponds.letters[2:],
    )

    def carry(self, _: object, frame: bytes) -> None:
        """The side sends; its peers do as if they had not heard what it names, and say again what they say."""
        if named(frame) == ERROR:
            self.said.append(ERROR)
        else:
            super().carry(_, frame)


def _named(name: str, *suites: int, **about: Any) -> Frame:
    frame = ErrorMessage(ErrorCode.WRONG_SUITE, suites=suites).encode()
    taken = dict.fromkeys(("OFFERED", "COMMITTED"), "ErrorReceived")
    return Frame(name, taken, frame=lambda _: frame, **about)


class ModuleIsToldSuites(ModuleInitiates):
    """A module that is told which suites would do: it begins anew once, with the other one that it has."""

    led = (*ModuleInitiates.led, ("an error that names ours",))
    letters = (
        *ModuleInitiates.letters[:2],
        *ModuleInitiates.letters[4:],
        _named("an error that names ours", *SUITES, limited={"another_suite_is_left": len(SUITES) - 1}),
        _named("an error that names what was offered", BETTER),
        _named("an error that names others", FOREIGN, FOREIGN + 1),
    )

    def carry(self, _: object, frame: bytes) -> None:
        """The side sends; what begins anew has peers that have the second suite only."""
        if _is_second_offer(frame):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(handshake, "SUITES", (WEAKER,))
                self.peers = [self.peer(other_key=each) for each in (False, True)]
        super().carry(_, frame)


def _is_second_offer(frame: bytes) -> bool:
    try:
        return len(read_message_1(frame).suites) > 1
    except DecodeError:
        return False


IN_OTHER_SUITES: Final[tuple[type[Shaking], ...]] = (UnitNamesSuites, ModuleIsToldSuites)
