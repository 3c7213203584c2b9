"""The mobile between a module and a unit, one of which is under test and the other one a puppet (A9).

It is at the ends of both second links and moves nothing but what a mobile moves. A puppet that has turned says no word
of a unit any more: then the mobile finds its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from ..protocol.channel.trust.conveyed import NumberCame, NumberConveyed, WordCame
from ..protocol.engine import InsituError
from ..protocol.messages import Conveyance, Number, Verdict
from ..shell.local_link import AtMobile
from ..shell.second_link import SecondLink
from ..shell.trusting import Mobiles
from ..transports.errors import TransportError

NAME: Final = "caller +4930123456"
NUMBER: Final = bytes(range(0x40, 0x50))
"""The one that it makes, where it is to make one."""


class Courier:
    """A mobile for one session.

    Args:
        word: whether the unit vouches for what is conveyed; None: the unit itself is asked, and answers.

    Attributes:
        at_module, at_unit: both links.
        refused: the module was told that the unit does not vouch.

    """

    def __init__(self, word: Callable[[Conveyance], bool] | None = None) -> None:
        self._word = word
        self.at_module = SecondLink(self._from_module)
        self.at_unit = SecondLink(self._from_unit)
        self.refused = False

    @property
    def mobiles(self) -> Mobiles:
        """As the unit knows it."""
        return Mobiles(frozenset({NAME}), self.at_unit)

    def _from_module(self, message: object) -> None:
        assert isinstance(message, Conveyance)  # noqa: S101 - a module forwards nothing else
        number = message.random
        if number is None:
            number = NUMBER
            self.at_module.report(NumberCame(number))
        self.at_unit.report(NumberConveyed(message.serial, message.binding, number, NAME))
        if self._word is not None:
            self._tell(Verdict(serial=message.serial, binding=message.binding if self._word(message) else None))

    def _from_unit(self, message: object) -> None:
        assert isinstance(message, Verdict)  # noqa: S101 - a unit forwards nothing else
        if self._word is None:
            self._tell(message)

    def _tell(self, word: Verdict) -> None:
        self.refused = self.refused or word.binding is None
        self.at_module.report(WordCame(word.serial, word.binding))


async def carry(near: AtMobile, courier: Courier, scope: trio.CancelScope) -> None:
    """Be the mobile of one session at a module's local link, until that ends or `scope` is cancelled.

    It vouches for whatever the module says, and tells the unit; a link that is lost is the module's affair.
    """
    with scope:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(near.listen)
                said = await near.conveyance()
                number = said.random
                if number is None:
                    number = NUMBER
                    await near.send(Number(number))
                courier.at_unit.report(NumberConveyed(said.serial, said.binding, number, NAME))
                await near.send(Verdict(serial=said.serial, binding=said.binding))
        except* (InsituError, TransportError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            with trio.move_on_after(1) as farewell:
                farewell.shield = True
                await near.aclose()
