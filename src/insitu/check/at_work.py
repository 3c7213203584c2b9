"""Module at work and central system, for the search: one session of either, and what people and programs do besides.

The product's own programs, as in parties.py. What a module's program remembers from one session to the next (Work) is
part of its store here, and gone when it crashes; what a central system keeps is its registry.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.channel.trust import ModuleAtWork
from ..protocol.engine import SecretAlgorithm, SecretUsage, Show, StateError, given
from ..protocol.messages import Authorize, PayOut, Purpose
from ..protocol.parties.central import CENTRAL
from ..protocol.parties.central_data import CentralData, CentralState
from ..protocol.parties.work import WORK
from ..protocol.parties.work_data import Reckoning, WorkData, WorkState
from ..protocol.ports import Ports
from ..protocol.stores.registry import CommandKind, Crl
from ..shell.central import Central
from ..shell.module import Module
from ..shell.operator import import_crl, order_key, send_crl
from ..shell.work import Work
from .channel import CheckedSession, SymbolicHandshake
from .memory import CheckedRegistry, Repeated
from .parties import Done, Party
from .world import BANKS, LISTED, NOW, RIVAL, SERIAL, Beginning, Store, card_of, now

KEY_SECONDS: Final = 1000
"""How long the symmetric key of these worlds may be used."""

LIST: Final = LISTED.index(RIVAL)
"""The list that a module of these worlds is sent: it names the rival, and so concerns no session with the bank."""


# Module at work --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """What a module's program remembers from one session to the next."""

    vouched: bool = False
    asked: tuple[Authorize, ...] = ()
    reckoning: Reckoning = field(default_factory=Reckoning)


class _Work(Work):
    """The working side of a module, met one event at a time."""

    @property
    def memory(self) -> Memory:
        """What it remembers."""
        return Memory(self._vouched, self._asked, self._reckoning)

    def recall(self, memory: Memory) -> None:
        """It remembers this."""
        self._vouched, self._asked, self._reckoning = memory.vouched, memory.asked, memory.reckoning

    def begin(self, name: str) -> CheckedSession:
        """As `session` begins one."""
        key, data = self._begun()
        handshake = SymbolicHandshake(ModuleAtWork.of(data.record, key), name, purpose=Purpose.OPERATE)
        return CheckedSession(WORK, WorkState.OPERATING, data, handshake)

    def surroundings(self) -> Ports:
        """Its ports."""
        return self._keeping.ports(lambda _: None)

    def left(self, data: WorkData) -> None:
        """As `session` ends one."""
        self._remember(data)

    def without_session(self, event: object) -> None:
        """Take what the ATM controller wants while no session runs, as `_take` does."""
        desk = self._desk(self._outer_show)
        desk.submit(event)
        self._asked, self._reckoning = desk.data.asked, desk.data.reckoning


class _Module(Module):
    """The program of a module, with such a working side."""

    def works(self, memory: Memory, show: Callable[[object], None]) -> _Work:
        """Its working side, which remembers this."""
        about: dict[str, Any] = {"entropy": Repeated("at work"), "now": now, "steady": lambda: 0, "show": show}
        work = _Work(self._keeping, self._aside, vouched=False, legacy=False, **about)
        work.recall(memory)
        return work


class _ByProgram(Party):
    """A party that is met by a program of its own."""

    @abstractmethod
    def program(self, store: Store) -> _Work | _Central:
        """The program of who has this store."""

    def begin(self, store: Store, name: str) -> CheckedSession:
        """See Party."""
        return self.program(store).begin(name)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return self.program(store).surroundings()


@dataclass(frozen=True)
class WorkParty(_ByProgram):
    """Module SN-1, which works with its central system."""

    def program(self, store: Store, show: Callable[[object], None] = lambda _: None) -> _Work:
        """Of the module with this store."""
        memory = store.memory if isinstance(store.memory, Memory) else Memory()
        return _Module(store.vault, entropy=Repeated("at work"), now=now, steady=lambda: 0).works(memory, show)

    def leave(self, store: Store, session: CheckedSession) -> Store:
        """See Party: the program remembers."""
        work = self.program(store)
        work.left(session.data)
        store.vault.draw_as("rest")
        return Store(store.vault, memory=work.memory)


def wanted(event: object) -> Callable[[Party, Store], Done]:
    """What comes of it if the ATM controller wants this while no session runs."""

    def do(party: Party, store: Store) -> Done:
        assert isinstance(party, WorkParty)  # noqa: S101 - the module's
        notes: list[object] = []

        def show(note: object) -> None:
            store.vault.told = True
            notes.append(note)

        before = store.fork()
        work = party.program(store, show)
        work.without_session(event)
        store.vault.told = False
        store.vault.draw_as("rest")
        after = Store(store.vault, memory=work.memory)
        changed = before.vault.identity != after.vault.identity
        crashes = ((after.restarted(), (), 0),) if changed else ()  # its notes are given out once all is done
        return Done(None, after, notes=tuple(notes), crashes=crashes, order=tuple(map(Show, notes)))

    return do


# Central system --------------------------------------------------------------------------------------------------


def decide(serial: str, asked: Authorize) -> PayOut:
    """The host says yes, and what it pays has a name of its own."""
    return PayOut(asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")


class _Central(Central):
    """The program of a central system, met one event at a time."""

    def begin(self, name: str) -> CheckedSession:
        """As `attend` begins a session."""
        handshake = SymbolicHandshake(
            self._checked_terms(self.certificate), name, purposes=frozenset({Purpose.OPERATE})
        )
        return CheckedSession(CENTRAL, CentralState.LISTENING, CentralData(self._key(), grace=None), handshake)

    def surroundings(self) -> Ports:
        """Its ports."""
        return Ports(self.keys, commit=self._commit, look_up=self._answer)


@dataclass(frozen=True)
class CentralParty(_ByProgram):
    """The central system of a bank."""

    start: Beginning
    bank: str

    def program(self, store: Store) -> _Central:
        """Of the central system with this store."""
        about: dict[str, Any] = {"decide": decide, "entropy": Repeated("central"), "now": now, "blocking": False}
        return _Central(store.vault, given(store.registry), certificate=self.start.central[self.bank], **about)

    def leave(self, store: Store, session: CheckedSession) -> Store:
        """See Party."""
        store.vault.draw_as("rest")
        return store


def established(start: Beginning) -> Store:
    """The central system, which trusts both banks."""
    store = Store(start.host.fork(), registry=CheckedRegistry())
    central = CentralParty(start, BANKS[0]).program(store)
    for unit in start.units.values():
        central.trust(start.root.der, card_of(unit.vault).customer.der, actor="operator")
    central.install(start.central[BANKS[0]])
    store.vault.draw_as("rest")
    return store


# What the operator of a central system does ---------------------------------------------------------------------


def _operator(do: Callable[[_Central], object]) -> Callable[[Party, Store], Done]:
    def done(party: Party, store: Store) -> Done:
        assert isinstance(party, CentralParty)  # noqa: S101 - the central system's
        do(party.program(store))
        store.vault.draw_as("rest")
        return Done(None, store)

    return done


def _once(central: _Central, kind: CommandKind) -> None:
    if any(command.kind is kind for command in central.registry.commands(SERIAL)):
        raise StateError("there is one", who="check")


def _order_key(central: _Central) -> None:
    _once(central, CommandKind.LOAD_KEY)
    block, value = central.keys.storage.new_secret_block(SecretUsage.MAC, SecretAlgorithm.AES, 128)
    order_key(central, SERIAL, block, value, not_after=NOW + KEY_SECONDS, uses=5, actor="operator")


def _disable_again(central: _Central) -> None:
    central.registry.disable_module(SERIAL, actor="operator", at=NOW, reason="a test")


def _lose(central: _Central, *, keep_known: bool) -> None:
    issuer = central.issuers()[0].fingerprint
    if any(each.lost is not None for each in central.registry.issuers()):
        raise StateError("it is lost", who="check")
    central.registry.disable_issuer(issuer, lost=NOW + 1, keep_known=keep_known, actor="operator", at=NOW)


def _revoke(central: _Central, issuer: bytes, number: int) -> None:
    if central.registry.crls():
        raise StateError("there is a list", who="check")
    crl = Crl(issuer, 1, b"a list", frozenset({number}), NOW + KEY_SECONDS)
    central.registry.import_crl(crl, actor="operator", at=NOW)


def _revoke_module(central: _Central) -> None:
    """The bank's own list has the module's certificate."""
    entry = central.registry.module(SERIAL)
    if entry is None:
        raise StateError("nobody knows the module yet", who="check")
    _revoke(central, entry.issuer, entry.certificate_number)


def _revoke_bank(central: _Central) -> None:
    """The manufacturer's list has the bank's."""
    bank = central.registry.issuers()[0]
    _revoke(central, bank.root, bank.certificate_number)


def _to_the_module(do: Callable[[_Central, tuple[bytes, ...]], object]) -> Callable[[Party, Store], Done]:
    """What is done with the manufacturer's lists."""

    def done(party: Party, store: Store) -> Done:
        assert isinstance(party, CentralParty)  # noqa: S101 - the central system's
        return _operator(lambda central: do(central, party.start.lists))(party, store)

    return done


def _send_list(central: _Central, lists: tuple[bytes, ...]) -> None:
    import_crl(central, lists[LIST], actor="operator")
    send_crl(central, actor="operator")


def _send_older_list(central: _Central, lists: tuple[bytes, ...]) -> None:
    """As by a registry that was put back."""
    central.registry.put_command(SERIAL, CommandKind.REVOKE, lists[LIST - 1], actor="operator", at=NOW)


send_list = _to_the_module(_send_list)
send_older_list = _to_the_module(_send_older_list)
order_reset = _operator(lambda central: central.registry.order_reset(SERIAL, actor="operator", at=NOW))
order_symmetric_key = _operator(_order_key)
disable_module = _operator(_disable_again)
enable_module = _operator(lambda central: central.registry.enable_module(SERIAL, actor="operator", at=NOW))
lose_card = _operator(lambda central: _lose(central, keep_known=False))
lose_card_but_keep_known = _operator(lambda central: _lose(central, keep_known=True))
revoke_module = _operator(_revoke_module)
revoke_bank = _operator(_revoke_bank)
instruct = _operator(
    lambda central: central.registry.put_command(SERIAL, CommandKind.INSTRUCT, b"look around", actor="operator", at=NOW)
)
