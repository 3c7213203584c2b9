"""How the durable record of a module at work changes: one function a change, each the next generation of the record.

No decisions: those are in `work.py` and `work_keys.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..engine import Effect, Effects, Persist, Show, StopTimer
from ..messages import ModuleCondition, ModuleRecord, Outcome, Payload, decode_message, encode_message
from .work_data import KeysErased, PayloadGiven, TransactionSettled, WorkData, answer_timer


def kept(data: WorkData, **changes: Any) -> tuple[WorkData, Persist]:  # noqa: ANN401 - fields of the record
    """The record with these changes, one generation further, and the effect that makes it durable with its keys.

    Whatever is written, the latest time that the central system told is written with it.
    """
    record = data.record.written(latest=max(data.record.latest, data.reckoning.told), **changes)
    return replace(data, record=record), Persist(record, record.labels)


def numbered(record: ModuleRecord) -> list[tuple[bytes, int]]:
    """The messages in the outbox, each with its number."""
    outgoing = WorkData(record).outgoing
    return [(encode_message(message), _number(message)) for message in outgoing]


def _number(message: object) -> int:
    return message.number if isinstance(message, (Payload, Outcome)) else 0


def caught_up(record: ModuleRecord, taken: int) -> ModuleRecord:
    """The record with numbers that its central system has not taken in yet, if that has heard more than is known here.

    So it is after a reset of a module whose store was an old copy, or in the place of another module: what waits was
    never sent, and would be taken for what was heard before.
    """
    if taken <= record.last:
        return record
    waiting = [decode_message(line) for line in record.outbox]
    numbers = range(taken + 1, taken + 1 + len(waiting))
    anew = [
        replace(each, number=number)
        for each, number in zip(waiting, numbers, strict=True)
        if isinstance(each, (Payload, Outcome))
    ]
    return replace(record, outbox=tuple(map(encode_message, anew)), last=taken + len(waiting))


def settled(data: WorkData, event: TransactionSettled) -> tuple[WorkData, Persist, Outcome, Effect]:
    """The authorization is settled, and its outcome waits in the outbox; what stops waiting for its answer."""
    message = Outcome(data.record.last + 1, event.number, event.paid)
    opened = tuple(each for each in data.record.open if each.number != event.number)
    asked = tuple(each for each in data.asked if each.number != event.number)
    outbox = (*data.record.outbox, encode_message(message))
    known, persist = kept(replace(data, asked=asked), last=message.number, open=opened, outbox=outbox)
    return known, persist, message, StopTimer(answer_timer(event.number))


def enclosed(data: WorkData, event: PayloadGiven) -> tuple[WorkData, Persist, Payload]:
    """The payload waits in the outbox."""
    message = Payload(data.record.last + 1, event.content)
    known, persist = kept(data, last=message.number, outbox=(*data.record.outbox, encode_message(message)))
    return known, persist, message


def erased(data: WorkData) -> tuple[WorkData, Effects]:
    """The record after a reset: what manufacture left, in the next epoch, and the numbers that never fall.

    The latest time is what the central system told: nobody has vouched for what the module's own clock says by now.
    """
    old = data.record
    record = ModuleRecord(
        serial=old.serial,
        root=old.root,
        condition=ModuleCondition.RESET,
        epoch=old.epoch + 1,
        latest=max(old.latest, data.reckoning.told),
        identity=old.identity,
        generation=old.generation + 1,
        last=old.last,
        heard=old.heard,
        crl=old.crl,
        shared=old.shared,
        ticket=old.ticket,
        circular=old.circular,
    )
    note = KeysErased(record.epoch, len(old.outbox) + len(old.inbox))
    return WorkData(record), [StopTimer("peer"), Persist(record, record.lasting), Show(note)]
