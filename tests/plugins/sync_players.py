"""A card that brings its log and the central system that reads it, each before a real peer, to be learned.

A log grows and a table knows no numbers: so the log is so long that no word comes to its end entry by entry; a letter
that would is an error of the test.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from black_box import LOST, Letter, Player, runs_out
from intruder import Intruder, Trap
from pump import syncing
from wire_players import holds
from world import NOW, Beginning, World, cheap_pins

from insitu.protocol.channel.trust import CardEnrolling, CentralSyncing
from insitu.protocol.engine import Fault
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.messages import CardRole, LogOffered, LogPart, LogRead, LogWanted, Message, Purpose
from insitu.protocol.parties.card_syncing import CARD_SYNCING
from insitu.protocol.parties.central_syncing import CENTRAL_SYNCING
from insitu.protocol.parties.log_heads import LogReceipt, message_to_sign, signed
from insitu.protocol.parties.log_verdict import receipt_for

CERTIFICATES: Final = 8
"""That a card makes in each stretch of its log; an intent and a result each."""


# The card ----------------------------------------------------------------------------------------------------


class CardBringsLog(Player):
    """A card before the central system that it means, once."""

    table = CARD_SYNCING

    def __init__(self) -> None:
        super().__init__()
        self.world = World(begun=_written(1))

    def meet(self) -> Trap:
        """The central system's end."""
        world, central = self.world, self.world.central
        terms = CentralSyncing.of(central.record.name, central.key, central.issuers())
        return Trap(syncing(world).sides[0], Intruder(terms, central.keys))

    @property
    def lines(self) -> int:
        """How long the log is."""
        return len(self.world.card.signed_log().log)

    def receipt(self, *, forged: bool = False) -> Message:
        """That the central system has the log; forged, by a key that is none."""
        card, central = self.world.card, self.world.central
        log = card.signed_log().log
        receipt: LogReceipt = receipt_for(central.record.name, card.customer.fingerprint, log, NOW)
        signature = central.keys.sign(central.key, message_to_sign(receipt.payload))
        return LogRead(signed(receipt.payload, bytes(len(signature)) if forged else signature))

    letters = (
        Letter("meet", "ChannelOpened", holds("central_is_the_one_that_was_meant")),
        Letter("from the beginning", "LogWanted", holds("there_is_so_much"), lambda _: LogWanted(0)),
        Letter("after the last", "LogWanted", holds("there_is_so_much"), lambda me: LogWanted(me.lines)),  # type: ignore[attr-defined]
        Letter("more than there is", "LogWanted", say=lambda me: LogWanted(me.lines + 1)),  # type: ignore[attr-defined]
        Letter("it is read", "LogRead", say=lambda me: me.receipt()),  # type: ignore[attr-defined]
        Letter("a forged receipt", "LogRead", say=lambda me: me.receipt(forged=True), unkept=Fault.UNTRUSTED),  # type: ignore[attr-defined]
        Letter("a card's message", "LogPart", say=lambda _: LogPart((b"{}",))),
        LOST,
        runs_out("central"),
    )


# The central system ------------------------------------------------------------------------------------------


class CentralReadsLog(Player):
    """A central system that has not read anything of the log yet, before its card, once."""

    table = CENTRAL_SYNCING
    stretches = 1

    def __init__(self) -> None:
        super().__init__()
        self.world = World(begun=_written(self.stretches))
        self.world.clock.at += 3600
        self.export = self.world.card.signed_log()

    def meet(self) -> Trap:
        """The card's end."""
        world, card = self.world, self.world.card
        meant = key_digest(world.central.key.public)
        terms = CardEnrolling.of(card.customer, card.unit, card.authentication, meant, now=world.clock())
        return Trap(syncing(world).sides[1], Intruder(terms, card.keys, Purpose.SYNC))

    def offer(self, entries: int | None = None) -> Message:
        """How far the log goes, or another number."""
        return LogOffered(len(self.export.log) if entries is None else entries, self.export.head or b"")

    def lacking(self) -> list[bytes]:
        """What the central system asked for last."""
        wanted = [each.after for each in self.live.intruder.got if isinstance(each, LogWanted)]
        return [entry.line for entry in self.export.log[wanted[-1] if wanted else 0 :]]

    def next(self) -> Message:
        """One entry, which is not the last one."""
        lines = self.lacking()
        assert len(lines) > 2, "the log is too short for this word"
        return LogPart((lines[0],))

    def rest(self, *more: bytes) -> Message:
        """All that is lacking, and more."""
        return LogPart((*self.lacking(), *more))

    def disordered(self) -> Message:
        """All that is lacking, the last two in each other's place."""
        *lines, one, other = self.lacking()
        return LogPart((*lines, other, one))

    letters: tuple[Letter, ...] = (
        Letter("meet", "ChannelOpened", holds("card_is_known")),
        Letter("so far it goes", "LogOffered", say=lambda me: me.offer()),  # type: ignore[attr-defined]
        Letter("an entry", "LogPart", holds("more_is_to_come"), lambda me: me.next()),  # type: ignore[attr-defined]
        Letter("the rest", "LogPart", holds("it_is_not_of_the_future"), lambda me: me.rest()),  # type: ignore[attr-defined]
        Letter(
            "the rest, disordered",
            "LogPart",
            say=lambda me: me.disordered(),  # type: ignore[attr-defined]
            answers={"LookUp verdict on a log": "LogFails"},
        ),
        Letter("nothing", "LogPart", objects=holds("more_is_to_come"), say=lambda _: LogPart(())),
        Letter(
            "more than that",
            "LogPart",
            objects=holds("more_is_to_come"),
            say=lambda me: me.rest(b"{}"),  # type: ignore[attr-defined]
        ),
        Letter("a central system's message", "LogWanted", say=lambda _: LogWanted(0)),
        LOST,
        runs_out("card"),
    )


class CentralReadsOn(CentralReadsLog):
    """A central system that has read the log before; the card may show one that is shorter by now."""

    stretches = 2
    letters = (
        *CentralReadsLog.letters[:2],
        Letter("it is shorter", "LogOffered", holds("its_log_got_shorter"), lambda me: me.offer(1)),  # type: ignore[attr-defined]
        *CentralReadsLog.letters[2:5],
        *CentralReadsLog.letters[-2:],
    )


@cache
def _written(stretches: int) -> Beginning:
    """A card with a log, of which all but the last stretch was read."""
    world = World()
    with cheap_pins():
        for stretch in range(stretches):
            if stretch:
                syncing(world).start().finish()
            for number in range(CERTIFICATES):
                world.clock.at += 1
                world.certify(CardRole.MODULE, f"SN-{stretch}{number}", world.card.authentication.public)
    return Beginning.of(world)


SYNCING: Final[tuple[type[Player], ...]] = (CardBringsLog, CentralReadsLog, CentralReadsOn)
