"""The unit's side of mobiles (A9): which it believes, where they call, and which session gets what they convey.

A conveyance goes to all sessions that wait for its module, until one vouches: at most one has that channel; one that
has another is ended by it, as if it were alone. So who opens further sessions for the same serial number gains
nothing, and does not keep the right one from being found. Only mobiles that are believed come that far.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import UnitCalled
from ..protocol.channel.trust.calling import by_caller, by_certificate
from ..protocol.channel.trust.conveyed import NumberConveyed
from ..protocol.driver import Orders, run
from ..protocol.engine import InsituError, KeyHandle, ProtocolError, UsageError, given
from ..protocol.keys.vault import Vault
from ..protocol.messages import (
    CallReported,
    NumberMaker,
    Purpose,
    Verdict,
    encode_message,
)
from ..protocol.parties.mobile import at_unit
from ..protocol.parties.mobile_call import CALL_SECONDS, CALLED, CalledData, CalledState, WordFound
from ..protocol.ports import Ports
from ..protocol.progress import MobileHeard
from ..protocol.session import Session
from ..transports.errors import TransportError
from ..transports.framing import FrameChannel
from ..transports.links import Address, Link, serve_links
from ..transports.tcp import PeerLimits
from .gateway import Gateway
from .keeping import Show, ignore, wall_clock
from .second_link import SecondLink
from .trusting import Mobiles

LONGEST_CONVEYANCE: Final = 160
"""Bytes."""
WORD_SECONDS: Final = 20.0
"""How long a conveyance waits for the number to come through the channel as well; the mobile waits a little longer."""
CALLERS: Final = PeerLimits(peers=1000, per_host=64)
"""Who may be calling at once."""
LARGEST_LIST: Final = 1 << 20
"""Bytes of a file of mobiles."""


# Which mobiles -----------------------------------------------------------------------------------------------


class KnownMobiles:
    """The mobiles that a unit believes, in a file that is read anew for each call: who is struck off counts no more.

    A line for each: `key` and `certificate` with a SHA-256 fingerprint, `caller` with a number such as +4930123456;
    behind it, whatever people want to note. Lines that begin with # do not count.

    Args:
        path: the file.

    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> Mapping[str, str]:
        """What people noted, by the name of the mobile.

        Raises:
            UsageError: the file cannot be read, or a line is none of these.

        """
        try:
            with self._path.open("rb") as file:
                content = file.read(LARGEST_LIST + 1)
            text = content.decode()
        except (OSError, ValueError) as error:
            raise UsageError(f"file of mobiles {self._path}", who="unit", expected="text", got=error) from None
        if len(content) > LARGEST_LIST:
            raise UsageError(f"file of mobiles {self._path}", who="unit", expected=f"{LARGEST_LIST} bytes at most")
        lines = enumerate(text.splitlines(), 1)
        return dict(self._read(number, line) for number, line in lines if line.strip() and not line.startswith("#"))

    def _read(self, number: int, line: str) -> tuple[str, str]:
        kind, _, rest = line.strip().partition(" ")
        what, _, note = rest.strip().partition(" ")
        if kind in ("key", "certificate"):
            digits = what.replace(":", "").lower()
            if len(digits) == 64 and not set(digits) - set("0123456789abcdef"):
                return f"{kind} {digits}", note.strip()
        elif kind == "caller":
            try:
                return by_caller(CallReported(what).caller), note.strip()
            except UsageError:
                pass
        expected = "key SHA256, certificate SHA256 or caller +NUMBER, and a note"
        raise UsageError(f"{self._path}, line {number}", who="unit", expected=expected, got=repr(line[:80]))


# Which session -----------------------------------------------------------------------------------------------


class _Place:
    """A session that waits for a mobile, and what it last said to one."""

    def __init__(self, orders: Orders | None) -> None:
        self.link = SecondLink(self._forward, orders)
        self._one = trio.Lock()
        self._word: Verdict | None = None
        self._said = trio.Event()

    def _forward(self, message: object) -> None:
        if not isinstance(message, Verdict):
            raise UsageError("not for a mobile", who="unit", expected="Verdict", got=type(message).__name__)
        self._word = message
        self._said.set()

    async def ask(self, said: NumberConveyed) -> Verdict | None:
        """What the session says; None: it is over, has no place for that, or has not heard the number in time."""
        with trio.move_on_after(WORD_SECONDS):
            async with self._one:
                self._word, self._said = None, trio.Event()
                try:
                    await self.link.report(said).wait()
                except InsituError:
                    return self._word
                if not self.link.closed:
                    await self._said.wait()
                return self._word
        return None


def _open(places: list[_Place]) -> list[_Place]:
    return [place for place in places if not place.link.closed]


class Switchboard:
    """Where conveyances and the sessions that wait for them meet.

    Args:
        known: the mobiles that are believed, by name; asked for each call.
        maker: who makes the numbers.
        show: gets a MobileHeard for each conveyance.

    """

    def __init__(
        self,
        known: Callable[[], Mapping[str, str]],
        *,
        maker: NumberMaker = NumberMaker.UNIT,
        show: Show = ignore,
    ) -> None:
        self._known = known
        self._maker = maker
        self._show = show
        self._places: dict[str, list[_Place]] = {}

    def known(self) -> frozenset[str]:
        """The names of the mobiles that are believed now.

        Raises:
            UsageError: nobody can tell.

        """
        return frozenset(self._known())

    def place(self, serial: str) -> Mobiles:
        """For one session with the module `serial`, which begins now.

        Raises:
            UsageError: nobody can tell which mobiles are believed.

        """
        mobiles, found = self.place_for_whoever()
        found(serial)
        return mobiles

    def place_for_whoever(self, orders: Orders | None = None) -> tuple[Mobiles, Callable[[str], None]]:
        """For one session, which begins now; and what is to be told its module's serial number, once that is pinned.

        Args:
            orders: of the session, where it takes others than a mobile's.

        Raises:
            UsageError: nobody can tell which mobiles are believed.

        """
        known, place = self.known(), _Place(orders)

        def found(serial: str) -> None:
            self._places[serial] = [*self._waiting(serial), place]

        return Mobiles(known, place.link, self._maker), found

    def _waiting(self, serial: str) -> list[_Place]:
        """Those that still do; what is known of others is forgotten, whatever serial numbers they gave."""
        self._places = {name: left for name, places in self._places.items() if (left := _open(places))}
        return self._places.get(serial, [])

    async def convey(self, said: NumberConveyed) -> Verdict:
        """What the sessions say to a conveyance: the word of the one that it is for, or a refusal.

        Raises:
            UsageError: nobody can tell which mobiles are believed.

        """
        words: list[Verdict] = []

        async def ask(place: _Place) -> None:
            word = await place.ask(said)
            if word is not None and word.binding is not None:
                words.append(word)
                nursery.cancel_scope.cancel()

        if said.mobile in self.known():
            async with trio.open_nursery() as nursery:
                for place in self._waiting(said.serial):
                    nursery.start_soon(ask, place)
        self._show(MobileHeard("unit", said.serial, said.mobile, agrees=bool(words)))
        return words[0] if words else Verdict(serial=said.serial)


# Where they call ---------------------------------------------------------------------------------------------


class Calls:
    """Takes the calls of mobiles.

    Args:
        board: gets what they convey.
        name, key, keys: of the unit, its authentication key, and where that lies: for calls over a channel of ours.
        tell: gets a line for each error.
        entropy, now: random bytes, unix seconds.

    """

    def __init__(
        self,
        board: Switchboard,
        name: str,
        key: KeyHandle,
        keys: Vault,
        *,
        tell: Callable[[str], None],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
    ) -> None:
        self._board = board
        self._name = name
        self._key = key
        self._keys = keys
        self._tell = tell
        self._entropy = entropy
        self._now = now

    async def serve(
        self, address: Address, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take calls at an address, until cancelled: over tls by certificate, over tcp over a channel of ours.

        Raises:
            UsageError: another kind of link.
            LinkError: why nobody can call there.

        """
        if address.kind not in ("tls", "tcp"):
            raise UsageError("where mobiles call", who="unit", expected="tls:... or tcp:HOST:PORT", got=str(address))
        await serve_links(address, self.attend, limits=CALLERS, task_status=task_status)

    async def serve_gateway(
        self, gateway: Gateway, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take calls that a network connects, until cancelled.

        Raises:
            LinkError: why it cannot.

        """

        async def attend(caller: str, channel: FrameChannel) -> None:
            await self._told(partial(self._hear, by_caller(caller), channel))

        await gateway.serve(attend, task_status=task_status)

    async def attend(self, link: Link) -> None:
        """One call; what goes wrong is told, and concerns no other."""
        if link.kind == "tls":
            await self._told(partial(self._hear, by_certificate(link.certificate), FrameChannel(link.stream)))
        else:
            await self._told(partial(self._hear_by_channel, link.stream))

    async def _told(self, call: Callable[[], Awaitable[None]]) -> None:
        try:
            with trio.move_on_after(CALL_SECONDS):
                await call()
        except (InsituError, TransportError) as error:
            self._tell(f"a mobile's call: {error}")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._tell("a mobile's call: it hung up")

    async def _hear(self, mobile: str, channel: FrameChannel) -> None:
        """A call whose link tells which mobile it is."""
        if mobile not in self._board.known():
            raise ProtocolError("a mobile", who="unit", expected="one that this unit was told of", got=mobile)
        frame = await channel.receive_frame(LONGEST_CONVEYANCE)
        if frame is None:
            return
        heard = at_unit(frame)
        said = NumberConveyed(heard.serial, heard.binding, given(heard.random), mobile)
        await channel.send_frame(encode_message(await self._board.convey(said)))

    async def _hear_by_channel(self, stream: trio.abc.Stream) -> None:
        """A call whose mobile proves itself in the channel."""
        failed: list[InsituError] = []

        async def find_word(said: NumberConveyed) -> None:
            try:
                word = await self._board.convey(said)
            except InsituError as error:
                failed.append(error)
                word = Verdict(serial=said.serial)
            link.report(WordFound(word))

        def forward(message: object) -> None:
            if not isinstance(message, NumberConveyed):
                raise UsageError("not what a mobile conveys", who="unit", got=type(message).__name__)
            nursery.start_soon(find_word, message)

        link = SecondLink(forward)
        terms = UnitCalled.of(self._name, self._key, self._board.known())
        handshake = Handshake.respond(terms, frozenset({Purpose.CONVEY}), self._entropy(64))
        session = Session(CALLED, CalledState.LISTENING, CalledData(), handshake)
        async with trio.open_nursery() as nursery:
            try:
                await run(session, stream, Ports(self._keys, forward=forward), now=self._now, orders=link.orders)
            except (InsituError, TransportError) as error:
                failed.append(error) if isinstance(error, InsituError) else self._tell(str(error))
            nursery.cancel_scope.cancel()
        if failed:
            raise failed[0]
