"""A module at work: its sessions with the central system, and what the ATM controller wants meanwhile.

What the controller wants is taken at any time: by the session while one is open, otherwise at once, to be told at the
next contact. One owner, so that the durable record is never changed from two sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TypeVar

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import ModuleAtWork
from ..protocol.desk import Desk
from ..protocol.driver import Order, Orders, run
from ..protocol.engine import KeyHandle, SecretOperation, SecretUsage, StateError, given
from ..protocol.keys.port import KeyRefused
from ..protocol.messages import Authorize, HeldInstruction, ModuleCondition, ModuleRecord, OpenTransaction, Purpose
from ..protocol.parties.work import WORK
from ..protocol.parties.work_data import (
    AuthorizationAsked,
    AuthorizationWanted,
    InstructionCame,
    InstructionTaken,
    OutcomeWanted,
    PayloadGiven,
    PayloadKept,
    PayOutInstructed,
    Reckoning,
    ResetByHand,
    SecretAnswered,
    SecretWanted,
    TimePassed,
    TransactionSettled,
    WorkData,
    WorkState,
)
from ..protocol.parties.work_keys import why_unusable
from ..protocol.progress import StateEntered
from ..protocol.session import Session
from .aside import Aside
from .keeping import Keeping, Show

N = TypeVar("N")


def _rests(data: WorkData) -> WorkState:
    """Where the module is while no session runs."""
    return WorkState.OPERATING if data.record.condition is ModuleCondition.OPERATING else WorkState.RESET


class NotOperating(StateError):
    """The module was not personalized, or it was reset."""


class NotOnline(StateError):
    """No session with the central system is open for business."""


class Work:
    """The working side of a module. Made by Module.

    Args:
        keeping: its key memory and durable state.
        aside: the way to it from trio's thread.
        vouched: a monotonic counter vouches for the store (S8).
        legacy: older symmetric methods are admitted (L11).
        entropy, now, show: random bytes, unix seconds, notes and progress.
        steady: seconds by a clock that nobody can set (S8).

    Attributes:
        online: whether a session with the central system is open for business.

    """

    def __init__(
        self,
        keeping: Keeping[ModuleRecord],
        aside: Aside,
        *,
        vouched: bool,
        legacy: bool,
        entropy: Callable[[int], bytes],
        now: Callable[[], int],
        steady: Callable[[], int],
        show: Show,
    ) -> None:
        self._keeping = keeping
        self._aside = aside
        self._vouched = vouched
        self._legacy = legacy
        self._entropy = entropy
        self._now = now
        self._steady = steady
        self._outer_show = show
        self._asked: tuple[Authorize, ...] = ()
        self._reckoning = Reckoning()
        self._session: Session[WorkState, WorkData] | None = None
        self._orders: Orders | None = None
        self._scope: trio.CancelScope | None = None
        self._tags = count(1)
        self._waiting: dict[tuple[type, int], object] = {}
        self._arrived = trio.Event()
        self.online = False

    # Sessions

    async def session(self, stream: trio.abc.Stream, scope: trio.CancelScope, *, also_show: Show) -> None:
        """One session with the central system over `stream`, until either side ends it.

        Args:
            stream: the link; the caller closes it.
            scope: whoever cancels it ends the session.
            also_show: gets the notes of this session.

        Raises:
            InsituError: the session did not end in good order.

        """

        def show(note: object) -> None:
            also_show(note)
            self._show(note)

        key, data = await self._aside(self._begun)
        handshake = Handshake.initiate(ModuleAtWork.of(data.record, key), Purpose.OPERATE, self._entropy(64))
        session = Session(WORK, WorkState.OPERATING, data, handshake)
        self._orders = orders = Orders()
        self._session, self._scope = session, scope
        try:
            await run(session, stream, self._keeping.ports(show), now=self._now, orders=orders, scope=scope)
        finally:
            self._session, self._orders, self._scope, self.online = None, None, None, False
            self._wake()  # before the record is asked for: where nobody knows what the store holds, that fails
            self._remember(session.data)

    def _begun(self) -> tuple[KeyHandle | None, WorkData]:
        record = given(self._keeping.record)
        return None if record.key is None else self._keeping.vault.find(record.key), self._data()

    # What the controller wants

    async def authorize(self, card: str, account: str, amount: int, currency: str) -> PayOutInstructed:
        """Ask the central system, as often as the link breaks; its instruction.

        If the caller stops waiting, nothing is paid out: the central system is told so. After an approval, tell with
        `settle` what the customer got.

        Args:
            card: 12 to 19 digits.
            account: 1 to 34 characters.
            amount: minor units of the currency.
            currency: ISO 4217, three letters.

        Raises:
            UsageError: a field that cannot travel.
            NotOnline: the module is not online.
            NotOperating: it was reset meanwhile.
            StateError: too much is open.

        """
        if not self.online:
            raise NotOnline("no authorization now", who="module", expected="a session with the central system")
        tag = next(self._tags)
        note = await self._submit(AuthorizationWanted(tag, card, account, amount, currency), AuthorizationAsked, tag)
        try:
            return await self._await(PayOutInstructed, note.number)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await self.settle(note.number, 0)
            raise

    async def settle(self, number: int, paid: int) -> None:
        """Tell the central system what the customer got; it is durable when this returns, and told once.

        Args:
            number: of the authorization.
            paid: minor units; 0 where nothing was paid out.

        Raises:
            StateError: there is no such authorization, it is settled, or less was instructed.

        """
        await self._submit(TransactionSettled(number, paid))

    async def send(self, content: bytes) -> int:
        """Give the host a payload; its number. It is durable when this returns, and reaches the host once.

        Raises:
            UsageError: it is longer than PAYLOAD_MAX.
            StateError: too much is waiting.
            NotOperating: the module does not operate.

        """
        tag = next(self._tags)
        return (await self._submit(PayloadGiven(tag, content), PayloadKept, tag)).number

    async def use(self, usage: SecretUsage, operation: SecretOperation) -> bytes:
        """Use a symmetric key that the central system loaded; the MAC or the encrypted PIN block.

        Raises:
            SecretUnusable: there is no such key, it has expired, policy does not admit the method, or nobody vouches
                for the store since the program began; its class says which.
            NotOperating: the module does not operate.
            KeyRefused: the key is not for that, or the operation carries what no method takes, say a PIN of letters.

        """
        tag = next(self._tags)
        wanted = SecretWanted(tag, usage, operation, self._now(), self._steady())
        why = why_unusable(await self._present(), wanted) if self._is_operating else None  # before anything is erased
        try:
            answer = await self._submit(wanted, SecretAnswered, tag)
        except StateError as error:
            raise why or error from None
        if answer.result is None:
            raise why or KeyRefused(answer.reason, who="module", expected=f"what the key for {usage.value} can do")
        return answer.result

    async def take(self, number: int) -> None:
        """Say that an instruction of the host is done with; it is not shown again.

        Raises:
            StateError: no such instruction waits.

        """
        await self._submit(InstructionTaken(number))

    async def look_at_clock(self) -> None:
        """Let the symmetric keys grow older, and erase those whose time is over. Call it every minute or so (S8)."""
        if self._is_operating:
            await self._submit(TimePassed(self._now(), self._steady()))

    def reset_by_hand(self) -> None:
        """Erase keys and certificates (L8). Whatever session runs must be cancelled: it knows an older record.

        Raises:
            StateError: the module does not operate.
            EnvironmentFault: storage failed.

        """
        self._desk(self._show).submit(ResetByHand())
        self._forget()

    async def reset(self) -> None:
        """The same for who runs on trio, which a token does not hold up."""
        await self._at_desk(ResetByHand())
        self._forget()

    def _forget(self) -> None:
        self._asked = ()
        self._wake()

    def remind(self) -> None:
        """Show what an ATM controller that heard nothing yet has to do: outcomes to tell, instructions to take."""
        for each in self.unsettled:
            if each.instructed is not None:
                self._outer_show(OutcomeWanted(each.number, each.instructed))
        for held in self.instructions:
            self._outer_show(InstructionCame(held.number, held.content))

    def note(self, *, wrong: int | None) -> None:
        """Write down how many attempts at the shared secret were wrong; a session that is open goes on from there.

        Else its next write would put back what it knows, and the attempts would be forgotten (A6).

        Raises:
            EnvironmentFault: storage failed.

        """
        with self._keeping.alone:
            before = given(self._keeping.record)
            self._keeping.commit(before.written(wrong=wrong))
            if self._session is None or self._session.closed:
                return
            data = self._data()
        self._aside.where_trio_runs(partial(self._have_noted, before, data))

    def _have_noted(self, before: ModuleRecord, data: WorkData) -> None:
        session = self._session
        if session is None or session.closed:
            return
        if not session.is_open:
            session.begin_anew(session.state, data)
        elif session.data.record.generation == before.generation:  # else its own write is under way, and refused
            session.inform(replace(session.data, record=data.record))

    @property
    def unsettled(self) -> tuple[OpenTransaction, ...]:
        """Authorizations that were asked for or instructed, and whose outcome nobody has told yet."""
        record = self._keeping.record
        return () if record is None else record.open

    @property
    def instructions(self) -> tuple[HeldInstruction, ...]:
        """Instructions of the host that wait to be taken."""
        record = self._keeping.record
        return () if record is None else record.inbox

    # How it is done

    def _remember(self, data: WorkData) -> None:
        """What outlives a session, but not the program."""
        self._vouched = data.vouched
        self._reckoning = self._reckoning.joined(data.reckoning)
        unanswered = {each.number for each in self.unsettled if each.instructed is None}
        self._asked = tuple(each for each in data.asked if each.number in unanswered)

    @property
    def _is_operating(self) -> bool:
        record = self._keeping.record
        return record is not None and record.condition is ModuleCondition.OPERATING

    async def _present(self) -> WorkData:
        session = self._session
        return await self._aside(self._data) if session is None or session.closed else session.data

    def _data(self) -> WorkData:
        record = given(self._keeping.record)
        found = (self._keeping.vault.find_secret(held.label) for held in record.keys)
        secrets = tuple(secret for secret in found if secret is not None)
        return WorkData(
            record,
            secrets,
            vouched=self._vouched,
            legacy=self._legacy,
            asked=self._asked,
            reckoning=self._reckoning,
        )

    def _desk(self, show: Show) -> Desk[WorkState, WorkData]:
        if not self._is_operating:
            raise NotOperating("the module does not operate", who="module", expected="a personalized module")
        return Desk(WORK, WorkState.OPERATING, self._data(), self._keeping.ports(show), rests=_rests)

    async def _at_desk(self, event: object) -> WorkData:
        """Have an event taken without a session; what the module knows then. Notes are shown in trio's thread."""
        notes: list[object] = []

        def submitted() -> WorkData:
            desk = self._desk(notes.append)
            desk.submit(event)
            return desk.data

        try:
            return await self._aside(submitted)
        finally:
            for note in notes:
                self._show(note)

    async def _submit(self, event: object, answer: type[N] | None = None, tag: int = 0) -> N:
        """Have an event taken, by whoever is there to take it; the note of class `answer` with this tag.

        A session that ended before it took the event leaves it to us.
        """
        while (session := self._session) and (orders := self._orders) and session.is_open and not session.closed:
            await trio.lowlevel.checkpoint()  # who has no time wants nothing
            order = Order(event)
            orders.put(order)
            await order.until_taken()
            try:
                with trio.CancelScope(shield=True):  # taken: whoever gives up must know what it led to
                    await order.wait()
                break
            except StateError:
                if order.taken and not session.closed:
                    raise
                while not order.taken and self._session is session:  # it was cancelled, and ends at once
                    await self._arrived.wait()
        else:
            await self._take(event)
        found = None if answer is None else self._waiting.pop((answer, tag), None)
        if answer is not None and not isinstance(found, answer):
            raise StateError("the session ended meanwhile", who="module", expected="an answer")
        return found  # type: ignore[return-value]

    async def _take(self, event: object) -> None:
        """Take an event without a session; one that is being set up begins with what came of it."""
        data = await self._at_desk(event)
        self._asked, self._reckoning = data.asked, data.reckoning
        session = self._session
        if session is None or session.closed:
            return
        if not session.is_open:
            session.begin_anew(session.state, data)
        elif session.data.record.generation != data.record.generation:
            given(self._scope).cancel()  # it opened meanwhile with what was before; the next one knows better

    async def _await(self, note: type[N], number: int) -> N:
        while (note, number) not in self._waiting:
            if not self._is_operating:
                raise NotOperating("the module was reset", who="module", expected="an answer")
            await self._arrived.wait()
        return self._waiting.pop((note, number))  # type: ignore[return-value]

    def _show(self, note: object) -> None:
        match note:
            case AuthorizationAsked(tag) | PayloadKept(tag) | SecretAnswered(tag):
                self._waiting[type(note), tag] = note
            case PayOutInstructed(number):
                self._waiting[PayOutInstructed, number] = note
                self._wake()
            case StateEntered(state=state):
                self.online = state == WorkState.ONLINE.name or (self.online and state == WorkState.LOADING.name)
        self._outer_show(note)

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = trio.Event()
