"""What must hold in a simulated world, whatever goes wrong in it: S1 to S13 of SECURITY.md, as far as events show them.

Each is one function, which looks at an event and at what happened before, and raises a Violation. CHECKS says which
look at what. They know the truth that no party knows; none of them asks the code under test whether it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from ..protocol.channel.trust import ModuleAtWork
from ..protocol.engine import InsituError, given
from ..protocol.messages import ModuleCondition, Purpose, TrustOption
from ..protocol.stores.card_log import Intent, ListIntent
from ..protocol.stores.registry import Standing
from .history import (
    CardLogged,
    ChannelSecured,
    History,
    HostDecided,
    LineWritten,
    MessageSeen,
    ModuleAdmitted,
    ModuleReportedDone,
    ModuleWrote,
    PayloadSealed,
    PayOutShown,
    RegistryWrote,
    RemainsFound,
    SecretServed,
    StoreFound,
    TanTried,
    Violation,
)

LATE_SECONDS: Final = 300
"""How long after its term a symmetric key may still be used: a module that hears the time once a minute, and looks at
its clock as often, may be so much behind."""
CLOSING_SECONDS: Final = 60
"""How long a session may go on with a module that may not work any more: hosts look every second or so, and a registry
that does not answer is asked again."""


SESSION_SECONDS: Final = 330
"""How long a session may last in which a unit certifies a module: people are waited for, 300 seconds at most."""


def s1_operating_lasts_until_a_reset(history: History, event: ModuleWrote) -> None:
    """What a personalization made does not change while a module operates; only a reset ends it, and counts it."""
    before, after = event.before, event.after
    if before is None or before.condition is not ModuleCondition.OPERATING:
        return
    if after.condition is ModuleCondition.OPERATING:
        of = [(each.key, each.module, each.customer, each.central, each.epoch) for each in (before, after)]
        if of[0] != of[1]:
            raise Violation("S1", f"{event.serial} was personalized anew while it operated")
    elif after.condition is not ModuleCondition.RESET:
        raise Violation("S1", f"{event.serial} went from operating to {after.condition.name.lower()}")


def s2_operating_is_whole(history: History, event: ModuleWrote) -> None:
    """A module that operates has a whole chain, the key pair of its certificate, and the host of its owner."""
    record = event.after
    if record.condition is not ModuleCondition.OPERATING:
        return
    before = event.before
    if before is not None and before.condition is record.condition and before.module == record.module:
        if event.vault.find(given(record.key)) is None:
            raise Violation("S2", f"{event.serial} lost its key pair")
        return
    try:
        ModuleAtWork.of(record, event.vault.find(given(record.key)))
    except InsituError as error:
        raise Violation("S2", f"{event.serial} operates: {error}") from error
    owner = history.owners.get(event.serial)
    if owner is None or {
        history.centrals.get(given(record.central)),
        history.customers.get(given(record.customer)),
    } != {owner}:
        raise Violation("S2", f"{event.serial} operates for somebody else than its owner")


def s2_who_is_said_to_operate_does(history: History, event: ModuleReportedDone) -> None:
    """What a unit reports as done is durable in the module, whatever happens to it afterwards (L7)."""
    fingerprint = sha256(event.certificate).digest()
    if not any(
        serial == event.serial and accepted == fingerprint for (serial, _), accepted in history.accepted.items()
    ):
        raise Violation("S2", f"{event.serial} was reported as personalized, and never had that certificate")


def s3_a_reset_is_done_before_it_is_acknowledged(history: History, event: RegistryWrote) -> None:
    """A host believes a module reset that it ordered only after the module's store has begun the next epoch."""
    before, after = event.before, event.after
    if before is None or before.standing is not Standing.RESET_ORDERED or after.standing is not Standing.RESET:
        return
    if history.epochs.get(after.serial, 0) <= before.epoch and after.serial not in history.tainted:
        raise Violation("S3", f"{after.serial} said that it was reset, and is in epoch {before.epoch} as before")


def s3_a_reset_destroys(history: History, event: ModuleWrote) -> None:
    """A module that does not operate has no key but those that outlast a reset; a reset begins the next epoch."""
    before, after = event.before, event.after
    if after.condition is ModuleCondition.OPERATING:
        if event.vault.labels() < after.labels:
            raise Violation("S3", f"{event.serial} lost keys that its record speaks of")
        return
    left = event.vault.labels() - after.lasting
    if left:
        raise Violation("S3", f"{event.serial} is {after.condition.name.lower()} and has {', '.join(sorted(left))}")
    if after.module is not None or after.central is not None or after.keys:
        raise Violation("S3", f"{event.serial} kept what its reset destroys")
    if before is not None and before.condition is ModuleCondition.OPERATING and after.epoch != before.epoch + 1:
        raise Violation("S3", f"{event.serial} was reset from epoch {before.epoch} to {after.epoch}")


def s3_a_store_keeps_its_promise(history: History, event: StoreFound) -> None:
    """What was acknowledged, a reset say, is there after a power cut at any write; unless the disk lies."""
    if not event.may_be:
        raise Violation("S3", f"the store of {event.serial} holds neither what was promised nor what was being written")


def s3_nothing_replaced_remains(history: History, event: RemainsFound) -> None:
    """A store that was replaced is not on the medium any more, with or without a name."""
    raise Violation("S3", f"a former store of {event.serial} is still on its medium")


def s4_what_a_reset_ended_stays_out(history: History, event: RegistryWrote) -> None:
    """A certificate that another one displaced never counts again; nor what was there before, or an older store."""
    before, after = event.before, event.after
    if after.standing is Standing.OPERATING and after.fingerprint in history.retired.get(event.host, ()):
        raise Violation("S4", f"{event.host} admits {after.serial} by a certificate from before a reset")
    if before is None or before.fingerprint != after.fingerprint:
        return
    if before.standing in (Standing.RESET, Standing.RESET_ORDERED) and after.standing is Standing.OPERATING:
        raise Violation("S4", f"{event.host} admits {after.serial} by the certificate that its reset ended")
    if after.generation < before.generation or after.last_number < before.last_number or after.epoch < before.epoch:
        raise Violation("S4", f"what {event.host} knows of {after.serial} went back")


def s5_who_is_disabled_stays_out(history: History, event: RegistryWrote) -> None:
    """A disabled module does nothing at the central system until an operator enables it."""
    if event.before is not None and event.before.standing is Standing.DISABLED:
        raise Violation("S5", f"{event.host} dealt with {event.after.serial}, which is disabled")


def s5_modules_of_a_lost_card_stay_out(history: History, event: ModuleAdmitted) -> None:
    """Nobody whom a lost card certified is let in (no policy here keeps those who were known before)."""
    if event.entry.issuer in history.lost.get(event.host, ()):
        raise Violation("S5", f"{event.host} let in {event.entry.serial}, certified by a lost card")


def s5_who_is_on_a_list_stays_out(history: History, event: ModuleAdmitted) -> None:
    """Nobody is let in by a certificate that is on its issuer's revocation list, once the host has taken that in."""
    entry = event.entry
    if (entry.issuer, entry.certificate_number) in history.revoked.get(event.host, {}):
        raise Violation("S5", f"{event.host} let in {entry.serial} by a certificate that is on a list")


def s5_whom_the_manufacturer_withdrew_is_not_certified(history: History, event: CardLogged) -> None:
    """No module is personalized whose identity is on the list that the card was given; a session ends before."""
    what = event.what
    if not isinstance(what, Intent):
        return
    since = history.withdrawn.get(event.card, {}).get(what.subject)
    if since is not None and history.now() > since + SESSION_SECONDS:
        raise Violation("S5", f"{event.card} certifies {what.subject}, whom the manufacturer withdrew")


def s5_sessions_of_those_are_closed(history: History, event: RegistryWrote) -> None:
    """Whoever is on a list or was certified by a lost card is soon out, also where his session was open before."""
    entry, change = event.after, event.change
    if change.transaction is None and change.delivery is None:
        return
    named = entry.issuer, entry.certificate_number
    ends = history.lost.get(event.host, {}).get(entry.issuer), history.revoked.get(event.host, {}).get(named)
    for since in ends:
        if since is not None and history.now() > since + CLOSING_SECONDS:
            raise Violation("S5", f"{event.host} does business with {entry.serial} {history.now() - since} s too late")


def s6_four_eyes_and_a_log(history: History, event: CardLogged) -> None:
    """Two people approved exactly this job; its intent is in the log before its result; it is used once."""
    what = event.what
    if isinstance(what, (Intent, ListIntent)):
        approvers = set(what.approvers)
        does, consent = _act_of(what)
        if len(approvers) < 2 or not approvers <= history.approved.get(consent, set()):
            raise Violation("S6", f"{event.card} {does}, approved by {sorted(approvers)}")
        if what.job in history.intents:
            raise Violation("S6", f"{event.card} uses one approval twice, when it {does}")
    elif what.job not in history.intents or what.job in history.results:
        raise Violation("S6", f"{event.card} has a result without an intent of its own")


def _act_of(what: Intent | ListIntent) -> tuple[str, bytes]:
    """What a card does, and the number under which people agreed to it."""
    if isinstance(what, ListIntent):
        return f"revokes by list {what.list_number}", what.job
    return f"certifies {what.subject}", what.standing or what.job


def s6_a_standing_approval_has_its_limits(history: History, event: CardLogged) -> None:
    """What people agreed to at once covers the modules that they named, and no more certificates than they said."""
    what = event.what
    if not isinstance(what, Intent) or not what.standing:
        return
    standing = history.standing.get(what.standing)
    if standing is None or standing.left < 1 or not any(map(what.subject.startswith, standing.serials)):
        raise Violation("S6", f"{event.card} certifies {what.subject} by a standing approval of {standing}")


def s6_what_operates_is_in_the_log(history: History, event: ModuleWrote) -> None:
    """The certificate of a module that operates is one whose intent a card entered."""
    record, before = event.after, event.before
    if record.condition is not ModuleCondition.OPERATING or (before is not None and before.module == record.module):
        return
    intents = (each for each in reversed(history.intents.values()) if isinstance(each, Intent))
    if not any(intent.to_be_signed in given(record.module) for intent in intents):
        raise Violation("S6", f"{event.serial} operates by a certificate of which no log knows")


def s7_no_two_modules_share_a_key(history: History, event: ModuleWrote) -> None:
    """Whatever salts units prescribe, each personalization has a key pair of its own."""
    record, before = event.after, event.before
    if record.condition is ModuleCondition.OPERATING and (before is None or before.key != record.key):
        owner = history.operating.get(given(event.vault.find(given(record.key))).public.data)
        if owner is not None and event.serial not in history.tainted:
            raise Violation("S7", f"{event.serial} has a key that {owner} had before")


def s8_no_key_outlives_its_term(history: History, event: SecretServed) -> None:
    """No symmetric key is used after its end, however the module's clock is set."""
    if event.at > event.not_after + LATE_SECONDS:
        raise Violation("S8", f"{event.serial} used a key {event.at - event.not_after} seconds after its end")


def s9_no_secret_crosses(history: History, event: MessageSeen) -> None:
    """No private key is in any message."""
    if history.is_secret_in(event.frame):
        raise Violation("S9", "a private key is in a message")


def s9_no_secret_is_told(history: History, event: PayloadSealed) -> None:
    """No private key is in what parties tell each other in a channel, where nobody else can see it."""
    if history.is_secret_in(event.payload):
        raise Violation("S9", "a private key is told to the other side of a channel")


def s9_no_secret_shows(history: History, event: LineWritten) -> None:
    """No PIN, shared secret or card number is in anything that a program writes or shows."""
    for word in history.words:
        if word in event.text:
            raise Violation("S9", f"{word}... is in a line for people")


def s10_the_host_decides_once(history: History, event: HostDecided) -> None:
    """An authorization is decided once, however often it is asked for."""
    if (event.serial, event.number) in history.decided and event.serial not in history.tainted:
        raise Violation("S10", f"transaction {event.number} of {event.serial} was decided twice")


def s10_money_is_paid_once(history: History, event: PayOutShown) -> None:
    """The controller is told once of each authorization, and no other amount than the host decided."""
    name = event.serial, event.number
    if name in history.instructed and event.serial not in history.tainted:
        raise Violation("S10", f"transaction {event.number} of {event.serial} was instructed twice")
    if event.amount and history.decided.get(name) != event.amount:
        raise Violation("S10", f"{event.serial} pays out {event.amount}, the host decided {history.decided.get(name)}")


def s10_a_tan_is_tried_once(history: History, event: TanTried) -> None:
    """A TAN is burnt by the attempt that uses it, right or wrong."""
    if (event.serial, event.label) in history.tans:
        raise Violation("S10", f"the TAN {event.label} of {event.serial} is tried again")


def s10_the_books_agree(history: History, event: RegistryWrote) -> None:
    """What a host believes was paid is what the controller was told to pay."""
    settled = event.change.transaction
    if settled is None or settled.paid is None or settled.serial in history.tainted:
        return
    told = history.instructed.get((settled.serial, settled.number), 0)
    if settled.paid != told:
        raise Violation("S10", f"{event.host} has {settled.paid} of {settled.serial} as paid, the controller {told}")


def s10_a_payload_arrives_once(history: History, event: RegistryWrote) -> None:
    """The host takes in what a controller gave to this module, and nothing twice."""
    delivery = event.change.delivery
    if delivery is None:
        return
    if history.given.get(delivery.payload) != delivery.serial:
        raise Violation("S10", f"{event.host} took in what {delivery.serial} never sent")
    if delivery.payload in history.taken and delivery.serial not in history.tainted:
        raise Violation("S10", f"{event.host} took in number {delivery.number} of {delivery.serial} again")


def s11_only_the_modules_own_key_is_certified(history: History, event: CardLogged) -> None:
    """A certificate for a module is for a key that this module made, whoever else bears its serial number."""
    what = event.what
    if not isinstance(what, Intent) or what.role != "module":
        return
    if not any(point in what.to_be_signed for point in history.points.get(what.subject, ())):
        raise Violation("S11", f"{event.card} certifies somebody else's key as {what.subject}")


def s12_one_certificate_is_accepted(history: History, event: ModuleWrote) -> None:
    """In one epoch a module accepts one certificate."""
    record = event.after
    if record.condition is ModuleCondition.OPERATING and event.serial not in history.tainted:
        accepted = history.accepted.get((event.serial, record.epoch), record.fingerprint)
        if accepted != record.fingerprint:
            raise Violation("S12", f"{event.serial} accepted two certificates in epoch {record.epoch}")


def s13_what_was_pinned_holds(history: History, event: ChannelSecured) -> None:
    """A channel stands under the option that this end pinned, and at work under certificates both ways."""
    intent, note = event.note.intent, event.note
    pinned = TrustOption.CERTIFICATES if intent.purpose is Purpose.OPERATE else event.pinned
    if intent.option is not pinned:
        raise Violation("S13", f"{note.party} pinned {pinned.text} and opened a channel by {intent.option.text}")


Check = Callable[[History, Any], None]

CHECKS: Final[Mapping[type, tuple[Check, ...]]] = {
    ModuleWrote: (
        s1_operating_lasts_until_a_reset,
        s2_operating_is_whole,
        s3_a_reset_destroys,
        s6_what_operates_is_in_the_log,
        s7_no_two_modules_share_a_key,
        s12_one_certificate_is_accepted,
    ),
    StoreFound: (s3_a_store_keeps_its_promise,),
    RemainsFound: (s3_nothing_replaced_remains,),
    RegistryWrote: (
        s3_a_reset_is_done_before_it_is_acknowledged,
        s4_what_a_reset_ended_stays_out,
        s5_who_is_disabled_stays_out,
        s5_sessions_of_those_are_closed,
        s10_a_payload_arrives_once,
        s10_the_books_agree,
    ),
    ModuleAdmitted: (s5_modules_of_a_lost_card_stay_out, s5_who_is_on_a_list_stays_out),
    CardLogged: (
        s6_four_eyes_and_a_log,
        s6_a_standing_approval_has_its_limits,
        s5_whom_the_manufacturer_withdrew_is_not_certified,
        s11_only_the_modules_own_key_is_certified,
    ),
    SecretServed: (s8_no_key_outlives_its_term,),
    ModuleReportedDone: (s2_who_is_said_to_operate_does,),
    TanTried: (s10_a_tan_is_tried_once,),
    PayloadSealed: (s9_no_secret_is_told,),
    MessageSeen: (s9_no_secret_crosses,),
    LineWritten: (s9_no_secret_shows,),
    HostDecided: (s10_the_host_decides_once,),
    PayOutShown: (s10_money_is_paid_once,),
    ChannelSecured: (s13_what_was_pinned_holds,),
}


def check(history: History, event: Any) -> None:  # noqa: ANN401 - one of those in CHECKS
    """All that must hold of this event; then it is history.

    Raises:
        Violation: something does not.

    """
    for each in CHECKS.get(type(event), ()):
        each(history, event)
    history.take_in(event)
