"""A mobile between its links, and a unit that it calls, in the shell that runs them over streams, to be learned.

A word is asked within one run of trio, by a clock that only letters move. A letter is over once everybody waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import trio
import trio.testing
from black_box import CLOSED, NOTHING, Box, Letter, Player
from intruder import Intruder
from networked_players import CONVEYANCE, VOUCHED
from wire_players import holds as guards
from world import SERIAL, Seeded, World

from insitu.protocol.channel.trust import MobileCalling
from insitu.protocol.channel.trust.calling import by_key
from insitu.protocol.channel.trust.conveyed import NumberConveyed
from insitu.protocol.engine import InsituError, KeyKind, StateError
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.messages import Conveyance, FaultNotice, Message, Purpose, Verdict, decode_message, encode_message
from insitu.protocol.parties.mobile import MOBILE, MODULE_SECONDS
from insitu.protocol.parties.mobile_call import CALLED
from insitu.shell.calls import Calls
from insitu.shell.mobile import convey
from insitu.transports.errors import TransportError
from insitu.transports.framing import FrameChannel
from insitu.transports.links import Link
from insitu.transports.memory import memory_pair


class OnStream(Player):
    """A party at one end of a stream; at the other, whoever says the letters.

    Attributes:
        here, there: both ends of the stream.
        heard, forwarded, told: what came over it, over the party's second link, and to its person, by name.
        clock: of both.
        tells_by_error: how it ended is seen by the error that its person sees, and not over the stream.

    """

    overhears = True
    tells_by_error = False

    def __init__(self) -> None:
        super().__init__()
        self.here, self.there = memory_pair()
        self.channel = FrameChannel(self.there)
        self.heard: list[str] = []
        self.forwarded: list[str] = []
        self.told: list[str] = []
        self.clock = trio.testing.MockClock()
        self.met = self.over = False
        self._said: set[str] = set()
        self._asked = trio.Event()
        self._word: Verdict | None = None

    async def party(self) -> None:
        """What the party does."""
        raise NotImplementedError

    async def began(self) -> None:
        """What the other end does first."""

    def came(self, frame: bytes) -> list[bytes]:
        """A frame of the party's; what is sent in return at once."""
        raise NotImplementedError

    def frames_of(self, message: Message) -> list[bytes]:
        """A message as this peer sends it."""
        raise NotImplementedError

    # the second link

    async def word(self, asked: object) -> Verdict:
        """What the other end of the second link says, once somebody does."""
        self.forwarded.append(type(asked).__name__)
        self._asked = trio.Event()
        self._word = None
        await self._asked.wait()
        assert self._word is not None
        return self._word

    def answer(self, word: Verdict) -> None:
        """It says so."""
        if not self._said & {"Conveyance", "NumberConveyed"}:
            raise StateError("nobody was asked")
        self._word = word
        self._asked.set()

    def cut(self) -> None:
        """The stream is lost, which is nobody's fault."""
        self.tells_by_error = False
        self.there.close()

    # letters

    async def ask(self, letters: list[Letter]) -> list[str]:
        """A whole word; what came back to each letter."""
        async with trio.open_nursery() as nursery:
            answers = [await self._one(letter, nursery) for letter in letters]
            nursery.cancel_scope.cancel()
        return answers

    async def _one(self, letter: Letter, nursery: trio.Nursery) -> str:
        if letter.opens == self.met or self.over:
            return NOTHING
        self.heard.clear()
        self.forwarded.clear()
        try:
            if letter.opens:
                self.met = True
                nursery.start_soon(self._run)
                nursery.start_soon(self._carry)
                await self.began()
            elif letter.say is not None:
                await self._send(self.frames_of(letter.say(self)))
            elif letter.do is not None:
                letter.do(self)
        except StateError:
            return "refused here"
        await trio.testing.wait_all_tasks_blocked()
        self._said.update(self.forwarded)
        ended = [*self.told, CLOSED] if self.over else []
        return ", ".join((*self.heard, *self.forwarded, *ended)) or NOTHING

    async def _run(self) -> None:
        try:
            await self.party()
        except (InsituError, TransportError) as error:
            fault = getattr(error, "fault", None)
            if fault is not None and self.tells_by_error:
                self.told.append(f"fault {fault.name}")
        self.over = True

    async def _carry(self) -> None:
        try:
            while (frame := await self.channel.receive_frame()) is not None:
                await self._send(self.came(frame))
        except (TransportError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _send(self, frames: list[bytes]) -> None:
        try:
            for frame in frames:
                await self.channel.send_frame(frame)
        except (TransportError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass


class StreamBox(Box):
    """Asks a word within one run of trio."""

    _begin: Callable[[], Any]

    def query(self, word: tuple[str, ...]) -> list[str]:
        """The answers to a word."""
        player = self._begin()
        self.num_queries += 1
        self.num_steps += len(word)
        letters = [self._letters[name] for name in word]
        return trio.run(player.ask, letters, clock=player.clock)


LOST = Letter("the link is lost", "ChannelLost", do=lambda me: me.cut())  # type: ignore[attr-defined]
NO_NUMBER = Conveyance(serial=SERIAL, binding=CONVEYANCE.binding)
OTHERS = Conveyance(serial="SN-2", binding=bytes(32), random=bytes(16))
ABOUT_OTHERS = Verdict(serial="SN-2", binding=bytes(32))
REFUSED = Verdict(serial=SERIAL)


# The mobile, at its module -----------------------------------------------------------------------------------


class MobileAtModule(OnStream):
    """A mobile at the module at which its person stands, with a way to the unit."""

    table = MOBILE
    tells_by_error = True

    async def party(self) -> None:
        """It conveys."""
        await convey(self.here, SERIAL, _Far(self), entropy=Seeded("mobile"))

    def came(self, frame: bytes) -> list[bytes]:
        """What the mobile says to the module."""
        self.heard.append(type(decode_message(frame)).__name__)
        return []

    def frames_of(self, message: Message) -> list[bytes]:
        """What the module says to the mobile."""
        return [encode_message(message)]

    letters = (
        Letter("plugged in", "Begun"),
        Letter("a number", "Conveyance", guards("the_number_is_there", "it_is_that_module"), lambda _: CONVEYANCE),
        Letter("make one", "Conveyance", guards("it_is_that_module"), lambda _: NO_NUMBER),
        Letter("another module's", "Conveyance", say=lambda _: OTHERS),
        Letter("the unit vouches", "Verdict", guards("the_unit_vouches"), do=lambda me: me.answer(VOUCHED), own=True),  # type: ignore[attr-defined]
        Letter("it vouches for another", "Verdict", do=lambda me: me.answer(ABOUT_OTHERS), own=True),  # type: ignore[attr-defined]
        Letter("it refuses", "Verdict", do=lambda me: me.answer(REFUSED), own=True),  # type: ignore[attr-defined]
        LOST,
        Letter("silence", "DeadlinePassed", do=lambda me: me.clock.jump(MODULE_SECONDS + 1)),  # type: ignore[attr-defined]
    )


class _Far:
    """The mobile's way to the unit."""

    def __init__(self, player: OnStream) -> None:
        self._player = player

    async def ask(self, conveyance: Conveyance, _: object) -> Verdict:
        """See FarLink."""
        return await self._player.word(conveyance)


# The unit that is called -------------------------------------------------------------------------------------


class _Board:
    """Where the session is that a conveyance is for."""

    def __init__(self, player: UnitIsCalled, mobile: str) -> None:
        self._player = player
        self._mobile = mobile

    def known(self) -> frozenset[str]:
        """See Switchboard."""
        return frozenset({self._mobile})

    async def convey(self, said: NumberConveyed) -> Verdict:
        """See Switchboard."""
        return await self._player.word(said)


class UnitIsCalled(OnStream):
    """A unit that knows one mobile, which calls; a session with the module knows the answer, in its time."""

    table = CALLED

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        card, self.vault = self.world.card, self.world.vault("phone")
        self.key = self.vault.generate("mobile", KeyKind.P256, b"")
        board: Any = _Board(self, by_key(self.key.public))
        about: dict[str, Any] = {"tell": lambda _: None, "entropy": Seeded("called"), "now": self.world.clock}
        self.calls = Calls(board, "Bank", card.authentication, card.keys, **about)
        self.intruder: Intruder | None = None

    async def party(self) -> None:
        """It takes the call."""
        await self.calls.attend(Link("tcp", "mobile", attests_wired=False, stream=self.here))

    async def began(self) -> None:
        """The mobile begins the handshake."""
        unit = key_digest(self.world.card.authentication.public)
        self.intruder = Intruder(MobileCalling.of("mobile", self.key, unit), self.vault, Purpose.CONVEY)
        await self._send(self._waiting())

    def came(self, frame: bytes) -> list[bytes]:
        """For the mobile."""
        assert self.intruder is not None
        mark = len(self.intruder.got)
        self.intruder.receive(frame)
        self.heard += [
            f"fault {each.code.name}" if isinstance(each, FaultNotice) else type(each).__name__
            for each in self.intruder.got[mark:]
        ]
        return self._waiting()

    def frames_of(self, message: Message) -> list[bytes]:
        """What the mobile says."""
        assert self.intruder is not None
        self.intruder.say(message)
        return self._waiting()

    def _waiting(self) -> list[bytes]:
        assert self.intruder is not None
        frames, self.intruder.frames = list(self.intruder.frames), deque()
        return frames

    letters = (
        Letter("call", "ChannelOpened", guards("it_is_a_call")),
        Letter("a conveyance", "Conveyance", guards("there_is_a_number"), lambda _: CONVEYANCE),
        Letter("one without a number", "Conveyance", say=lambda _: NO_NUMBER),
        Letter("the session's word", "WordFound", do=lambda me: me.answer(VOUCHED), own=True),  # type: ignore[attr-defined]
        Letter("a unit's message", "Verdict", say=lambda _: VOUCHED),
        LOST,
    )


ON_STREAMS = (MobileAtModule, UnitIsCalled)
