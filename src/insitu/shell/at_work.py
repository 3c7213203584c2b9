"""A module at work with the central system, as an ATM controller uses it: ask, get the answer, reset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import trio

from ..protocol.driver import Order
from ..protocol.keys.vault import SealedVault
from ..protocol.messages import Authorize, PayOut
from ..protocol.parties.module_data import AuthorizationWanted, ModuleState, PayOutInstructed, ResetByHand
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

    def __init__(self, orders: trio.MemorySendChannel[Order]) -> None:
        self._orders = orders
        self._answers: dict[int, PayOut] = {}
        self._answered: dict[int, trio.Event] = {}
        self.online = trio.Event()

    def note(self, note: object) -> None:
        """Takes the session's notes."""
        if isinstance(note, PayOutInstructed) and note.instruction.number in self._answered:
            self._answers[note.instruction.number] = note.instruction
            self._answered[note.instruction.number].set()
        elif isinstance(note, StateEntered) and note.state == ModuleState.ONLINE.name:
            self.online.set()

    async def authorize(self, request: Authorize) -> PayOut:
        """Ask the central system; its instruction.

        Raises:
            StateError: an authorization with this number is open, or the module is not online any more.

        """
        self._answered[request.number] = trio.Event()
        try:
            await self._submit(AuthorizationWanted(request))
            await self._answered[request.number].wait()
            return self._answers.pop(request.number)
        finally:
            del self._answered[request.number]

    async def reset_by_hand(self) -> None:
        """Erase the operating key: a person at the module confirmed it. The session ends."""
        await self._submit(ResetByHand())

    async def _submit(self, event: object) -> None:
        order = Order(event)
        await self._orders.send(order)
        await order.wait()


@asynccontextmanager
async def at_work(module: Module, link: Link) -> AsyncIterator[AtWork]:
    """A session with the central system over `link` while the context lasts.

    Raises:
        InsituError: the session failed; within the context as the cause of its cancellation (an ExceptionGroup).

    """
    sending, orders = trio.open_memory_channel[Order](0)
    work = AtWork(sending)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(module.work, link.stream, orders, also_show=work.note))
        await work.online.wait()
        yield work
        nursery.cancel_scope.cancel()
