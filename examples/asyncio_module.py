"""A module at work on asyncio: the sans-IO session, driven by a loop of one's own. trio does not run here.

    python asyncio_module.py STORE PASSPHRASE_FILE HOST PORT CARD ACCOUNT AMOUNT CURRENCY

It connects to the central system, asks for one authorization, "pays" what was instructed, waits until the host has the
outcome, and leaves. `Runner` is what another event loop needs; docs/embedding.md explains it step by step.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from insitu import InsituError, ProtocolError, StateError
from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.trust import ModuleAtWork
from insitu.protocol.engine import Close, Effect, Fault, StartTimer, StopTimer
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.messages import ModuleRecord, Purpose
from insitu.protocol.parties.work import WORK
from insitu.protocol.parties.work_data import (
    AuthorizationAsked,
    AuthorizationWanted,
    PayloadReceived,
    PayOutInstructed,
    TimePassed,
    TransactionSettled,
    WorkData,
    WorkState,
)
from insitu.protocol.ports import Ports, perform
from insitu.protocol.progress import StateEntered
from insitu.protocol.session import HANDSHAKE_FRAME, SEND_SECONDS, Outcome, Session, Transmit
from insitu.protocol.stores.sealed import StoreKind
from insitu.shell.keeping import Keeping, steady_clock
from insitu.shell.passphrase import passphrase
from insitu.transports.errors import FrameError
from insitu.transports.framing import MAX_FRAME, FrameDecoder, encode_frame

N = TypeVar("N")

LOOK_SECONDS = 60.0
"""How often the session is told what time it is."""


@dataclass(frozen=True)
class Expired:
    """A timer ran out."""

    timer: str


@dataclass(frozen=True)
class Lost:
    """The link is gone."""

    reason: str


@dataclass(frozen=True)
class Wanted:
    """A local event, and where its refusal goes."""

    event: object
    taken: asyncio.Future[None]

    def settle(self, error: InsituError | None) -> None:
        """Tell whoever still waits."""
        if self.taken.done():
            return
        if error is None:
            self.taken.set_result(None)
        else:
            self.taken.set_exception(error)


class Runner:
    """Runs one session over a pair of asyncio streams.

    Everything that happens goes through one queue, and only `run` touches the session: so its steps cannot interleave.
    """

    def __init__(
        self,
        session: Session[Any, Any],
        ports: Ports,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._session = session
        self._ports = ports
        self._reader = reader
        self._writer = writer
        self._happened: asyncio.Queue[bytes | Expired | Lost | Wanted | TimePassed | FrameError] = asyncio.Queue()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def run(self) -> None:
        """Until the session is closed.

        Raises:
            InsituError: it did not end in good order.

        """
        session = self._session
        tasks = asyncio.create_task(self._read()), asyncio.create_task(self._watch_clocks())
        try:
            await self._perform(session.start(now()))  # step 1
            while not session.closed:
                match await self._happened.get():  # step 2
                    case bytes(frame):
                        await self._perform(session.receive(frame, now()))
                    case Expired(timer):
                        await self._perform(session.expire(timer, now()))
                    case Lost(reason):
                        await self._perform(session.lost(reason))
                    case FrameError() as error:  # the peer's fault, which it may be told
                        await self._perform(session.fail(of_the_peer(error, session.party)))
                    case Wanted() as wanted:
                        await self._obey(wanted)
                    case TimePassed() as passed:
                        with suppress(StateError):  # the handshake still runs
                            await self._perform(session.submit(passed, now()))
        finally:
            for task in tasks:
                task.cancel()
            for handle in self._timers.values():
                handle.cancel()
            while not self._happened.empty():
                if isinstance(left := self._happened.get_nowait(), Wanted):
                    left.settle(StateError("the session ended first", who=session.party))
            self._writer.close()
        if session.error is not None:  # step 3
            raise session.error

    async def submit(self, event: object) -> None:
        """Have the session take a local event.

        Raises:
            InsituError: it was refused.

        """
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._happened.put(Wanted(event, taken))
        await taken

    def leave(self) -> None:
        """End the session from this side."""
        self._happened.put_nowait(Lost("left from this side"))

    async def _obey(self, wanted: Wanted) -> None:
        try:
            await self._perform(self._session.submit(wanted.event, now()))
            error = self._session.error  # a port failed on the way
        except InsituError as refused:  # the session is as before
            error = refused
        wanted.settle(error)

    async def _read(self) -> None:
        decoder = FrameDecoder()
        try:
            while data := await self._reader.read(65_536):
                decoder.feed(data)
                while frame := decoder.next_frame(MAX_FRAME if self._session.is_open else HANDSHAKE_FRAME):
                    await self._happened.put(frame)
            decoder.finish()
            await self._happened.put(Lost("the other side ended the link"))
        except FrameError as error:
            await self._happened.put(error)
        except OSError as error:
            await self._happened.put(Lost(str(error)))

    async def _watch_clocks(self) -> None:
        """Symmetric keys grow older by what the clock shows, and by what has really passed where it is set back."""
        while True:
            await self._happened.put(TimePassed(now(), steady_clock()))
            await asyncio.sleep(LOOK_SECONDS)

    async def _perform(self, outcome: Outcome) -> None:
        """In order. What a port answers leads to further effects; what fails undoes the step."""
        effects: deque[Effect | Transmit] = deque(outcome)
        while effects:
            match effects.popleft():
                case Transmit(frames):
                    effects.extend(await self._send(b"".join(map(encode_frame, frames))))
                case StartTimer(timer, seconds):
                    self._stop(timer)
                    put, loop = self._happened.put_nowait, asyncio.get_running_loop()
                    self._timers[timer] = loop.call_later(seconds, put, Expired(timer))
                case StopTimer(timer):
                    self._stop(timer)
                case Close():
                    pass  # run() sees session.closed
                case effect:
                    try:
                        answer = perform(effect, self._ports)  # a write to a file; a slow store wants to_thread
                    except InsituError as error:
                        effects = deque(self._session.undone(error))
                    else:
                        if answer is not None:
                            effects.extend(self._session.answer(answer, now()))

    async def _send(self, data: bytes) -> Outcome:
        try:
            self._writer.write(data)
            await asyncio.wait_for(self._writer.drain(), SEND_SECONDS)
        except TimeoutError:
            return self._session.lost("the other side does not read")
        except OSError as error:
            return self._session.lost(str(error) or "link broken")
        return []

    def _stop(self, timer: str) -> None:
        if timer in self._timers:
            self._timers.pop(timer).cancel()


def of_the_peer(error: FrameError, party: str) -> ProtocolError:
    """The same as an error of the protocol."""
    return ProtocolError(error.summary, who=party, expected=error.expected, got=error.got, fault=Fault.MALFORMED)


def now() -> int:
    """Unix seconds."""
    return int(time.time())


class Notes:
    """The notes of a session, for whoever waits for one."""

    def __init__(self) -> None:
        self._shown: list[object] = []
        self._news = asyncio.Event()

    def show(self, note: object) -> None:
        """Take a note."""
        self._shown.append(note)
        self._news.set()

    async def wait_for(self, kind: type[N], fits: Callable[[N], bool] = lambda _: True) -> N:
        """The first note of this class that fits, now or later."""
        while True:
            for note in self._shown:
                if isinstance(note, kind) and fits(note):
                    return note
            self._news.clear()
            await self._news.wait()


async def pay(keeping: Keeping[ModuleRecord], host: str, port: int, payment: AuthorizationWanted) -> str:
    """One authorization at the host; what became of it."""
    record = keeping.record
    if record is None or record.key is None:
        raise StateError("the module is not personalized", who="module", expected="an operating module")
    secrets_here = (keeping.vault.find_secret(held.label) for held in record.keys)
    data = WorkData(record, tuple(secret for secret in secrets_here if secret is not None))
    terms = ModuleAtWork.of(record, keeping.vault.find(record.key))
    handshake = Handshake.initiate(terms, Purpose.OPERATE, secrets.token_bytes(64))
    session = Session(WORK, WorkState.OPERATING, data, handshake)

    notes = Notes()
    runner = Runner(session, keeping.ports(notes.show), *await asyncio.open_connection(host, port))
    running = asyncio.create_task(runner.run())

    async def business() -> str:
        await notes.wait_for(StateEntered, lambda note: note.state == WorkState.ONLINE.name)
        await runner.submit(payment)
        number = (await notes.wait_for(AuthorizationAsked)).number
        answer = await notes.wait_for(PayOutInstructed, lambda note: note.number == number)
        if answer.approved:
            await runner.submit(TransactionSettled(number, answer.amount))  # what the customer really got
            await notes.wait_for(PayloadReceived, lambda note: note.number > number)
        return f"{'pay out' if answer.approved else 'refused'} {answer.amount} {answer.reference}".strip()

    doing = asyncio.create_task(business())
    await asyncio.wait((running, doing), return_when=asyncio.FIRST_COMPLETED)
    if not doing.done():
        doing.cancel()
        await running  # raises why
        raise StateError("the host ended the session", who="module")
    runner.leave()
    with suppress(InsituError):  # that we left
        await running
    return doing.result()


def main() -> int:
    """Run it; an exit code as the commands have them."""
    store, passphrase_file, host, port, card, account, amount, currency = sys.argv[1:]
    payment = AuthorizationWanted(1, card, account, int(amount), currency)
    try:
        secret = passphrase(file=Path(passphrase_file))
        with SealedVault.open(Path(store), StoreKind.MODULE, secret, entropy=secrets.token_bytes) as vault:
            print(asyncio.run(pay(Keeping(vault, ModuleRecord), host, int(port), payment)))
    except InsituError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{host}:{port}: {error.strerror}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
