"""The security module: what it checks, what it does, and LAST its table, its life until it works on one screen.

What it does at work with the central system, until a reset brings it back here, is in `work.py`. Its states, data and
events are in `module_data.py`. What may live here: decisions of the module. How keys are kept, messages encoded and
certificates verified is for the layers below; which link a session runs over is for those above.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..channel import proofs
from ..channel.opened import ChannelOpened, Peer
from ..channel.trust.terms import check_unexpired
from ..engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    GenerateKey,
    KeyHandle,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    Persist,
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
from ..keys.certificates import Role, VerifiedCertificate, is_circular, trusted_root, verify_circle, verify_issued
from ..keys.public import compress
from ..keys.revocation import check_unrevoked, read_crl
from ..messages import (
    IDENTITY,
    ApprovalAwaited,
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    ModuleCondition,
    ModuleKey,
    ModuleRecord,
    ModuleTicket,
    Personalized,
    Purpose,
)
from ..progress import PeopleAwaited
from .module_data import (
    MACHINE_SECONDS,
    MANUFACTURED,
    PERSON_SECONDS,
    CircleAdmitted,
    IdentityCertified,
    IdentityMade,
    Initialize,
    KeyMade,
    ModuleData,
    ModuleState,
    operating_label,
)

S = ModuleState

# Guards ------------------------------------------------------------------------------------------------------


def key_at_manufacture_is_wanted(data: ModuleData, _: KeyPairMade) -> bool:
    """The manufacturer asked for the second pair."""
    return data.wish is not None and data.wish.manufactured_key


def identity_is_wanted(_: ModuleData, event: Initialize) -> bool:
    """The manufacturer asked for an identity."""
    return event.identity


def identity_is_ours(data: ModuleData, event: IdentityCertified) -> bool:
    """The certificate is the manufacturer's, for this serial number and the pair in key memory."""
    wish = given(data.wish)
    root = trusted_root(wish.root)
    identity = verify_issued(event.certificate, root, Role.IDENTITY, now=None, subject=wish.serial)
    return identity.public == given(data.key).public


def personalization_is_the_purpose(_: ModuleData, event: ChannelOpened) -> bool:
    """The channel is for personalizing, and its unit is certified where the trust option asks for that."""
    return event.intent.purpose is Purpose.PERSONALIZE and event.peer.role in (None, Role.UNIT)


def status_is_the_purpose(_: ModuleData, event: ChannelOpened) -> bool:
    """The channel is for telling a unit how things stand."""
    return event.intent.purpose is Purpose.STATUS and event.peer.role in (None, Role.UNIT)


def key_from_manufacture_serves(data: ModuleData, event: GenerateKeyPair) -> bool:
    """The unit's policy admits the pair made at manufacture, it is there, and no reset has happened (L3)."""
    return event.policy is KeyPolicy.MANUFACTURE_ADMITTED and data.made is not None and data.held.epoch == 0


def chain_is_complete(data: ModuleData, event: Certificates) -> bool:
    """All certificates hold, end at the root held since delivery, none above ours is revoked (L4-L6, S2, S5).

    The customer's was verified in the handshake, and does not come again, or it is verified now.
    """
    record, peer = data.held, given(data.peer)
    if (event.customer is None) == (peer.role is None):
        raise ProtocolError(
            "customer certificate",
            who="module",
            expected="once: with the certificates if the handshake had none",
            got="none" if event.customer is None else "a second one",
        )
    customer, *above = _issuers(record, peer, event)
    if record.crl is not None:
        check_unrevoked(customer, read_crl(record.crl, trusted_root(record.root)))
    central = verify_issued(event.central, customer, Role.CENTRAL, now=None)
    check_unexpired((*above, customer, _own(data, event, customer), central), data.at)
    return True


def circle_is_admitted(data: ModuleData, event: Certificates) -> bool:
    """Nobody but its own central system certified the customer; policy and cable admit that, the circle closes (L6).

    Where they do not, the chain would have to be complete, and is not.
    """
    peer = given(data.peer)
    if event.customer is None or not (data.held.circular and peer.wired) or not is_circular(event.customer):
        return False
    customer, central = verify_circle(event.customer, event.central)
    check_unexpired((customer, _own(data, event, customer), central), data.at)
    return True


def _own(data: ModuleData, event: Certificates, customer: VerifiedCertificate) -> VerifiedCertificate:
    """The certificate of the key that this session is about."""
    module = verify_issued(event.module, customer, Role.MODULE, now=None, subject=data.held.serial)
    if module.public != given(data.key).public:
        raise ProtocolError("module certificate", who="module", expected="our new key", got="another key")
    return module


def a_reset_came_before(data: ModuleData, _: object) -> bool:
    """The module came here from RESET, not from DELIVERED."""
    return data.held.condition is ModuleCondition.RESET


# Actions -----------------------------------------------------------------------------------------------------

_AWAIT_PEER: Final = StartTimer("peer", MACHINE_SECONDS)


def make_identity(data: ModuleData, event: Initialize) -> tuple[ModuleData, Effects]:
    """Begin delivery with the identity key pair."""
    return replace(data, wish=event), [GenerateKey(IDENTITY, KeyKind.P256, b"")]


def make_operating_key(data: ModuleData, event: KeyPairMade) -> tuple[ModuleData, Effects]:
    """Make the pair that the first personalization may use."""
    return replace(data, key=event.key), [GenerateKey(MANUFACTURED, KeyKind.P256, b"")]


def present_identity(data: ModuleData, event: KeyPairMade) -> tuple[ModuleData, Effects]:
    """Show the identity key for its certificate."""
    key = data.key or event.key
    serial = "" if data.wish is None else data.wish.serial
    made = event.key if event.key.label == MANUFACTURED else None
    return replace(data, key=key, made=made), [Show(IdentityMade(serial, key))]


def deliver(data: ModuleData, event: IdentityCertified) -> tuple[ModuleData, Effects]:
    """Keep serial, root, identity and ticket."""
    return _delivered(data, given(data.wish), event.certificate, event.ticket)


def deliver_bare(data: ModuleData, event: Initialize) -> tuple[ModuleData, Effects]:
    """Keep serial and root; such a module can be personalized under the physical option only."""
    return _delivered(data, event, None)


def _delivered(
    data: ModuleData, wish: Initialize, identity: bytes | None, ticket: ModuleTicket | None = None
) -> tuple[ModuleData, Effects]:
    record = ModuleRecord(
        serial=wish.serial,
        root=wish.root,
        condition=ModuleCondition.DELIVERED,
        epoch=0,
        latest=trusted_root(wish.root).not_before,
        identity=identity,
        generation=1,
        shared=wish.shared,
        circular=wish.circular or None,
        ticket=ticket,
    )
    keep = record.lasting | ({MANUFACTURED} if data.made else frozenset())
    return ModuleData(record=record, made=data.made), [Persist(record, keep)]


def await_order(data: ModuleData, event: ChannelOpened) -> tuple[ModuleData, Effects]:
    """Wait for the unit's first message, which may have come with message_4."""
    at = max(event.at, data.held.latest)
    return replace(data, peer=event.peer, binding=event.binding, at=at), [_AWAIT_PEER]


def make_key_pair(data: ModuleData, event: GenerateKeyPair) -> tuple[ModuleData, Effects]:
    """Have key memory make the pair, salted by the unit; its time is a floor for ours."""
    label = operating_label(data.held.epoch)
    at = max(data.at, event.time)
    return replace(data, at=at, told=event.time), [StopTimer("peer"), GenerateKey(label, KeyKind.P256, event.salt)]


def use_manufactured_key(data: ModuleData, event: GenerateKeyPair) -> tuple[ModuleData, Effects]:
    """Take the pair made at manufacture."""
    timed = replace(data, at=max(data.at, event.time), told=event.time)
    return _prove(timed, given(data.made), [StopTimer("peer")])


def prove_possession(data: ModuleData, event: KeyPairMade) -> tuple[ModuleData, Effects]:
    """Sign the channel's exporter value with the new key."""
    return _prove(data, event.key, [])


def _prove(data: ModuleData, key: KeyHandle, first: list[StopTimer]) -> tuple[ModuleData, Effects]:
    statement = proofs.possession(data.binding, data.held.serial, key.public)
    return replace(data, key=key), [*first, Show(KeyMade(key)), Sign(key, statement)]


def present_key(data: ModuleData, event: Signed) -> tuple[ModuleData, Effects]:
    """Send the public key with its proof; where nobody is certified, people compare it before it is."""
    seconds = PERSON_SECONDS if given(data.peer).role is None else MACHINE_SECONDS
    key = ModuleKey(compress(given(data.key).public), event.signature)
    return data, [Send(key), StartTimer("peer", seconds)]


def await_people(data: ModuleData, event: ApprovalAwaited) -> tuple[ModuleData, Effects]:
    """People are asked about our key: wait as long as the unit does, and a little longer. Once a session."""
    note = Show(PeopleAwaited("module", data.held.serial, event.seconds))
    return data, [StartTimer("peer", event.seconds + MACHINE_SECONDS), note]


def confirm(data: ModuleData, event: Certificates) -> tuple[ModuleData, Effects]:
    """Stage the certificates and sign their digest with the new key."""
    customer = event.customer or given(data.peer).chain[1].der
    staged = (event.module, customer, event.central)
    statement = proofs.confirmation(data.binding, data.held.serial, staged)
    return replace(data, staged=staged), [StopTimer("peer"), Sign(given(data.key), statement)]


def confirm_circle(data: ModuleData, event: Certificates) -> tuple[ModuleData, Effects]:
    """The same; what it is worth will be said."""
    customer, central = verify_circle(given(event.customer), event.central)
    return confirm(replace(data, circle=CircleAdmitted(customer.subject, central.subject)), event)


def commit(data: ModuleData, event: Signed) -> tuple[ModuleData, Effects]:
    """One write makes key, certificates and pin durable; only then the unit hears of it (L7)."""
    key = given(data.key)
    module, customer, central = given(data.staged)
    record = data.held.written(
        condition=ModuleCondition.OPERATING,
        latest=max(data.held.latest, data.told),
        key=key.label,
        module=module,
        customer=customer,
        central=central,
    )
    said = [] if data.circle is None else [Show(data.circle)]
    done = Send(Personalized(event.signature))
    return ModuleData(record=record), [Persist(record, record.labels), *said, done, Close()]


def roll_back(data: ModuleData, event: object) -> tuple[ModuleData, Effects]:
    """Forget the session; a pair that it made goes with it."""
    fault = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    return data.at_rest, [StopTimer("peer"), Close(fault, reason_of(event))]


def give_up_delivery(_: ModuleData, event: KeyOperationFailed) -> tuple[ModuleData, Effects]:
    """Stay blank."""
    return ModuleData(), [Close(Fault.UNAVAILABLE, event.reason)]


def report(data: ModuleData, _: ChannelOpened) -> tuple[ModuleData, Effects]:
    """Tell state, epoch and certificate, so that a lost last message is recognised, not repeated (S1)."""
    return data, [Send(data.status), Close()]


def _issuers(record: ModuleRecord, peer: Peer, event: Certificates) -> tuple[VerifiedCertificate, ...]:
    if event.customer is None:
        return peer.chain[1:]
    root = trusted_root(record.root)
    return verify_issued(event.customer, root, Role.CUSTOMER, now=None), root


# The table ---------------------------------------------------------------------------------------------------

FRESH: Final = (S.DELIVERED, S.RESET)
PERSONALIZING: Final = (S.SECURED, S.KEYING, S.PROVING, S.KEYED, S.WAITING, S.CONFIRMING)

MODULE: Final = Table[ModuleState, ModuleData](
    "module",
    ModuleState,
    S.BLANK,
    [
        # delivery (L1): in, on, if, do, then
        row(S.BLANK, Initialize, identity_is_wanted, make_identity, S.IDENTIFYING),
        row(S.BLANK, Initialize, None, deliver_bare, S.DELIVERED),
        row(S.IDENTIFYING, KeyPairMade, key_at_manufacture_is_wanted, make_operating_key, S.PREPARING),
        row((S.IDENTIFYING, S.PREPARING), KeyPairMade, None, present_identity, S.IDENTIFIED),
        row(S.IDENTIFIED, IdentityCertified, identity_is_ours, deliver, S.DELIVERED),
        row((S.IDENTIFYING, S.PREPARING), KeyOperationFailed, None, give_up_delivery, S.BLANK),
        # personalization (L2-L7)
        row(FRESH, ChannelOpened, personalization_is_the_purpose, await_order, S.SECURED),
        row(S.SECURED, GenerateKeyPair, key_from_manufacture_serves, use_manufactured_key, S.PROVING),
        row(S.SECURED, GenerateKeyPair, None, make_key_pair, S.KEYING),
        row(S.KEYING, KeyPairMade, None, prove_possession, S.PROVING),
        row(S.PROVING, Signed, None, present_key, S.KEYED),
        row(S.KEYED, ApprovalAwaited, None, await_people, S.WAITING),
        row(S.KEYED, Certificates, circle_is_admitted, confirm_circle, S.CONFIRMING),
        row((S.KEYED, S.WAITING), Certificates, chain_is_complete, confirm, S.CONFIRMING),
        row(S.CONFIRMING, Signed, None, commit, S.OPERATING),
        row(PERSONALIZING, ChannelLost, a_reset_came_before, roll_back, S.RESET),
        row(PERSONALIZING, ChannelLost, None, roll_back, S.DELIVERED),
        row(PERSONALIZING, DeadlinePassed, a_reset_came_before, roll_back, S.RESET),
        row(PERSONALIZING, DeadlinePassed, None, roll_back, S.DELIVERED),
        row(PERSONALIZING, KeyOperationFailed, a_reset_came_before, roll_back, S.RESET),
        row(PERSONALIZING, KeyOperationFailed, None, roll_back, S.DELIVERED),
        # operating (L7): nothing but a report; work has a table of its own
        row(S.OPERATING, ChannelOpened, status_is_the_purpose, report, S.OPERATING),
    ],
    entries=(S.DELIVERED, S.OPERATING, S.RESET),
)
