"""A module at work with the central system, as an ATM controller uses it: ask, get the answer, reset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from ..protocol.driver import Order
from ..protocol.engine import StateError
from ..protocol.keys.vault import SealedVault
from ..protocol.messages import Authorize, PayOut
from ..protocol.parties.module_data import AuthorizationWanted, ModuleState, PayOutInstructed
from ..protocol.progress import StateEntered
from ..protocol.stores.sealed import StoreKind
from ..transports.links import Link
from .keeping import Show, fresh_bytes, ignore
from .module import Module
from .passphrase import passphrase


@contextmanager
def open_module(
    store: Path,
    *,
    passphrase_file: Path | None = None,
    passphrase_hook: list[str] | None = None,
    show: Show = ignore,
) -> Iterator[Module]:
    """The module in a sealed file, locked for this process while the context lasts.

    Args:
        store: the sealed file that the manufacturer delivered.
        passphrase_file: an owner-only file that unseals it; without one a person is asked.
        passphrase_hook: instead of a file, a command whose output unseals it.
        show: gets notes and progress.

    Raises:
        UsageError: wrong file, passphrase, or another process has it open.
        EnvironmentFault: the file is damaged, or the hook failed.

    """
    secret = passphrase(file=passphrase_file, command=passphrase_hook)
    with SealedVault.open(store, StoreKind.MODULE, secret, entropy=fresh_bytes) as vault:
        yield Module(vault, show=show)


class AtWork:
    """One session with the central system. Made by `at_work`."""

    def __init__(self, module: Module, orders: trio.MemorySendChannel[Order]) -> None:
        self._module = module
        self._orders = orders
        self._answers: dict[int, PayOut] = {}
        self._answered: dict[int, trio.Event] = {}
        self._ended = False
        self.online = trio.Event()

    def note(self, note: object) -> None:
        """Takes the session's notes."""
        if isinstance(note, PayOutInstructed) and note.instruction.number in self._answered:
            self._answers[note.instruction.number] = note.instruction
            self._answered[note.instruction.number].set()
        elif isinstance(note, StateEntered) and note.state == ModuleState.ONLINE.name:
            self.online.set()

    def end(self) -> None:
        """The session has ended in good order: nobody need wait for it any more."""
        self._ended = True
        self.online.set()
        for answered in self._answered.values():
            answered.set()

    def check(self) -> None:
        """Make sure that the session has not ended.

        Raises:
            StateError: it has.

        """
        if self._ended:
            raise _ended()

    async def authorize(self, request: Authorize) -> PayOut:
        """Ask the central system; its instruction.

        Raises:
            StateError: an authorization with this number is open, or the module is not online any more.

        """
        number = request.number
        if number in self._answered:
            raise StateError(f"authorization {number} is open", who="module", expected="another number")
        self._answered[number] = trio.Event()
        try:
            await self._submit(AuthorizationWanted(request))
            await self._answered[number].wait()
            if number not in self._answers:
                raise _ended()
            return self._answers.pop(number)
        finally:
            del self._answered[number]

    async def reset_by_hand(self) -> None:
        """Erase the operating key: a person at the module confirmed it. The session ends, whatever it is about."""
        self._module.reset_by_hand()

    async def _submit(self, event: object) -> None:
        order = Order(event)
        try:
            await self._orders.send(order)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise _ended() from None
        await order.wait()


def _ended() -> StateError:
    return StateError("the session with the central system has ended", who="module", expected="a module online")


@asynccontextmanager
async def at_work(module: Module, link: Link) -> AsyncIterator[AtWork]:
    """A session with the central system over `link` while the context lasts.

    Raises:
        StateError: the session ended in good order before the module was online.
        InsituError: the session failed, also while the context lasted.

    """
    sending, orders = trio.open_memory_channel[Order](0)
    work = AtWork(module, sending)

    async def session() -> None:
        await module.work(link.stream, orders, also_show=work.note)
        work.end()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session)
            await work.online.wait()
            work.check()
            yield work
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise (_only(group) or group) from group.__cause__


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """What a group holds if that is one exception, however deep."""
    inside: BaseException = group
    while isinstance(inside, BaseExceptionGroup):
        if len(inside.exceptions) != 1:
            return None
        inside = inside.exceptions[0]
    return inside
