"""A mobile without I/O: the product's table between the second links of modules and units, with frames as on a wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from insitu.protocol.channel.trust.conveyed import NumberConveyed
from insitu.protocol.engine import Forward, Send
from insitu.protocol.messages import Conveyance, Message, NumberMaker, Verdict, encode_message
from insitu.protocol.parties.mobile import MOBILE, Begun, MobileData, MobileState, at_module, at_unit, from_module
from insitu.protocol.parties.mobile import from_unit as from_the_unit
from insitu.shell.second_link import SecondLink
from insitu.shell.trusting import Mobiles

MOBILE_NAME = "certificate 00"


@dataclass
class Courier:
    """The mobile of a world, and its two links.

    Attributes:
        entropy: of the mobile.
        maker: who makes the number, as the unit is told.
        name: which mobile it is, as its long-distance link proves it.
        believed: the mobiles that the unit is told of.
        local, distant: what crossed the links of the mobile, in order.
        to_unit: sees each conveyance before the unit gets it, and may change it.

    """

    entropy: Callable[[int], bytes]
    maker: NumberMaker = NumberMaker.UNIT
    name: str = MOBILE_NAME
    believed: frozenset[str] = frozenset({MOBILE_NAME})
    local: list[Message] = field(default_factory=list)
    distant: list[Message] = field(default_factory=list)
    to_unit: Callable[[Conveyance], Conveyance] = lambda conveyance: conveyance
    unit: SecondLink | None = None
    _module: SecondLink | None = None
    _state: MobileState = MobileState.READY
    _data: MobileData | None = None
    _caller: str = ""

    def at_module(self) -> SecondLink:
        """The mobile's cable is plugged into a module."""
        link = SecondLink(lambda message: self._from_module(link, message))
        return link

    def at_unit(self, _: str) -> Mobiles:
        """A unit waits for the mobile to call."""
        self.unit = SecondLink(self._from_unit)
        return Mobiles(self.believed, self.unit, self.maker)

    def convey(self, conveyance: Conveyance, *, name: str | None = None) -> None:
        """Say this to the unit, as the mobile `name`."""
        self.distant.append(conveyance)
        if self.unit is None:
            return
        arrived = at_unit(encode_message(conveyance))
        assert arrived.random is not None
        self._caller = name or self.name
        known = NumberConveyed(arrived.serial, arrived.binding, arrived.random, self._caller)
        self.unit.report(known)

    def _from_module(self, link: SecondLink, message: object) -> None:
        assert isinstance(message, Conveyance)
        self.local.append(message)
        self._module = link
        self._data = MobileData(message.serial, self.entropy(16))
        self._state = MobileState.READY
        self._step(Begun())
        self._step(from_module(encode_message(message)))

    def _from_unit(self, message: object) -> None:
        assert isinstance(message, Verdict)
        self.distant.append(message)
        if self._state is MobileState.CONVEYED and self._caller == self.name:
            self._step(from_the_unit(encode_message(message)))

    def _step(self, event: object) -> None:
        assert self._data is not None
        step = MOBILE.step(self._state, self._data, event)
        self._state, self._data = step.state, step.data
        for effect in step.effects:
            if isinstance(effect, Send):
                assert self._module is not None
                message: Message = effect.message  # type: ignore[assignment]
                self.local.append(message)
                self._module.report(at_module(encode_message(message)))
            elif isinstance(effect, Forward):
                assert isinstance(effect.message, Conveyance)
                self.convey(self.to_unit(effect.message))
