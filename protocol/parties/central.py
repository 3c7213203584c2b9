"""The central system's side of one session with one module: what it checks, what it does, and LAST its table.

What it decides about money is not here: a LookUp asks the host, and the answer comes back as an event. What it knows
about the module is its registry entry, persisted before anything that depends on it is sent; a write that somebody
else's came before is refused, and the session ends. States, data and answers are in `central_data.py`, business
and commands in `central_business.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..channel import proofs
from ..channel.opened import ChannelOpened
from ..engine import (
    STAY,
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    KeyOperationFailed,
    KeyRewrapped,
    LookUp,
    ProtocolError,
    Send,
    Show,
    Sign,
    Signed,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..keys.certificates import Role
from ..messages import (
    Authorize,
    Beat,
    Declined,
    Greeting,
    KeyLoaded,
    Outcome,
    Payload,
    Purpose,
    Received,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    TimeTold,
    Welcome,
)
from ..stores.registry import Known, ModuleEntry, Standing, stands_in_spite_of_loss
from .central_business import (
    acknowledge,
    check_value_agrees,
    conclude,
    decline_for_good,
    entered,
    give_up_command,
    hand_over,
    have_it_decided,
    instruct,
    it_acknowledges_our_command,
    it_answers_the_module,
    it_declines_our_command,
    it_is_a_key,
    it_is_busy,
    it_was_decided,
    look_for_settled,
    look_for_transaction,
    nobody_decided_it,
    nothing_waits,
    number_is_new,
    put_off,
    repeat,
    send_key,
    settle,
    take_in,
    wrap,
)
from .central_data import (
    MACHINE_SECONDS,
    SILENCE_SECONDS,
    AttentionCalled,
    CentralData,
    CentralState,
    CommandFound,
    Decided,
    ModuleContacted,
    ModuleFound,
    ModuleReset,
    TransactionFound,
)
from .central_logs import (
    doubt_its_card,
    is_on_time,
    it_was_certified_outside_the_log,
    its_certificate_is_unlogged,
    objection_to_log,
    with_look,
)

S = CentralState

# Guards ------------------------------------------------------------------------------------------------------


def module_is_certified(_: CentralData, event: ChannelOpened) -> bool:
    """A customer's card certified this key as a module's (L9)."""
    return event.intent.purpose is Purpose.OPERATE and event.peer.role is Role.MODULE


def a_reset_is_due(data: CentralData, event: ModuleFound) -> bool:
    """The module is as it was when its reset was ordered: that is all it may still do, it or a copy of it."""
    entry = event.known.entry
    if entry is None or entry.standing not in (Standing.RESET_ORDERED, Standing.RESET) or data.greeting is None:
        return False
    shown = given(data.peer).chain[0].fingerprint
    return data.greeting.epoch == entry.epoch and data.greeting.fingerprint == shown == entry.fingerprint


def nothing_speaks_against_it(data: CentralData, event: ModuleFound) -> bool:
    """The module may work (S4, S5).

    Raises:
        ProtocolError: it may not, and why.

    """
    return _unobjected(_objection(data, event.known) or objection_to_log(data, event.known))


def it_may_stay(data: CentralData, event: ModuleFound) -> bool:
    """The module that is online may go on working (S5).

    Raises:
        ProtocolError: it may not, and why; the session ends.

    """
    known = event.known
    same = known.entry is not None and known.entry.fingerprint == data.held.fingerprint
    other = "" if same else "another certificate counts by now"
    return _unobjected(_objection_to_issuer(data, known) or other or objection_to_log(data, known))


def its_certificate_has_expired(data: CentralData, _: Beat) -> bool:
    """The module's time, or its issuer's, ended while the session was open; the handshake would refuse it by now."""
    return any(data.at > certificate.not_after for certificate in given(data.peer).chain)


def its_store_has_changed(data: CentralData, event: Beat) -> bool:
    """The module has written since it last said so."""
    return event.generation > data.held.generation


def challenge_is_for_this_epoch(data: CentralData, event: ResetChallenge) -> bool:
    """The module answers the request that we made."""
    return event.epoch == data.held.epoch


def a_new_epoch_began(data: CentralData, event: ResetDone) -> bool:
    """The module counted the reset."""
    return event.epoch == data.held.epoch + 1


def _unobjected(objection: str) -> bool:
    if objection:
        raise ProtocolError("module refused", who="central", expected="one that may work", got=objection)
    return True


def _objection(data: CentralData, known: Known) -> str:
    """Why a module that greets may not work; empty if it may.

    What the card signed decides: a certificate that was made after the one that counts takes its place, whatever
    epoch the module tells (a card never back-dates). Made in the same second, it needs a newer epoch. A module that
    begins anew like that may have lost count of its messages: it is told where to go on.
    """
    entry, greeting, certificate = known.entry, given(data.greeting), given(data.peer).chain[0]
    if greeting.fingerprint != certificate.fingerprint:
        return "it speaks of another certificate than it showed"
    objection = _objection_to_issuer(data, known)
    if objection or entry is None:
        return objection
    if certificate.fingerprint == entry.fingerprint:
        if greeting.last < entry.last_number:
            return f"its store is an old copy: last message {greeting.last}, here {entry.last_number}"
        if entry.standing is not Standing.OPERATING:
            return f"its certificate is worthless since the module was reset ({entry.standing.value})"
        if greeting.epoch != entry.epoch:
            return f"epoch {greeting.epoch} with the certificate of epoch {entry.epoch}"
        if greeting.generation <= entry.generation:
            return f"its store is an old copy: generation {greeting.generation}, here {entry.generation}"
        return ""
    if known.retired:
        return "a certificate from before a reset"
    age = (certificate.not_before, greeting.epoch if certificate.not_before == entry.issued else 0)
    if age <= (entry.issued, entry.epoch if certificate.not_before == entry.issued else 0):
        return "a certificate older than the one that counts"
    if given(known.issuer).owner != entry.owner and entry.standing is not Standing.RESET:
        return f"the module is {entry.owner}'s until it is reset"
    return ""


def _objection_to_issuer(data: CentralData, known: Known) -> str:
    """Why nothing that was certified like this may work, also if it did before (S5)."""
    entry, issuer, shown = known.entry, known.issuer, given(data.peer).chain[0]
    if entry is not None and entry.standing is Standing.DISABLED:
        return "the module is disabled"
    if issuer is None:
        return "the key that certified it is not trusted"
    if known.revoked:
        return "its certificate or its issuer's is revoked"
    return "" if stands_in_spite_of_loss(issuer, entry, shown.fingerprint) else "the key that certified it is disabled"


# Actions: contact --------------------------------------------------------------------------------------------

_AWAIT_MODULE: Final = StartTimer("module", MACHINE_SECONDS)
_AWAIT_BEAT: Final = StartTimer("silence", SILENCE_SECONDS)


def greet(data: CentralData, event: ChannelOpened) -> tuple[CentralData, Effects]:
    """Wait for the module to say how things stand."""
    return replace(data, peer=event.peer, wrapping=event.wrapping), [_AWAIT_MODULE]


def look_it_up(data: CentralData, event: Greeting) -> tuple[CentralData, Effects]:
    """Ask the registry who this is."""
    return replace(data, greeting=event), [StopTimer("module"), LookUp("module", data.query)]


def register(data: CentralData, event: ModuleFound) -> tuple[CentralData, Effects]:
    """Note the contact; a newer certificate makes the older one worthless."""
    greeting, (certificate, issuer) = given(data.greeting), given(data.peer).chain
    known = event.known.entry
    stays = known is not None and known.fingerprint == certificate.fingerprint
    entry = ModuleEntry(
        serial=certificate.subject,
        owner=given(event.known.issuer).owner,
        issuer=issuer.fingerprint,
        epoch=greeting.epoch,
        fingerprint=certificate.fingerprint,
        certificate_number=certificate.serial_number,
        issued=certificate.not_before,
        first_seen=given(known).first_seen if stays else data.at,
        standing=Standing.OPERATING,
        last_contact=data.at,
        last_number=0 if known is None else known.last_number,
        generation=greeting.generation,
        version=0 if known is None else known.version,
    )
    note = None if stays else ("registered", f"epoch {entry.epoch}, certificate {entry.fingerprint.hex()}")
    written, persist = entered(replace(data, unlogged=is_on_time(data, event.known)), entry, note=note)
    welcome = Send(Welcome(data.at, entry.last_number))
    return written, [persist, welcome, _AWAIT_BEAT, Show(ModuleContacted(entry)), LookUp("command", entry.serial)]


def tell_time(data: CentralData, _: Beat) -> tuple[CentralData, Effects]:
    """We are here, too."""
    return data, [Send(TimeTold(data.at)), _AWAIT_BEAT]


def note_generation(data: CentralData, event: Beat) -> tuple[CentralData, Effects]:
    """Remember how far the module's store is, so that no older copy of it passes (S4)."""
    written, persist = entered(data, replace(data.held, generation=event.generation, last_contact=data.at))
    return written, [persist, Send(TimeTold(data.at)), _AWAIT_BEAT]


def beat_and_look(data: CentralData, event: Beat) -> tuple[CentralData, Effects]:
    """The same, and ask the registry whether a log has its certificate by now, or its time is over."""
    return with_look(*(note_generation if its_store_has_changed(data, event) else tell_time)(data, event))


def look_again(data: CentralData, _: AttentionCalled) -> tuple[CentralData, Effects]:
    """Ask the registry what changed about this module."""
    return data, [LookUp("module", data.query)]


def look_for_command(data: CentralData, event: ModuleFound) -> tuple[CentralData, Effects]:
    """All is well; look whether there is something to send."""
    entry = given(event.known.entry)
    return replace(data, entry=entry, unlogged=is_on_time(data, event.known)), [LookUp("command", entry.serial)]


def part(data: CentralData, event: object) -> tuple[CentralData, Effects]:
    """End the session."""
    fault = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    return data, [StopTimer("module"), Close(fault, reason_of(event))]


def part_with_expired(data: CentralData, _: Beat) -> tuple[CentralData, Effects]:
    """End the session of a module that no new one would be opened for."""
    return data, [Close(Fault.UNTRUSTED, "the module's certificate has expired, or its issuer's")]


# Actions: reset ----------------------------------------------------------------------------------------------


def request_reset(data: CentralData, event: ModuleFound) -> tuple[CentralData, Effects]:
    """Ask for a challenge before anything else; the certificate is good for nothing but that since the order (S4)."""
    entry = given(event.known.entry)
    return replace(data, entry=entry), [Send(ResetRequest(entry.epoch)), _AWAIT_MODULE]


def send_away(data: CentralData, _: ModuleFound) -> tuple[CentralData, Effects]:
    """Have the module come again: it is reset at the beginning of a session, where nothing else is under way."""
    return data, [Close()]


def sign_command(data: CentralData, event: ResetChallenge) -> tuple[CentralData, Effects]:
    """Sign for this module, this epoch, this challenge (L8)."""
    command = proofs.reset_command(data.held.serial, event.epoch, event.challenge)
    return data, [StopTimer("module"), Sign(data.key, command)]


def command_reset(data: CentralData, event: Signed) -> tuple[CentralData, Effects]:
    """Hand the module the command."""
    return data, [Send(ResetCommand(event.signature)), _AWAIT_MODULE]


def strike_off(data: CentralData, event: ResetDone) -> tuple[CentralData, Effects]:
    """The module has erased its keys."""
    entry = replace(data.held, standing=Standing.RESET, last_contact=data.at)
    written, persist = entered(data, entry, note=("reset", f"epoch {event.epoch} begins"))
    return written, [StopTimer("module"), persist, Show(ModuleReset(entry.serial, event.epoch)), Close()]


# The table ---------------------------------------------------------------------------------------------------

OPEN: Final = tuple(state for state in S if state not in (S.LISTENING, S.ENDED))

CENTRAL: Final = Table[CentralState, CentralData](
    "central",
    CentralState,
    S.LISTENING,
    [
        # contact (L9): in, on, if, do, then
        row(S.LISTENING, ChannelOpened, module_is_certified, greet, S.GREETING),
        row(S.GREETING, Greeting, None, look_it_up, S.RECOGNIZING),
        row(S.RECOGNIZING, ModuleFound, a_reset_is_due, request_reset, S.RESETTING),
        row(S.RECOGNIZING, ModuleFound, it_was_certified_outside_the_log, doubt_its_card, S.ENDED),
        row(S.RECOGNIZING, ModuleFound, nothing_speaks_against_it, register, S.ONLINE),
        row(S.ONLINE, Beat, its_certificate_has_expired, part_with_expired, S.ENDED),
        row(S.ONLINE, Beat, its_certificate_is_unlogged, beat_and_look, STAY),
        row(S.ONLINE, Beat, its_store_has_changed, note_generation, STAY),
        row(S.ONLINE, Beat, None, tell_time, STAY),
        row(S.ONLINE, AttentionCalled, None, look_again, STAY),
        row(S.ONLINE, ModuleFound, a_reset_is_due, send_away, S.ENDED),
        row(S.ONLINE, ModuleFound, it_was_certified_outside_the_log, doubt_its_card, S.ENDED),
        row(S.ONLINE, ModuleFound, it_may_stay, look_for_command, STAY),
        # business (L10)
        row(S.ONLINE, Authorize, number_is_new, have_it_decided, S.DECIDING),
        row(S.ONLINE, Authorize, None, look_for_transaction, S.CHECKING),
        row(S.CHECKING, TransactionFound, it_was_decided, repeat, S.ONLINE),
        row(S.CHECKING, TransactionFound, nobody_decided_it, decline_for_good, S.ONLINE),
        row(S.DECIDING, Decided, it_answers_the_module, instruct, S.ONLINE),
        row(S.ONLINE, Payload, number_is_new, take_in, STAY),
        row(S.ONLINE, Payload, None, acknowledge, STAY),
        row(S.ONLINE, Outcome, number_is_new, look_for_settled, S.SETTLING),
        row(S.ONLINE, Outcome, None, acknowledge, STAY),
        row(S.SETTLING, TransactionFound, None, settle, S.ONLINE),
        # commands (L10, L11)
        row(S.ONLINE, CommandFound, nothing_waits, None, STAY),
        row(S.ONLINE, CommandFound, it_is_a_key, wrap, S.WRAPPING),
        row(S.ONLINE, CommandFound, None, hand_over, STAY),
        row(S.WRAPPING, KeyRewrapped, None, send_key, S.ONLINE),
        row(S.WRAPPING, KeyOperationFailed, None, give_up_command, S.ONLINE),
        row(S.ONLINE, Received, it_acknowledges_our_command, conclude, STAY),
        row(S.ONLINE, KeyLoaded, check_value_agrees, conclude, STAY),
        row(S.ONLINE, Declined, it_is_busy, put_off, STAY),
        row(S.ONLINE, Declined, it_declines_our_command, give_up_command, STAY),
        # reset (L8)
        row(S.RESETTING, ResetChallenge, challenge_is_for_this_epoch, sign_command, S.COMMANDING),
        row(S.COMMANDING, Signed, None, command_reset, S.COMMANDED),
        row(S.COMMANDED, ResetDone, a_new_epoch_began, strike_off, S.ENDED),
        row(S.COMMANDING, KeyOperationFailed, None, part, S.ENDED),
        row((S.LISTENING, *OPEN), ChannelLost, None, part, S.ENDED),
        row((S.GREETING, S.ONLINE, S.RESETTING, S.COMMANDED), DeadlinePassed, None, part, S.ENDED),
    ],
)
