"""A mobile as a program (A9): beside the module on a local link, and a call to the unit far away.

The number passes through here once and is kept nowhere. What is durable is the mobile's name and key, for the way to
the unit that is a channel of ours; over other ways something else proves which mobile it is (far_link.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Final

import trio

from ..protocol.driver import FAREWELL_SECONDS
from ..protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Forward,
    InsituError,
    KeyHandle,
    KeyKind,
    ProtocolError,
    Send,
    Show,
    StartTimer,
    StateError,
    StopTimer,
    UsageError,
    given,
)
from ..protocol.keys.requests import draft_request
from ..protocol.keys.vault import Vault
from ..protocol.messages import NUMBER_BYTES, Conveyance, MobileRecord, Number, Verdict
from ..protocol.parties.mobile import MOBILE, Begun, MobileData, MobileState
from ..transports.errors import LinkBroken, TransportError
from .far_link import FarLink
from .keeping import Keeping, ignore
from .keeping import Show as ShowNote
from .local_link import AtMobile

KEY: Final = "mobile"
"""Label of the mobile's key pair."""


class Mobile:
    """A mobile that has a key of its own.

    Args:
        vault: its key and its name.

    """

    def __init__(self, vault: Vault) -> None:
        self._keeping = Keeping(vault, MobileRecord)

    def establish(self, name: str) -> bytes:
        """Make its key; a PKCS#10 request (DER) by which others learn it.

        Raises:
            StateError: there is one already.
            UsageError: a name that no certificate can carry.

        """
        if self._keeping.record is not None:
            raise StateError("the mobile is set up", who="mobile", expected="a new store", got="a used one")
        vault = self._keeping.vault
        try:
            key = vault.generate(KEY, KeyKind.P256, b"")
            draft = draft_request(name, key.public)
            request = draft.assemble(vault.sign(key, draft.to_be_signed))
            self._keeping.commit(MobileRecord(name), frozenset({KEY}))
        finally:
            vault.roll_back()
        return request

    @property
    def name(self) -> str:
        """Its name.

        Raises:
            StateError: it was never set up.

        """
        if self._keeping.record is None:
            raise StateError("the mobile is not set up", who="mobile", expected="insitu mobile init", got="no key")
        return self._keeping.record.name

    @property
    def key(self) -> KeyHandle:
        """Its key pair."""
        return given(self._keeping.vault.find(KEY))

    @property
    def keys(self) -> Vault:
        """Key memory."""
        return self._keeping.vault


async def convey(
    stream: trio.abc.Stream,
    serial: str,
    far: FarLink,
    *,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    show: ShowNote = ignore,
) -> None:
    """Bring the number from the module at hand to the unit, and its word back.

    Args:
        stream: the local link to the module, which is closed afterwards.
        serial: the module at which the person stands.
        far: the way to the unit, which is called once the module has said what it wants conveyed.
        entropy: for a number that the mobile is to make.
        show: gets notes.

    Raises:
        ProtocolError: the unit or the mobile refused: the module is not personalized through the channel in question.
        TransportError: one of the links is lost; it can be done again.

    """
    near = AtMobile(stream)
    errand = _Errand(near, far, MobileData(serial, entropy(NUMBER_BYTES)), show)
    failed: InsituError | TransportError | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.listen)
            try:
                await errand.run()
            except (InsituError, TransportError) as error:  # as it is, not in a group
                failed = error
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                failed = LinkBroken("the local link is lost", who="mobile", got=error)
            nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(FAREWELL_SECONDS) as farewell:
            farewell.shield = True
            await near.aclose()
    if failed is not None:
        raise failed


class _Errand:
    """The mobile's table at work, from the module's first word to its end."""

    def __init__(self, near: AtMobile, far: FarLink, data: MobileData, show: ShowNote) -> None:
        self._near = near
        self._far = far
        self._state, self._data = MobileState.READY, data
        self._show = show
        self._until = inf
        self._timer = ""
        self._asked: Conveyance | None = None
        self._end: Close | None = None

    async def run(self) -> None:
        """To the end of the table.

        Raises:
            ProtocolError, TransportError: why it ended without the unit's good word.

        """
        await self._take(Begun())
        while self._end is None:
            event: object = DeadlinePassed(self._timer)
            try:
                with trio.CancelScope(deadline=self._until):
                    event = await self._next()
            except (InsituError, TransportError) as error:
                await self._take(ChannelLost(str(error)))
                raise
            await self._take(event)
        if self._end.fault is not None:
            raise ProtocolError(self._end.reason, who="mobile", fault=self._end.fault)

    async def _next(self) -> Conveyance | Verdict:
        """What the module wants conveyed, or what the unit says; a module that leaves meanwhile is not waited for."""
        if self._asked is None:
            return await self._near.conveyance()
        asked, self._asked = self._asked, None
        came: list[Conveyance | Verdict | Exception] = []

        async def hear(ask: Callable[[], Awaitable[Conveyance | Verdict]]) -> None:
            try:
                came.append(await ask())
            except (InsituError, TransportError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                came.append(error)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear, partial(self._far.ask, asked, self._near))
            nursery.start_soon(hear, self._near.conveyance)
        if isinstance(came[0], Exception):
            raise came[0]
        return came[0]

    async def _take(self, event: object) -> None:
        step = MOBILE.step(self._state, self._data, event)
        self._state, self._data = step.state, step.data
        for effect in step.effects:
            match effect:
                case Send(Number() | Verdict() as message):
                    await self._near.send(message)
                case Forward(Conveyance() as conveyance):
                    self._asked = conveyance
                case StartTimer(timer, seconds):
                    self._timer, self._until = timer, trio.current_time() + seconds
                case StopTimer():
                    self._until = inf
                case Show(note):
                    self._show(note)
                case Close():
                    self._end = effect
                case _:
                    raise UsageError("nothing that a mobile does", who="mobile", got=type(effect).__name__)
