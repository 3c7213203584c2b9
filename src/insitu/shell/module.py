"""A security module at its place in the ATM: its table over whatever link there is, its sealed store.

This is what an ATM controller embeds. One session runs at a time on the local link; another may run with the central
system. Every session begins from durable state and leaves durable state.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import (
    MOST_WRONG,
    SECRET,
    SHIPPED,
    AttemptAdmitted,
    AttemptBarred,
    AttemptBegun,
    AttemptRight,
    AttemptsForgotten,
    SecretDenied,
    SecretEntered,
    SecretNeeded,
    Terms,
)
from ..protocol.desk import Desk
from ..protocol.driver import run
from ..protocol.engine import Consult, InsituError, LookUp, StateError, UsageError, given
from ..protocol.keys.beside import KeysBeside
from ..protocol.keys.tans import read_tan
from ..protocol.keys.vault import Vault
from ..protocol.messages import ModuleRecord, ModuleTicket, Purpose, TrustOption
from ..protocol.parties.module import MODULE
from ..protocol.parties.module_data import (
    MANUFACTURED,
    IdentityCertified,
    IdentityMade,
    Initialize,
    ModuleData,
    ModuleState,
    resting_state,
)
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..protocol.stores.counter import Guard, MonotonicCounter
from .aside import Aside
from .attempts import LinkLimit, LinkPaused
from .keeping import Keeping, Show, ignore, steady_clock, wall_clock
from .second_link import SecondLink
from .trusting import ModuleHas, module_terms
from .work import NotOperating, Work

if TYPE_CHECKING:
    from .keypad import Keypad

ENTERED: Final = "entered"
"""Label of what the operator keyed in; never committed."""


def nobody_enters(peer: str) -> str:
    """There is no person at the module.

    Raises:
        UsageError: always.

    """
    raise UsageError("nobody can key in a TAN", who="module", expected="a keypad, a terminal or a file", got="none")


class Module:
    """A security module.

    Args:
        vault: its key memory and durable state.
        counter: a monotonic counter outside the store, of this module and no other; it vouches for the store (S4, S8).
        legacy: older symmetric methods are admitted (L11).
        enter: asks the operator for the TAN, told the name that the unit gives itself; what was keyed in, with its
            check symbol (A7). Called from a worker thread; an InsituError ends the session.
        pad: where the operator keys it in; used instead of `enter`, by programs that run on trio.
        token: the operator's, with the TAN in it, which it does not leave; then nobody is asked (A8).
        mobile: opens the link to a mobile for one session; only the conveyed option needs it (A9).
        entropy, now, show: random bytes, unix seconds, notes and progress.
        steady: seconds by a clock that nobody can set (S8).

    Attributes:
        at_work: what it does with the central system once it operates.

    Raises:
        RolledBack, CounterAhead: the store is an older copy, or the counter is not its own.
        CounterFailed: the counter does not answer.

    """

    def __init__(
        self,
        vault: Vault,
        *,
        counter: MonotonicCounter | None = None,
        legacy: bool = False,
        enter: Callable[[str], str] = nobody_enters,
        pad: Keypad | None = None,
        token: Vault | None = None,
        mobile: Callable[[], SecondLink] | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        steady: Callable[[], int] = steady_clock,
        show: Show = ignore,
    ) -> None:
        self._keeping = Keeping(vault, ModuleRecord)
        self._enter = enter
        self._pad = pad
        self._token = token
        self._entropy = entropy
        self._mobile = mobile
        self._now = now
        self._show = show
        self._limit = LinkLimit(steady)
        self._running: dict[str, trio.CancelScope] = {}
        self._keeping.follows = lambda before, after: after.generation == before.generation + 1
        if counter is not None:
            record = self._keeping.record
            guard = Guard(counter, 0 if record is None else record.generation)
            self._keeping.before = guard.check
            self._keeping.after = lambda record: guard.written(record.generation)
        self._aside = Aside(vault, beside=token, alone=self._keeping.alone)
        vouched = counter is not None
        self.at_work = Work(
            self._keeping,
            self._aside,
            vouched=vouched,
            legacy=legacy,
            entropy=entropy,
            now=now,
            steady=steady,
            show=show,
        )

    @property
    def record(self) -> ModuleRecord:
        """Durable state.

        Raises:
            StateError: the module was never delivered.

        """
        if self._keeping.record is None:
            raise StateError("the module is blank", who="module", expected="a delivered module", got="blank")
        return self._keeping.record

    @property
    def state(self) -> ModuleState:
        """BLANK, DELIVERED, OPERATING or RESET."""
        return resting_state(self._keeping.record)

    @property
    def keys(self) -> Vault:
        """Key memory."""
        return self._keeping.vault

    def initialize(
        self,
        serial: str,
        root: bytes,
        certify: Callable[[IdentityMade], bytes] | None,
        *,
        manufactured_key: bool = False,
        shipped_key: bytes | None = None,
        circular: bool = False,
        ticket: Callable[[IdentityMade], ModuleTicket] | None = None,
    ) -> None:
        """Delivery, on the manufacturer's bench (L1).

        Args:
            serial: serial number.
            root: the manufacturer's root certificate, DER.
            certify: gets the identity key certified, DER; None: a module without identity.
            manufactured_key: also make the pair that the first personalization may use by policy.
            shipped_key: 16 random bytes whose twin goes into the accompanying documents (A5).
            circular: over a cable, admit a customer whom only its own central system certified (L6).
            ticket: gets the identity key a customer's ticket besides (A4).

        Raises:
            StateError: the module is not blank, or the certificate is for another key.
            ProtocolError: the certificate is not the manufacturer's for this serial number.
            UsageError: a serial number that no certificate can carry.

        """
        desk = Desk(MODULE, self.state, self._data(), self._keeping.ports(self._show))
        shared = () if shipped_key is None else (SHIPPED,)
        wish = Initialize(
            serial,
            root,
            identity=certify is not None,
            manufactured_key=manufactured_key,
            shared=shared,
            circular=circular,
        )
        try:
            if shipped_key is not None and self.state is ModuleState.BLANK:
                self._keeping.vault.storage.share(SHIPPED, shipped_key)
            made = [note for note in desk.submit(wish) if isinstance(note, IdentityMade)]
            if certify is not None:
                certificate = certify(made[0])
                desk.submit(IdentityCertified(certificate, None if ticket is None else ticket(made[0])))
        finally:
            self._keeping.vault.roll_back()

    def check_option(self, option: TrustOption) -> None:
        """Make sure, before a link is opened, that the module has what this trust option needs.

        Raises:
            UsageError: it has not.

        """
        try:
            mobile = self._mobile and self._mobile()
            module_terms(option, self._has(wired=True, mobile=mobile))
        finally:
            self._keeping.vault.roll_back()

    def agree_on(self, secret: bytes) -> None:
        """Keep a secret that the unit is told, too, in place of an earlier one; wrong attempts are forgotten (A6).

        Raises:
            StateError: a session is running.
            KeyRefused: it is no such secret.

        """
        with self._only_one("unit"), self._only_one("central"):
            vault, record = self._keeping.vault, self.record
            try:
                if vault.find_secret(SECRET) is not None:
                    record = record.written(shared=tuple(each for each in record.shared if each != SECRET), wrong=None)
                    self._keeping.commit(record, vault.labels() - {SECRET})
                vault.storage.share_password(SECRET, secret)
                record = record.written(shared=(*record.shared, SECRET), wrong=None)
                self._keeping.commit(record, vault.labels())
            finally:
                vault.roll_back()

    def unlock(self) -> int:
        """Attempts at the secret go on; how many were wrong (A6)."""
        wrong = self.record.wrong or 0
        if wrong:
            self.at_work.note(wrong=None)
        return wrong

    def reset_by_hand(self) -> int:
        """Erase operating key and certificates (L8) and end the sessions that run; the new epoch.

        Raises:
            NotOperating: there is nothing to erase.

        """
        self._check_erasable()
        try:
            self.at_work.reset_by_hand()
        finally:  # also where storage failed: what the sessions know no longer holds
            self._end_sessions()
        return self.record.epoch

    async def reset(self) -> int:
        """The same for who runs on trio, which a token does not hold up."""
        self._check_erasable()
        try:
            await self.at_work.reset()
        finally:
            self._end_sessions()
        return self.record.epoch

    def _check_erasable(self) -> None:
        if self.state is not ModuleState.OPERATING:
            got = self.state.name.lower()
            raise NotOperating("nothing to erase", who="module", expected="an operating module", got=got)

    def _end_sessions(self) -> None:
        for scope in self._running.values():
            scope.cancel()

    async def meet_unit(
        self,
        stream: trio.abc.Stream,
        option: TrustOption,
        *,
        wired: bool = False,
        origin: str = "",
        also_show: Show = ignore,
    ) -> ModuleState:
        """One session with a personalization unit over `stream`; the state afterwards.

        A module that can be personalized asks for it; one that operates reports how things stand.

        Args:
            stream: the link, which is closed afterwards.
            option: the trust option, pinned.
            wired: whether the link is a wired local one; asked for by the physical option.
            origin: where the unit is (`Link.origin`), which limits wrong attempts at a secret; empty: nothing does.
            also_show: gets the notes of this session; the last one comes before the link is closed.

        Raises:
            StateError: a session with a unit is running.
            InsituError: the session did not end in good order; durable state is the old or the new one.

        """
        async with stream:
            with self._only_one("unit") as scope:
                mobile = self._mobile() if self._mobile and option is TrustOption.CONVEYED else None
                try:
                    terms, data = await self._aside(partial(self._begun, option, wired=wired, mobile=mobile))
                    await self._session(stream, terms, data, scope, also_show, mobile, origin)
                finally:
                    await self._aside.at_last(self._keeping.vault.roll_back)
                    if self._token is not None:
                        await self._aside.at_last(self._token.roll_back)
        return self.state

    def _begun(self, option: TrustOption, *, wired: bool, mobile: SecondLink | None) -> tuple[Terms, ModuleData]:
        return module_terms(option, self._has(wired=wired, mobile=mobile)), self._data()

    def _has(self, *, wired: bool, mobile: SecondLink | None) -> ModuleHas:
        vault, entropy = self._keeping.vault, self._entropy
        return ModuleHas(self.record, vault, wired=wired, entropy=entropy, mobile=mobile, token=self._token)

    async def work(self, stream: trio.abc.Stream, *, also_show: Show = ignore) -> ModuleState:
        """One session with the central system over `stream`, until either side ends it; the state afterwards.

        What the ATM controller wants meanwhile, it says to `at_work`.

        Args:
            stream: the link, which is closed afterwards.
            also_show: gets the notes of this session.

        Raises:
            StateError: a session with the central system is running.
            UsageError: the module does not operate.
            InsituError: the session did not end in good order.

        """
        async with stream:
            with self._only_one("central") as scope:
                await self.at_work.session(stream, scope, also_show=also_show)
        return self.state

    @contextmanager
    def _only_one(self, peer: str) -> Iterator[trio.CancelScope]:
        """Let one session with `peer` run at a time (S1: each begins from durable state); its scope ends it."""
        if peer in self._running:
            raise StateError(f"a session with the {peer} is running", who="module", expected="one at a time")
        self._running[peer] = trio.CancelScope()
        try:
            yield self._running[peer]
        finally:
            del self._running[peer]

    async def _session(
        self,
        stream: trio.abc.Stream,
        terms: Terms,
        data: ModuleData,
        scope: trio.CancelScope,
        also_show: Show,
        mobile: SecondLink | None,
        origin: str,
    ) -> None:
        def show(note: object) -> None:
            also_show(note)
            self._show(note)

        state = resting_state(data.record)
        purpose = Purpose.STATUS if state is ModuleState.OPERATING else Purpose.PERSONALIZE
        handshake = Handshake.initiate(terms, purpose, self._entropy(64))
        session = Session(MODULE, state, data, handshake)
        ports = self._ports(session, terms.option, show, mobile, origin)
        orders = None if mobile is None else mobile.orders
        await run(session, stream, ports, now=self._now, scope=scope, orders=orders)

    def _ports(
        self,
        session: Session[ModuleState, ModuleData],
        option: TrustOption,
        show: Show,
        mobile: SecondLink | None,
        origin: str,
    ) -> Ports:
        """The surroundings of one session."""

        def look_up(question: LookUp) -> object:
            answer = self._count(question.argument, origin)
            session.begin_anew(self.state, self._data())
            return answer

        asks = option is TrustOption.TAN
        ports = replace(self._keeping.ports(show), look_up=look_up, consult=self._ask_operator, patient=asks)
        if asks and self._token is not None:
            ports = replace(ports, keys=KeysBeside(ports.keys, self._token), patient=False)
        elif asks and self._pad is not None:
            ports = replace(ports, confer=partial(self._ask_at, self._pad))
        return ports if mobile is None else replace(ports, forward=mobile.forward)

    def _count(self, question: object, origin: str) -> object:
        """What is answered is durable; where it could not be written, that goes up, and nothing is said."""
        wrong = self.record.wrong or 0
        match question:
            case AttemptBegun(option=TrustOption.TAN):  # counted, and burnt, at the unit
                return AttemptAdmitted()
            case AttemptRight(option=TrustOption.TAN):
                return AttemptsForgotten()
            case AttemptBegun() if wrong >= MOST_WRONG:
                return AttemptBarred("the module's secret is locked")
            case AttemptBegun():
                try:
                    self._limit.begin(origin)
                except LinkPaused as error:
                    return AttemptBarred(str(error))
                self.at_work.note(wrong=wrong + 1)
                return AttemptAdmitted()
            case AttemptRight():
                self._limit.right(origin)
                self.at_work.note(wrong=None)
                return AttemptsForgotten()
        raise UsageError("not a question for a module", got=type(question).__name__)

    def _ask_operator(self, consult: Consult) -> object:
        try:
            return self._entered(self._enter(_peer_of(consult)))
        except InsituError as error:
            return SecretDenied(str(error))

    async def _ask_at(self, pad: Keypad, consult: Consult) -> object:
        try:
            return self._entered(await pad.ask(_peer_of(consult)))
        except InsituError as error:
            return SecretDenied(str(error))

    def _entered(self, typed: str) -> SecretEntered:
        tan = read_tan(typed)
        return SecretEntered(self._keeping.vault.storage.share_password(ENTERED, tan.encode()))

    def _data(self) -> ModuleData:
        return ModuleData(record=self._keeping.record, made=self._keeping.vault.find(MANUFACTURED))

    @property
    def operating_key(self) -> bytes:
        """The public half of the operating pair, an uncompressed P-256 point."""
        return given(self._keeping.vault.find(given(self.record.key))).public.data


def _peer_of(consult: Consult) -> str:
    """Who says to be at the other end.

    Raises:
        UsageError: it is no question for an operator.

    """
    if not isinstance(consult.question, SecretNeeded):
        raise UsageError("not a question for an operator", who="module", got=type(consult.question).__name__)
    return consult.question.peer
