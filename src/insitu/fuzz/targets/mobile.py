"""The mobile between its two links, and the frames that module and unit take from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...protocol.engine import Close, Forward, ProtocolError, Send
from ...protocol.messages import Conveyance, Number, Verdict, encode_message
from ...protocol.parties.mobile import (
    MOBILE,
    Begun,
    MobileData,
    MobileState,
    at_module,
    at_unit,
    from_module,
    from_unit,
)
from ..mutation import cut, joined
from ..scene import SERIAL
from ..target import Shape, check, outcome_of, target
from .samples import made_of

NUMBER: Final = bytes(range(16))
BINDING: Final = bytes(range(32))


def mobile_seeds() -> Iterator[bytes]:
    """Frames of both links; the first byte says which: even for the local one."""
    conveyed = Conveyance(serial=SERIAL, binding=BINDING, random=NUMBER)
    yes, no = Verdict(serial=SERIAL, binding=BINDING), Verdict(serial=SERIAL)
    without = Conveyance(serial=SERIAL, binding=BINDING)
    other = made_of(Conveyance, 0)
    for first, answer in ((conveyed, yes), (without, no), (other, yes), (conveyed, Number(NUMBER))):
        yield joined([b"\0" + encode_message(first), b"\1" + encode_message(answer)])


@target("mobile", Shape.FRAMES, mobile_seeds)
def mobile(data: bytes) -> str:
    """A mobile conveys what its own module said and brings back the verdict, each once; else ProtocolError."""
    state, known = MobileState.READY, MobileData(SERIAL, NUMBER)
    step = MOBILE.step(state, known, Begun())
    state, known = step.state, step.data
    outcome, conveyed, brought = "", 0, 0
    for frame in cut(data)[:8]:
        is_local, content = not frame or frame[0] % 2 == 0, frame[1:]
        for take in (at_module, at_unit):
            try:
                take(content)
            except ProtocolError:
                continue
        try:
            event = from_module(content) if is_local else from_unit(content)
            step = MOBILE.step(state, known, event)
        except ProtocolError as error:
            outcome = outcome or outcome_of(error)
            continue
        state, known = step.state, step.data
        for effect in step.effects:
            if isinstance(effect, Forward):
                conveyed += 1
                check(isinstance(event, Conveyance) and event.serial == SERIAL, "another module's number was conveyed")
            elif isinstance(effect, Send) and isinstance(effect.message, Verdict):
                brought += 1
                check(not is_local and conveyed == 1, "a verdict came from nowhere")
            elif isinstance(effect, Close):
                outcome = outcome or f"closed {effect.reason.split(' ')[0]}"
    check(conveyed <= 1 and brought <= 1, "something was said twice")
    return f"{state.name} {outcome}"
