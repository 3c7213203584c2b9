"""The central system's business with a module: authorizations, payloads, outcomes, and commands that wait for it.

Guards and actions that the table in `central.py` names. What is answered is in the registry before it is sent, so that
the same question gets the same answer, and the host is asked once (S10).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..engine import (
    Effects,
    Fault,
    KeyOperationFailed,
    KeyRewrapped,
    LookUp,
    Persist,
    RewrapKey,
    Send,
    Show,
    StartTimer,
    StopTimer,
    given,
)
from ..messages import (
    Authorize,
    Declined,
    Instruct,
    KeyLoaded,
    LoadKey,
    Outcome,
    Payload,
    PayOut,
    Received,
    Revocations,
)
from ..stores.registry import Change, CommandKind, CommandState, Delivery, ModuleEntry, Transaction
from .central_data import (
    MACHINE_SECONDS,
    CentralData,
    CommandConcluded,
    CommandFound,
    Decided,
    Question,
    TransactionDecided,
    TransactionFound,
)

# Guards ------------------------------------------------------------------------------------------------------


def number_is_new(data: CentralData, event: Authorize | Payload | Outcome) -> bool:
    """No message of this module has had this number or a later one, so that the registry has nothing under it (S10)."""
    return event.number > data.held.last_number


def it_was_decided(data: CentralData, event: TransactionFound) -> bool:
    """The module asks again what was decided."""
    known = event.transaction
    return known is not None and known.approved is not None and _is_same(known, given(data.asked))


def nobody_decided_it(data: CentralData, event: TransactionFound) -> bool:
    """The host was asked, and its answer is lost: it is not asked twice (S10)."""
    known = event.transaction
    return known is not None and known.approved is None and _is_same(known, given(data.asked))


def it_answers_the_module(data: CentralData, event: Decided) -> bool:
    """The host decided about the authorization that the module waits for, and about no other."""
    return event.instruction.number == given(data.asked).number


def nothing_waits(data: CentralData, event: CommandFound) -> bool:
    """There is nothing to send, or something was sent meanwhile."""
    return event.command is None or data.command is not None


def it_is_a_key(_: CentralData, event: CommandFound) -> bool:
    """What waits is a symmetric key."""
    return event.order is not None


def it_acknowledges_our_command(data: CentralData, event: Received) -> bool:
    """The module has what we sent last."""
    return data.command is not None and event.number == data.command.number


def check_value_agrees(data: CentralData, event: KeyLoaded) -> bool:
    """The module holds exactly the key that we sent."""
    sent = data.command is not None and event.number == data.command.number
    return sent and data.order is not None and event.check_value == data.order.check_value


def it_is_busy(data: CentralData, event: Declined) -> bool:
    """The module takes the command later."""
    return data.command is not None and event.number == data.command.number and event.code is Fault.UNAVAILABLE


def it_declines_our_command(data: CentralData, event: Declined) -> bool:
    """The module will not do what we sent last."""
    return data.command is not None and event.number == data.command.number


def ending(number: str) -> str:
    """What is kept of a card or account number: the last four characters, and never all of them (S9)."""
    return number[-4:] if len(number) > 4 else ""


def _is_same(known: Transaction, asked: Authorize) -> bool:
    """Whether a repeated question is the same question, as far as is kept of it."""
    return (known.amount, known.currency, known.card, known.account) == (
        asked.amount,
        asked.currency,
        ending(asked.card),
        ending(asked.account),
    )


# Actions: authorizations and payloads ------------------------------------------------------------------------


def look_for_transaction(data: CentralData, event: Authorize) -> tuple[CentralData, Effects]:
    """Look whether this was asked before."""
    return replace(data, asked=event), [LookUp("transaction", (data.held.serial, event.number))]


def have_it_decided(data: CentralData, asked: Authorize) -> tuple[CentralData, Effects]:
    """Remember for good that it was asked, then ask the host: whatever is lost after that, it decides once (S10)."""
    entry = data.held
    transaction = Transaction(
        serial=entry.serial,
        number=asked.number,
        epoch=entry.epoch,
        card=ending(asked.card),
        account=ending(asked.account),
        amount=asked.amount,
        currency=asked.currency,
        asked=data.at,
    )
    numbered = replace(entry, last_number=asked.number)
    written, persist = entered(replace(data, asked=asked, transaction=transaction), numbered, transaction=transaction)
    return written, [persist, LookUp("decision", Question(entry.serial, asked))]


def instruct(data: CentralData, event: Decided) -> tuple[CentralData, Effects]:
    """Remember the decision, then instruct the module (L10)."""
    return _decide(data, given(data.transaction), event.instruction)


def decline_for_good(data: CentralData, event: TransactionFound) -> tuple[CentralData, Effects]:
    """Nobody knows what the host would have said: nothing is paid out."""
    return _decide(data, given(event.transaction), _refusal(given(data.asked)))


def repeat(data: CentralData, event: TransactionFound) -> tuple[CentralData, Effects]:
    """Give the same answer again, if no other session with this module came in between: then the write is refused."""
    known = given(event.transaction)
    again = PayOut(known.number, given(known.approved), known.instructed, known.reference)
    written, persist = entered(replace(data, asked=None), replace(data.held, last_contact=data.at))
    return written, [persist, Send(again)]


def take_in(data: CentralData, event: Payload) -> tuple[CentralData, Effects]:
    """Keep the payload for the host; only then acknowledge."""
    entry = replace(data.held, last_number=event.number)
    delivery = Delivery(entry.serial, event.number, event.content, data.at)
    written, persist = entered(data, entry, delivery=delivery)
    return written, [persist, Send(Received(event.number))]


def acknowledge(data: CentralData, event: Payload | Outcome) -> tuple[CentralData, Effects]:
    """Say again that it is here (S10)."""
    return data, [Send(Received(event.number))]


def look_for_settled(data: CentralData, event: Outcome) -> tuple[CentralData, Effects]:
    """Look which transaction this is about."""
    return replace(data, outcome=event), [LookUp("transaction", (data.held.serial, event.transaction))]


def settle(data: CentralData, event: TransactionFound) -> tuple[CentralData, Effects]:
    """Enter what the customer got; an authorization that never came here has nothing to be entered in."""
    outcome = given(data.outcome)
    entry = replace(data.held, last_number=outcome.number)
    known = event.transaction
    if known is not None and known.settled is None:
        known = replace(known, paid=outcome.paid, settled=data.at, approved=known.approved or False)
    written, persist = entered(replace(data, outcome=None), entry, transaction=known)
    return written, [persist, Send(Received(outcome.number))]


# Actions: commands -------------------------------------------------------------------------------------------


def hand_over(data: CentralData, event: CommandFound) -> tuple[CentralData, Effects]:
    """Send what waits."""
    command = given(event.command)
    message = Revocations if command.kind is CommandKind.REVOKE else Instruct
    known = replace(data, command=command)
    return known, [Send(message(command.number, command.content)), StartTimer("command", MACHINE_SECONDS)]


def wrap(data: CentralData, event: CommandFound) -> tuple[CentralData, Effects]:
    """Have key memory put the symmetric key under the channel's wrapping key (L11)."""
    order = given(event.order)
    return replace(data, command=event.command, order=order), [RewrapKey(order.block, data.wrapping)]


def send_key(data: CentralData, event: KeyRewrapped) -> tuple[CentralData, Effects]:
    """Send the key block."""
    order, command = given(data.order), given(data.command)
    message = LoadKey(command.number, event.block, order.not_after, order.uses)
    return data, [Send(message), StartTimer("command", MACHINE_SECONDS)]


def conclude(data: CentralData, event: Received | KeyLoaded) -> tuple[CentralData, Effects]:
    """The module has it; on to the next."""
    outcome = event.check_value if isinstance(event, KeyLoaded) else "received"
    return _concluded(data, CommandState.DONE, outcome)


def give_up_command(data: CentralData, event: Declined | KeyOperationFailed) -> tuple[CentralData, Effects]:
    """It will never have it; on to the next."""
    reason = event.code.name.lower() if isinstance(event, Declined) else event.reason
    return _concluded(data, CommandState.REFUSED, reason)


def put_off(data: CentralData, _: Declined) -> tuple[CentralData, Effects]:
    """Let it wait until something calls for attention again, at the latest at the next contact."""
    return replace(data, command=None, order=None), [StopTimer("command")]


# What several actions share ----------------------------------------------------------------------------------


def entered(data: CentralData, entry: ModuleEntry, **with_it: Any) -> tuple[CentralData, Persist]:  # noqa: ANN401 - fields of Change
    """The entry as it is once the change is committed, and the effect that commits it."""
    return replace(data, entry=replace(entry, version=entry.version + 1)), Persist(Change(entry, **with_it))


def _decide(data: CentralData, transaction: Transaction, answer: PayOut) -> tuple[CentralData, Effects]:
    decided = replace(
        transaction,
        approved=answer.approved,
        instructed=answer.amount if answer.approved else 0,
        reference=answer.reference,
    )
    written, persist = entered(replace(data, asked=None, transaction=None), data.held, transaction=decided)
    return written, [persist, Send(answer), Show(TransactionDecided(decided))]


def _refusal(asked: Authorize) -> PayOut:
    return PayOut(number=asked.number, approved=False, amount=0, reference="")


def _concluded(data: CentralData, state: CommandState, outcome: str) -> tuple[CentralData, Effects]:
    command, entry = given(data.command), data.held
    known = replace(data, command=None, order=None)
    written, persist = entered(known, entry, concluded=(command.number, state, outcome))
    note = Show(CommandConcluded(entry.serial, command.number, outcome))
    return written, [StopTimer("command"), persist, note, LookUp("command", entry.serial)]
