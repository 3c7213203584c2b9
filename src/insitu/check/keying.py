"""The world of a keypad (A7): an operator who makes slips, asks for a correction, cancels, or is not there.

There is no session: the pad's table takes one key after the other, as its shell has it. The operator knows the TAN and
keys in what comes next of it, or something else. What stands on the pad, which shows nothing, is reckoned here from the
keys alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from ..protocol.engine import DeadlinePassed, InsituError, Show, StartTimer, StopTimer, TableError
from ..protocol.keys.codes import CodeRefused
from ..protocol.keys.tans import read_tan
from ..protocol.messages import Purpose, TrustOption
from ..protocol.parties.keypad import (
    KEYPAD,
    MOST_SLIPS,
    CancelKeyed,
    CorrectionKeyed,
    EnterKeyed,
    KeypadData,
    KeypadState,
    SymbolKeyed,
    TanAsked,
)
from ..protocol.progress import KeysAwaited, KeysRefused
from .intruder import Intruder
from .parties import ModuleParty
from .scenario import CRASHES, Scenario
from .seen import SeenState
from .state import Fact, Move, Place, State
from .values import Pool, canonical
from .world import BANKS, beginning

_ENDS: Final = frozenset({KeypadState.KEYED, KeypadState.GIVEN_UP})


class Keyed(IntEnum):
    """What may happen so many times, by its place in `State.left`."""

    CRASHES = CRASHES
    ASKED = 1
    """The module wants a TAN; the pad is opened for each."""
    SLIPS = 2
    """A symbol that is not the next one of the TAN."""
    ENTERED = 3
    """The operator says that this is all."""
    CORRECTED = 4


@dataclass(frozen=True)
class Pad:
    """A pad, and what the search has seen of it.

    Attributes:
        state, data: of its table.
        waits: a timer runs.
        stands: what was keyed in and not corrected since the operator was asked, or asked anew.
        stood: the same before the last key.
        refused: how often the operator was asked anew.
        told: what was shown last.
        broken: why it takes no more keys.

    """

    state: KeypadState = KeypadState.GIVEN_UP
    data: KeypadData = field(default_factory=KeypadData)
    waits: bool = False
    stands: str = ""
    stood: str = ""
    refused: int = 0
    told: str = ""
    broken: str = ""

    def after_all(self, events: Iterable[object]) -> Pad:
        """One key after the other."""
        pad = self
        for event in events:
            pad = pad.after(event)
        return pad

    def after(self, event: object) -> Pad:
        """One step of its table; it is opened anew for each question."""
        before = Pad(KEYPAD.initial) if isinstance(event, TanAsked) else self
        try:
            step = KEYPAD.step(before.state, before.data, event)
        except TableError:
            raise
        except InsituError as error:
            return replace(before, broken=str(error))
        pad = replace(before, state=step.state, data=step.data, told="", stood=before.stands)
        pad = replace(pad, stands=_standing(before.stands, event))
        for effect in step.effects:
            match effect:
                case StartTimer():
                    pad = replace(pad, waits=True)
                case StopTimer():
                    pad = replace(pad, waits=False)
                case Show(note):
                    anew = isinstance(note, (KeysAwaited, KeysRefused))
                    refused = pad.refused + isinstance(note, KeysRefused)
                    told = pad.told + repr(canonical(note))
                    pad = replace(pad, told=told, refused=refused, stands="" if anew else pad.stands)
                case _:
                    pad = replace(pad, broken=f"no effect of a pad: {type(effect).__name__}")
        return replace(pad, waits=False) if isinstance(event, DeadlinePassed) else pad


def _standing(before: str, event: object) -> str:
    if isinstance(event, SymbolKeyed):
        return before + event.symbol
    return before[:-1] if isinstance(event, CorrectionKeyed) else before


class Keying(Scenario):
    """A pad and its operator.

    Args:
        budget: what may happen, how often; what is not named does not.

    """

    def __init__(self, budget: Mapping[Keyed, int]) -> None:
        start = beginning(TrustOption.TAN)
        places = (Place("operator", ModuleParty(TrustOption.TAN, start), 0, 0),)
        super().__init__(start, places, Intruder(start, TrustOption.TAN, frozenset()), (Purpose.PERSONALIZE,))
        self.budget = budget
        self.tan = "".join(filter(str.isalnum, start.envelopes[BANKS[0]]))
        self._pads: Pool[Pad] = Pool()

    def initial(self) -> State:
        """See Scenario: nobody was asked yet."""
        left = tuple(self.budget.get(each, 0) for each in Keyed)
        return self._with(self.beginning((self.start.module,), left), Pad())

    def pad(self, state: State) -> Pad:
        """The pad."""
        return self._pads[state.beside]

    def _with(self, state: State, pad: Pad) -> State:
        return state._replace(beside=self._pads.number(pad, canonical(pad)))

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario; here nothing is kept."""
        return iter(())

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario: the next key, or some."""
        pad = self.pad(state)
        for step, text, events in self._possible(pad):
            if step is None or state.left[step]:
                before = state if step is None else self.less(state, step)
                yield Move("people", "operator", "", text), self._with(before, pad.after_all(events))

    def _possible(self, pad: Pad) -> Iterator[tuple[Keyed | None, str, list[object]]]:
        if pad.state in _ENDS or pad.broken:
            yield Keyed.ASKED, "is asked for a TAN", [TanAsked(BANKS[0])]
            return
        if self.tan.startswith(pad.stands) and pad.stands != self.tan:
            left: list[object] = [SymbolKeyed(symbol) for symbol in self.tan[len(pad.stands) :]]
            yield None, "keys in the next symbol", left[:1]
            yield None, "keys in the rest of it", left
        yield Keyed.SLIPS, "keys in another symbol", [SymbolKeyed("7" if self.tan[-1] != "7" else "8")]
        yield Keyed.CORRECTED, "corrects", [CorrectionKeyed()]
        yield Keyed.ENTERED, "enters", [EnterKeyed()]
        yield None, "cancels", [CancelKeyed()]
        if pad.waits:
            yield None, "is not there", [DeadlinePassed("key")]

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: who corrects everything and keys in the TAN is through; else once more, from the beginning."""
        pad = self.pad(state)
        if pad.state not in _ENDS and not self._through(pad):
            return "the operator cannot key in the TAN any more"
        return "" if self._through(pad.after(TanAsked(BANKS[0]))) else "the operator cannot key in a TAN at all"

    def _through(self, pad: Pad) -> bool:
        keys = *(CorrectionKeyed() for _ in pad.stands), *map(SymbolKeyed, self.tan), EnterKeyed()
        last = pad.after_all(keys)
        return last.state is KeypadState.KEYED and last.data.typed == self.tan


# What must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenKeying(SeenState):
    """A state, for the invariants."""

    scenario: Keying

    @property
    def pad(self) -> Pad:
        """The pad."""
        return self.scenario.pad(self.state)


def a7_what_a_pad_gives_is_what_was_keyed_in(seen: SeenKeying) -> str:
    """A7: a whole TAN with its check symbol, keyed in since the operator was asked, or asked anew."""
    pad = seen.pad
    if pad.state is not KeypadState.KEYED:
        return ""
    try:
        read_tan(pad.data.typed)
    except CodeRefused:
        return "what is no TAN goes to the module"
    return "" if pad.data.typed == pad.stands else "something else goes to the module than was keyed in"


def a7_nothing_that_was_typed_lies_about(seen: SeenKeying) -> str:
    """S9, A7: it is in no note and no reason; a pad that was given up has none of it, for whoever comes next."""
    pad = seen.pad
    if pad.state is KeypadState.GIVEN_UP and pad.data.typed:
        return "what was typed lies about"
    told = pad.told + pad.data.reason + pad.broken
    typed = pad.stands or pad.stood
    return "what was typed is told" if len(typed) > 3 and typed in told else ""


def a7_an_operator_may_begin_again_a_few_times(seen: SeenKeying) -> str:
    """A7: and no more often."""
    return f"an operator begins again {seen.pad.refused} times" if seen.pad.refused >= MOST_SLIPS else ""


def a7_a_pad_waits_while_it_takes_keys(seen: SeenKeying) -> str:
    """A7: with a limit on each key, and for nothing once it is over."""
    pad = seen.pad
    if pad.broken:
        return f"the pad takes no more keys: {pad.broken}"
    return "" if pad.waits == (pad.state is KeypadState.KEYING) else "the pad waits for nobody, or without a limit"


OF_A_STATE: Final = (
    a7_what_a_pad_gives_is_what_was_keyed_in,
    a7_nothing_that_was_typed_lies_about,
    a7_an_operator_may_begin_again_a_few_times,
    a7_a_pad_waits_while_it_takes_keys,
)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.beside
