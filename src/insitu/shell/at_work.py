"""A module at work with the central system, as an ATM controller uses it: ask, get the answer, reset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from ..protocol.engine import StateError
from ..protocol.parties.work_data import WorkState
from ..protocol.progress import StateEntered
from ..protocol.stores.counter import MonotonicCounter
from ..protocol.stores.sealed import StoreKind
from ..transports.links import Link
from .keeping import Show, ignore
from .module import Module
from .places import opener, read_place
from .work import Work


@contextmanager
def open_module(
    store: Path | str,
    *,
    passphrase_file: Path | None = None,
    passphrase_hook: list[str] | None = None,
    counter: MonotonicCounter | None = None,
    legacy: bool = False,
    show: Show = ignore,
) -> Iterator[Module]:
    """The module in a sealed file or a token, locked for this process while the context lasts.

    Args:
        store: the sealed file that the manufacturer delivered, or the token (a PKCS#11 URI, RFC 7512).
        passphrase_file: an owner-only file that unseals it, or has the token's PIN; without one a person is asked.
        passphrase_hook: instead of a file, a command whose output unseals it.
        counter: a monotonic counter outside the store.
        legacy: older symmetric methods are admitted.
        show: gets notes and progress.

    Raises:
        UsageError: wrong file or token, passphrase or PIN.
        EnvironmentFault: another process has it open, it is damaged, or the hook failed.

    """
    reopen = opener(read_place(str(store)), StoreKind.MODULE, file=passphrase_file, command=passphrase_hook)
    with reopen() as vault:
        yield Module(vault, counter=counter, legacy=legacy, show=show)


@asynccontextmanager
async def at_work(module: Module, link: Link) -> AsyncIterator[Work]:
    """A session with the central system over `link` while the context lasts; what the module does in it.

    Raises:
        StateError: the session ended in good order before the module was online.
        InsituError: the session failed, also while the context lasted.

    """
    online = trio.Event()

    def note(shown: object) -> None:
        if isinstance(shown, StateEntered) and shown.state == WorkState.ONLINE.name:
            online.set()

    async def session() -> None:
        await module.work(link.stream, also_show=note)
        online.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session)
            await online.wait()
            if not module.at_work.online:
                raise StateError(
                    "the session with the central system has ended", who="module", expected="a module online"
                )
            yield module.at_work
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
