"""Whom a puppet plays: unit, module, module at work, central system, and both sides of an enrolment.

Each is the production table with the production terms; what it asks people, documents or a host is granted at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import (
    AttemptAdmitted,
    AttemptBegun,
    AttemptsForgotten,
    CardEnrolling,
    CentralAtWork,
    CentralEnrolling,
    MobileCalling,
    ModuleAtWork,
    SecretEntered,
    TicketClaim,
    UnitCalled,
)
from ..protocol.channel.trust.conveyed import NumberConveyed
from ..protocol.channel.trust.ticket import TicketAccepted
from ..protocol.engine import Consult, KeyHandle, LookUp, PublicKey, UsageError, given
from ..protocol.keys.certificates import trusted_root
from ..protocol.keys.tans import read_tan
from ..protocol.keys.vault import Vault
from ..protocol.messages import (
    CardRole,
    Conveyance,
    KeyOrder,
    KeyPolicy,
    ModuleRecord,
    PayOut,
    Purpose,
    TrustOption,
    Verdict,
    decode_record,
)
from ..protocol.parties.card_enrolling import CARD_ENROLLING, CardEnrollingData, CardEnrollingState
from ..protocol.parties.central import CENTRAL
from ..protocol.parties.central_data import (
    CentralData,
    CentralState,
    CommandFound,
    Decided,
    ModuleFound,
    ModuleQuery,
    Question,
    TransactionFound,
)
from ..protocol.parties.central_enrolling import CENTRAL_ENROLLING, CentralEnrollingData, CentralEnrollingState
from ..protocol.parties.mobile_call import (
    CALLED,
    CALLING,
    CalledData,
    CalledState,
    CallingData,
    CallingState,
    WordFound,
)
from ..protocol.parties.module import MODULE
from ..protocol.parties.module_data import ModuleData, resting_state
from ..protocol.parties.unit import (
    UNIT,
    CertificateNeeded,
    FingerprintsAgree,
    ModuleCertified,
    UnitData,
    UnitState,
)
from ..protocol.parties.work import WORK
from ..protocol.parties.work_data import AuthorizationWanted, PayloadGiven, WorkData, WorkState
from ..protocol.ports import Ports
from ..protocol.stores.registry import CommandKind
from ..shell.card import Card
from ..shell.central import Central
from ..shell.keeping import Keeping, Show, ignore
from ..shell.module import ENTERED
from ..shell.second_link import SecondLink
from ..shell.trusting import Means, ModuleHas, UnitHas, module_terms, unit_terms
from .puppet import Puppet

Entropy = Callable[[int], bytes]
Cast = tuple[Puppet[Any, Any], Ports]

WISHES: Final = (
    AuthorizationWanted(1, "4111111111111111", "DE02100100109307118603", 5_000, "EUR"),
    PayloadGiven(2, b"a payload for the host"),
)


def unit(
    card: Card,
    central: bytes,
    serial: str,
    option: TrustOption,
    means: Means,
    *,
    wired: bool = True,
    certify: Callable[[PublicKey], bytes] | None = None,
    entropy: Entropy = secrets.token_bytes,
    now: Callable[[], int],
    show: Show = ignore,
) -> Cast:
    """A unit with this card, for the module `serial`.

    Args:
        card: with an approved job for the module, unless others certify.
        central: the central system's certificate, DER.
        serial: of the module.
        option: the trust option, pinned.
        means: what people and documents contribute.
        wired: whether the link is a wired local one.
        certify: makes the certificate for the module's key, DER; None: the card does, by its approved job.
        entropy: random bytes.
        now: unix seconds.
        show: gets notes.

    """
    has = UnitHas(card, card.keys, serial, now(), card.heard, means, wired=wired, entropy=entropy)
    purposes = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
    handshake = Handshake.respond(unit_terms(option, has), purposes, entropy(64))
    job = None if certify else card.approved_job(CardRole.MODULE, serial)
    number, salt = (entropy(16), entropy(32)) if job is None else (job.number, job.salt)
    data = UnitData(number, serial, salt, KeyPolicy.NEW, card.customer.der, central)

    def look_up(question: LookUp) -> object:
        match question.argument:
            case AttemptBegun():
                return AttemptAdmitted()
            case TicketClaim() as claim:
                if certify is None:  # else nothing lasts of this session, on either side
                    card.take_ticket(claim)
                return TicketAccepted()
            case CertificateNeeded(job=wanted, public=public):
                return ModuleCertified(certify(public) if certify else card.certify(wanted, public))
        return AttemptsForgotten()

    ports = Ports(card.keys, look_up=look_up, consult=lambda _: FingerprintsAgree(), show=show)
    link = None if means.mobiles is None else means.mobiles.link
    return _linked(Puppet(UNIT, UnitState.READY, data, handshake), ports, link)


def module(
    vault: Vault,
    option: TrustOption,
    *,
    tan: str = "",
    mobile: SecondLink | None = None,
    entropy: Entropy = secrets.token_bytes,
    show: Show = ignore,
) -> Cast:
    """A module with this vault, which asks for its personalization; with its link to a mobile, if it has one."""
    keeping = Keeping(vault, ModuleRecord)
    record = given(keeping.record)
    terms = module_terms(option, ModuleHas(record, vault, wired=True, entropy=entropy, mobile=mobile))
    handshake = Handshake.initiate(terms, Purpose.PERSONALIZE, entropy(64))

    def look_up(question: LookUp) -> object:
        return AttemptAdmitted() if isinstance(question.argument, AttemptBegun) else AttemptsForgotten()

    def consult(_: Consult) -> object:
        return SecretEntered(vault.storage.share_password(ENTERED, read_tan(tan).encode()))

    ports = replace(keeping.ports(show), look_up=look_up, consult=consult)
    return _linked(Puppet(MODULE, resting_state(record), ModuleData(record=record), handshake), ports, mobile)


def _linked(puppet: Puppet[Any, Any], ports: Ports, link: SecondLink | None) -> Cast:
    """A puppet with its second link."""
    if link is None:
        return puppet, ports
    puppet.orders = link.orders
    return puppet, replace(ports, forward=link.forward)


def module_at_work(vault: Vault, *, entropy: Entropy = secrets.token_bytes, show: Show = ignore) -> Cast:
    """A module with this vault, which operates: it wants an authorization and gives a payload once it is online."""
    keeping = Keeping(vault, ModuleRecord)
    record = given(keeping.record)
    terms = ModuleAtWork.of(record, vault.find(given(record.key)))
    puppet: Puppet[WorkState, WorkData] = Puppet(
        WORK, WorkState.OPERATING, WorkData(record), Handshake.initiate(terms, Purpose.OPERATE, entropy(64))
    )
    puppet.wishes = {WorkState.ONLINE.name: list(WISHES)}
    return puppet, keeping.ports(show)


def central_system(central: Central, *, entropy: Entropy = secrets.token_bytes, show: Show = ignore) -> Cast:
    """A central system, with whatever waits in its registry."""
    registry, key = central.registry, central.key
    terms = CentralAtWork.of(given(central.record.certificate), central.issuers(), key)
    handshake = Handshake.respond(terms, frozenset({Purpose.OPERATE}), entropy(64))

    def look_up(question: LookUp) -> object:
        match question.argument:
            case ModuleQuery(serial, fingerprint, number, issuer):
                return ModuleFound(registry.known(serial, fingerprint, number, issuer))
            case (str(serial), int(number)):
                return TransactionFound(registry.transaction(serial, number))
            case str(serial):
                command = registry.next_command(serial)
                is_key = command is not None and command.kind is CommandKind.LOAD_KEY
                return CommandFound(command, decode_record(KeyOrder, given(command).content) if is_key else None)
            case Question(serial, asked):
                return Decided(PayOut(number=asked.number, approved=True, amount=asked.amount, reference=serial))
        raise UsageError("nobody here can tell", who="central", got=question.what)

    def commit(change: Any, _: frozenset[str] | None) -> None:  # noqa: ANN401 - of the registry
        registry.commit(change, at=central.now)

    ports = Ports(central.keys, commit=commit, look_up=look_up, show=show)
    return Puppet(CENTRAL, CentralState.LISTENING, CentralData(key), handshake), ports


def calling_mobile(
    vault: Vault, key: KeyHandle, unit: bytes, conveyance: Conveyance, *, entropy: Entropy = secrets.token_bytes
) -> Cast:
    """A mobile that calls the unit whose key has this digest."""
    handshake = Handshake.initiate(MobileCalling.of("mobile", key, unit), Purpose.CONVEY, entropy(64))
    return Puppet(CALLING, CallingState.READY, CallingData(conveyance), handshake), Ports(vault)


def called_unit(card: Card, mobiles: frozenset[str], *, entropy: Entropy = secrets.token_bytes) -> Cast:
    """A unit that takes the calls of these mobiles, and vouches for whatever they say."""
    terms = UnitCalled.of(card.record.name, card.authentication, mobiles)
    handshake = Handshake.respond(terms, frozenset({Purpose.CONVEY}), entropy(64))

    def vouch(message: object) -> None:
        if isinstance(message, NumberConveyed):
            link.report(WordFound(Verdict(serial=message.serial, binding=message.binding)))

    link = SecondLink(vouch)
    return _linked(Puppet(CALLED, CalledState.LISTENING, CalledData(), handshake), Ports(card.keys), link)


def enrolling_card(
    card: Card, central: bytes, *, now: Callable[[], int], entropy: Entropy = secrets.token_bytes
) -> Cast:
    """A card that enrols at the central system whose key has this digest."""
    terms = CardEnrolling.of(card.customer, card.unit, card.authentication, central, now=now())
    data = CardEnrollingData(card.authentication, card.customer.der)
    handshake = Handshake.initiate(terms, Purpose.ENROLL, entropy(64))
    return Puppet(CARD_ENROLLING, CardEnrollingState.READY, data, handshake), Ports(card.keys)


def enrolling_central(
    central: Central, root: bytes, customer: bytes, *, entropy: Entropy = secrets.token_bytes
) -> Cast:
    """A central system that admits the card with this fingerprint."""
    name, key = central.record.name, central.key
    terms = CentralEnrolling.of(name, key, trusted_root(root), customer, crl=None)
    handshake = Handshake.respond(terms, frozenset({Purpose.ENROLL}), entropy(64))
    data = CentralEnrollingData(name, key)
    ports = Ports(central.keys, commit=lambda record, keep: None)
    return Puppet(CENTRAL_ENROLLING, CentralEnrollingState.LISTENING, data, handshake), ports
