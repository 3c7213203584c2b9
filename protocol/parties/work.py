"""The module at work: authorizations, payloads, symmetric keys, reset; LAST its table, its working life on one screen.

It begins where `module.py` ends and knows no message of a personalization (S1). Whatever must not happen twice has a
number: the module gives ascending ones for life, durable before they are sent, and remembers the highest of the central
system's (S10). Its states, data and events are in `work_data.py`, what concerns symmetric keys in `work_keys.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..channel import proofs
from ..channel.cose import ES256, verify_signature
from ..channel.opened import ChannelOpened
from ..engine import (
    STAY,
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    KeyOperationFailed,
    KeyUnwrapped,
    SecretUsed,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..keys.certificates import Role, trusted_root
from ..keys.revocation import read_crl
from ..messages import (
    MOST_OPEN,
    Beat,
    Declined,
    Greeting,
    HeldInstruction,
    Instruct,
    LoadKey,
    OpenTransaction,
    Outcome,
    PayOut,
    Purpose,
    Received,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Revocations,
    TimeTold,
    Welcome,
    encode_message,
)
from .module_data import MACHINE_SECONDS
from .work_changes import caught_up, enclosed, erased, kept, numbered, settled
from .work_data import (
    BEAT_SECONDS,
    AuthorizationAsked,
    AuthorizationWanted,
    InstructionCame,
    InstructionTaken,
    PayloadGiven,
    PayloadKept,
    PayloadReceived,
    PayOutInstructed,
    ResetByHand,
    SecretWanted,
    TimePassed,
    TransactionSettled,
    WorkData,
    WorkState,
    answer_timer,
)
from .work_keys import (
    a_key_has_aged,
    a_key_has_expired,
    a_use_is_under_way,
    acknowledge_key,
    expire,
    expire_wanted,
    hand_over,
    its_life_is_over,
    keep_key,
    key_is_usable,
    note_age,
    policy_admits_it,
    refuse_key,
    remember_time,
    tell_failure,
    unwrap,
    use,
)
from .work_time import learned

S = WorkState

# Guards ------------------------------------------------------------------------------------------------------


def peer_is_the_pinned_central(data: WorkData, event: ChannelOpened) -> bool:
    """The other end used exactly the certificate that personalization left here (L9, S11)."""
    return event.intent.purpose is Purpose.OPERATE and bool(
        event.peer.chain and event.peer.role is Role.CENTRAL and event.peer.chain[0].der == data.record.central
    )


def there_is_room(data: WorkData, _: object) -> bool:
    """The module keeps no more than it can."""
    return len(data.record.open) < MOST_OPEN and len(data.record.outbox) < MOST_OPEN


def transaction_is_open(data: WorkData, event: TransactionSettled) -> bool:
    """The authorization is not settled yet, and no more is reported than may have been paid out."""
    known = next((each for each in data.record.open if each.number == event.number), None)
    return known is not None and event.paid <= (known.instructed or 0) and len(data.record.outbox) < MOST_OPEN


def answers_our_request(data: WorkData, event: PayOut) -> bool:
    """The instruction bears the number of an authorization that is not answered yet (S10)."""
    return any(asked.number == event.number for asked in data.asked)


def it_was_given_up(data: WorkData, event: PayOut) -> bool:
    """The authorization was ours, and nobody waits for its answer any more."""
    return 0 < event.number <= data.record.last


def we_sent_it(data: WorkData, event: Received) -> bool:
    """There is such a message."""
    return 0 < event.number <= data.record.last


def it_came_before(data: WorkData, event: Instruct | LoadKey | Revocations) -> bool:
    """It was taken in, and the answer may have been lost (S10)."""
    return event.number <= data.record.heard


def inbox_has_room(data: WorkData, _: Instruct) -> bool:
    """The ATM controller has taken enough of the instructions before it."""
    return len(data.record.inbox) < MOST_OPEN


def list_is_newer(data: WorkData, event: Revocations) -> bool:
    """The manufacturer signed the list, and it is not older than the one that is here (S5)."""
    root = trusted_root(data.record.root)
    new = read_crl(event.crl, root)
    return data.record.crl is None or new.number >= read_crl(data.record.crl, root).number


def it_is_in_the_inbox(data: WorkData, event: InstructionTaken) -> bool:
    """It waits to be taken."""
    return data.instruction(event.number) is not None


def epoch_is_ours(data: WorkData, event: ResetRequest) -> bool:
    """The central system means the module as it is now, not as it was before some reset."""
    return event.epoch == data.record.epoch


def command_is_authentic(data: WorkData, event: ResetCommand) -> bool:
    """The central system signed exactly this module, epoch and challenge (L8, S10)."""
    record = data.record
    command = proofs.reset_command(record.serial, record.epoch, proofs.reset_challenge(data.binding))
    return data.peer is not None and verify_signature(ES256, data.peer.public, command, event.signature)


def it_is_time_to_beat(_: WorkData, event: DeadlinePassed) -> bool:
    """It is no wait that ended, but our own pace."""
    return event.timer == "beat"


# Actions: contact ----------------------------------------------------------------------------------------------

_AWAIT_PEER: Final = StartTimer("peer", MACHINE_SECONDS)
_BEAT: Final = StartTimer("beat", BEAT_SECONDS)


def greet(data: WorkData, event: ChannelOpened) -> tuple[WorkData, Effects]:
    """Say how things stand, one generation further than ever before, so that an old store is noticed (S4)."""
    known, persist = kept(replace(data, peer=event.peer, binding=event.binding, wrapping=event.wrapping))
    record = known.record
    greeting = Greeting(record.epoch, given(record.fingerprint), record.generation, record.last)
    return known, [persist, Send(greeting), _AWAIT_PEER]


def resume(data: WorkData, event: Welcome) -> tuple[WorkData, Effects]:
    """Take time and vouching from the central system, then say again what it has not answered.

    An authorization of a life before the last restart that was never answered is settled with nothing: its customer
    has gone, and its card number is kept nowhere.
    """
    record = caught_up(data.record, event.taken)
    outbox = tuple(line for line, number in numbered(record) if number > event.taken)
    asked = {each.number for each in data.asked}
    lost = [each for each in record.open if each.instructed is None and each.number not in asked]
    lost = lost[: MOST_OPEN - len(outbox)]
    left = tuple(each for each in record.open if each not in lost)
    last = record.last
    for each in lost:
        last += 1
        outbox = (*outbox, encode_message(Outcome(last, each.number, 0)))
    told = learned(replace(data, vouched=True), event)
    known, persist = kept(told, outbox=outbox, open=left, last=last)
    again = [Send(message) for message in known.outgoing]
    waits = [StartTimer(answer_timer(each.number), MACHINE_SECONDS) for each in known.asked]
    return known, [StopTimer("peer"), persist, *again, *waits, _BEAT]


def beat(data: WorkData, _: DeadlinePassed) -> tuple[WorkData, Effects]:
    """Say that we are still here; silence in answer ends the session."""
    return data, [Send(Beat(data.record.generation)), _AWAIT_PEER, _BEAT]


def go_offline(data: WorkData, event: object) -> tuple[WorkData, Effects]:
    """Leave the central system; what was not answered is asked again at the next contact."""
    fault = Fault.TIMEOUT if isinstance(event, DeadlinePassed) else None
    return data.at_rest, [StopTimer("peer"), Close(fault, reason_of(event))]


# Actions: business ---------------------------------------------------------------------------------------------


def ask(data: WorkData, event: AuthorizationWanted) -> tuple[WorkData, Effects]:
    """Give it a number that is durable before it is sent, and ask the central system (L10)."""
    number = data.record.last + 1
    request = event.numbered(number)
    opened = (*data.record.open, OpenTransaction(number))
    known, persist = kept(replace(data, asked=(*data.asked, request)), last=number, open=opened)
    timer = StartTimer(answer_timer(number), MACHINE_SECONDS)
    return known, [persist, Show(AuthorizationAsked(event.tag, number)), Send(request), timer]


def pay_out(data: WorkData, event: PayOut) -> tuple[WorkData, Effects]:
    """Remember the answer, then hand it to the ATM controller: never twice. What is refused is settled."""
    opened = tuple(
        OpenTransaction(event.number, event.amount) if each.number == event.number else each
        for each in data.record.open
        if event.approved or each.number != event.number
    )
    asked = tuple(each for each in data.asked if each.number != event.number)
    known, persist = kept(replace(data, asked=asked), open=opened)
    note = PayOutInstructed(event.number, event.approved, event.amount if event.approved else 0, event.reference)
    return known, [StopTimer(answer_timer(event.number)), persist, Show(note)]


def report_outcome(data: WorkData, event: TransactionSettled) -> tuple[WorkData, Effects]:
    """Tell the central system what the customer got."""
    known, persist, message, stop = settled(data, event)
    return known, [stop, persist, Send(message)]


def keep_outcome(data: WorkData, event: TransactionSettled) -> tuple[WorkData, Effects]:
    """Have it told at the next contact."""
    known, persist, _, stop = settled(data, event)
    return known, [stop, persist]


def send_payload(data: WorkData, event: PayloadGiven) -> tuple[WorkData, Effects]:
    """Keep the payload until the host has it, and send it (L10)."""
    known, persist, message = enclosed(data, event)
    return known, [persist, Show(PayloadKept(event.tag, message.number)), Send(message)]


def keep_payload(data: WorkData, event: PayloadGiven) -> tuple[WorkData, Effects]:
    """Keep the payload for the next contact."""
    known, persist, message = enclosed(data, event)
    return known, [persist, Show(PayloadKept(event.tag, message.number))]


def strike_out(data: WorkData, event: Received) -> tuple[WorkData, Effects]:
    """The host has it."""
    outbox = tuple(line for line, number in numbered(data.record) if number > event.number)
    known, persist = kept(data, outbox=outbox)
    return known, [persist, Show(PayloadReceived(event.number))]


def take_in(data: WorkData, event: Instruct) -> tuple[WorkData, Effects]:
    """Keep the instruction until the ATM controller has taken it; only then acknowledge."""
    inbox = (*data.record.inbox, HeldInstruction(event.number, event.content))
    known, persist = kept(data, heard=event.number, inbox=inbox)
    return known, [persist, Send(Received(event.number)), Show(InstructionCame(event.number, event.content))]


def put_off(data: WorkData, event: Instruct) -> tuple[WorkData, Effects]:
    """Not now."""
    return data, [Send(Declined(event.number, Fault.UNAVAILABLE))]


def acknowledge(data: WorkData, event: Instruct) -> tuple[WorkData, Effects]:
    """Say again that it is here."""
    return data, [Send(Received(event.number))]


def acknowledge_list(data: WorkData, event: Revocations) -> tuple[WorkData, Effects]:
    """Say again whether it is here."""
    is_here = data.record.crl == event.crl
    return data, [Send(Received(event.number) if is_here else Declined(event.number, Fault.UNSUPPORTED))]


def strike_instruction(data: WorkData, event: InstructionTaken) -> tuple[WorkData, Effects]:
    """The ATM controller has it."""
    known, persist = kept(data, inbox=tuple(held for held in data.record.inbox if held.number != event.number))
    return known, [persist]


def keep_list(data: WorkData, event: Revocations) -> tuple[WorkData, Effects]:
    """Whom the manufacturer has revoked is no unit for us from now on."""
    known, persist = kept(data, heard=event.number, crl=event.crl)
    return known, [persist, Send(Received(event.number))]


def decline_list(data: WorkData, event: Revocations) -> tuple[WorkData, Effects]:
    """An older list than ours."""
    known, persist = kept(data, heard=event.number)
    return known, [persist, Send(Declined(event.number, Fault.UNSUPPORTED))]


# Actions: reset ------------------------------------------------------------------------------------------------


def challenge(data: WorkData, event: ResetRequest) -> tuple[WorkData, Effects]:
    """Answer a reset request, which comes instead of a welcome, with a fresh challenge."""
    return data, [Send(ResetChallenge(event.epoch, proofs.reset_challenge(data.binding))), _AWAIT_PEER]


def erase(data: WorkData, _: ResetCommand) -> tuple[WorkData, Effects]:
    """Destroy keys and certificates, then acknowledge (L8, S3)."""
    blank, effects = erased(data)
    return blank, [*effects, Send(ResetDone(blank.record.epoch)), Close()]


def erase_by_hand(data: WorkData, _: ResetByHand) -> tuple[WorkData, Effects]:
    """Destroy keys and certificates; the central system learns of it at the next contact (S4)."""
    blank, effects = erased(data)
    return blank, [*effects, Close()]


# The table ---------------------------------------------------------------------------------------------------

CONNECTED: Final = (S.CALLING, S.ONLINE, S.CHALLENGED)
RESTING: Final = (S.OPERATING, S.CALLING, S.CHALLENGED)
WORKING: Final = (S.OPERATING, *CONNECTED)

WORK: Final = Table[WorkState, WorkData](
    "module",
    WorkState,
    S.OPERATING,
    [
        # contact (L9): in, on, if, do, then
        row(S.OPERATING, ChannelOpened, peer_is_the_pinned_central, greet, S.CALLING),
        row(S.CALLING, Welcome, None, resume, S.ONLINE),
        row(S.ONLINE, DeadlinePassed, it_is_time_to_beat, beat, STAY),
        row(CONNECTED, DeadlinePassed, None, go_offline, S.OPERATING),
        row((*CONNECTED, S.LOADING), ChannelLost, None, go_offline, S.OPERATING),
        # business (L10)
        row(S.ONLINE, AuthorizationWanted, there_is_room, ask, STAY),
        row(S.ONLINE, PayOut, answers_our_request, pay_out, STAY),
        row(S.ONLINE, PayOut, it_was_given_up, None, STAY),
        row(S.ONLINE, TransactionSettled, transaction_is_open, report_outcome, STAY),
        row(RESTING, TransactionSettled, transaction_is_open, keep_outcome, STAY),
        row(S.ONLINE, PayloadGiven, there_is_room, send_payload, STAY),
        row(RESTING, PayloadGiven, there_is_room, keep_payload, STAY),
        row(S.ONLINE, Received, we_sent_it, strike_out, STAY),
        row(S.ONLINE, Instruct, it_came_before, acknowledge, STAY),
        row(S.ONLINE, Instruct, inbox_has_room, take_in, STAY),
        row(S.ONLINE, Instruct, None, put_off, STAY),
        row(WORKING, InstructionTaken, it_is_in_the_inbox, strike_instruction, STAY),
        row(S.ONLINE, Revocations, it_came_before, acknowledge_list, STAY),
        row(S.ONLINE, Revocations, list_is_newer, keep_list, STAY),
        row(S.ONLINE, Revocations, None, decline_list, STAY),
        # symmetric keys (L11)
        row(S.ONLINE, LoadKey, it_came_before, acknowledge_key, STAY),
        row(S.ONLINE, LoadKey, None, unwrap, S.LOADING),
        row(S.LOADING, KeyUnwrapped, policy_admits_it, keep_key, S.ONLINE),
        row(S.LOADING, KeyUnwrapped, None, refuse_key, S.ONLINE),
        row(S.LOADING, KeyOperationFailed, None, refuse_key, S.ONLINE),
        row(WORKING, SecretWanted, key_is_usable, use, STAY),
        row(WORKING, SecretWanted, its_life_is_over, expire_wanted, STAY),
        row(WORKING, SecretUsed, a_use_is_under_way, hand_over, STAY),
        row(WORKING, KeyOperationFailed, a_use_is_under_way, tell_failure, STAY),
        row(WORKING, TimePassed, a_key_has_expired, expire, STAY),
        row(WORKING, TimePassed, a_key_has_aged, note_age, STAY),
        row(WORKING, TimePassed, None, remember_time, STAY),
        row(S.ONLINE, TimeTold, a_key_has_expired, expire, STAY),
        row(S.ONLINE, TimeTold, a_key_has_aged, note_age, STAY),
        row(S.ONLINE, TimeTold, None, remember_time, STAY),
        # reset (L8)
        row(S.CALLING, ResetRequest, epoch_is_ours, challenge, S.CHALLENGED),
        row(S.CHALLENGED, ResetCommand, command_is_authentic, erase, S.RESET),
        row((*WORKING, S.LOADING), ResetByHand, None, erase_by_hand, S.RESET),
    ],
    name="module-at-work",
)
