"""Notes in words: what parties and sessions show, as a JSON object for programs and a line for people.

Fingerprints of keys are SHA-256 of the SubjectPublicKeyInfo, so that `openssl pkey -pubin -outform DER | sha256sum`
says the same. Nothing secret is in a note, and card numbers are not either.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from ..protocol.engine import PublicKey
from ..protocol.keys.certificates import fingerprint_text, key_digest
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.messages import Status
from ..protocol.parties.card_enrolling import CardEnrolled
from ..protocol.parties.card_syncing import LogWasRead
from ..protocol.parties.central_data import CommandConcluded, ModuleContacted, ModuleReset, TransactionDecided
from ..protocol.parties.central_enrolling import IssuerEnrolled
from ..protocol.parties.central_syncing import CardDoubted, CardLogRead
from ..protocol.parties.mobile import Conveyed
from ..protocol.parties.module_data import CircleAdmitted, KeyMade
from ..protocol.parties.unit import KeyPresented, ModulePersonalized, ModuleReported, ModuleTurnedAway
from ..protocol.parties.work_data import (
    AuthorizationAsked,
    InstructionCame,
    KeyDeclined,
    KeyExpired,
    KeysErased,
    KeyTaken,
    OutcomeWanted,
    PayloadKept,
    PayloadReceived,
    PayOutInstructed,
)
from ..protocol.progress import (
    KeysAwaited,
    KeysRefused,
    MessageReceived,
    MessageSent,
    MobileAwaited,
    MobileHeard,
    PeerProved,
    PeopleAwaited,
    Secured,
    SessionEnded,
    StateEntered,
)

Facts = dict[str, object]


def key_fingerprint(public: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, as people compare it."""
    return fingerprint_text(key_digest(public))


def certificate_fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, as people compare it."""
    return fingerprint_text(sha256(der).digest())


def facts_of(note: object) -> Facts | None:
    """A note as a JSON object; None for notes that are not for telling."""
    name = type(note).__name__
    match note:
        case StateEntered(party, state, event):
            return {"note": name, "party": party, "state": state, "event": event}
        case MessageSent(party, message, size) | MessageReceived(party, message, size):
            return {"note": name, "party": party, "message": message, "bytes": size}
        case PeerProved(party, peer, option):
            return {"note": name, "party": party, "peer": peer, "trust": option.text}
        case MobileAwaited(party, serial, seconds) | PeopleAwaited(party, serial, seconds):
            return {"note": name, "party": party, "serial": serial, "seconds": seconds}
        case KeysAwaited(party, peer, seconds):
            return {"note": name, "party": party, "peer": peer, "seconds": seconds}
        case KeysRefused(party, reason, left):
            return {"note": name, "party": party, "reason": reason, "left": left}
        case MobileHeard(party, serial, mobile, agrees):
            return {"note": name, "party": party, "serial": serial, "mobile": mobile, "agrees": agrees}
        case Conveyed(serial, accepted):
            return {"note": name, "party": "mobile", "serial": serial, "accepted": accepted}
        case Secured(party, peer, intent, method, suite):
            purpose, trust = intent.purpose.name.lower(), intent.option.text
            return {
                "note": name,
                "party": party,
                "peer": peer,
                "purpose": purpose,
                "trust": trust,
                "method": method,
                "suite": suite,
            }
        case SessionEnded(party, reason):
            return {"note": name, "party": party, "reason": reason}
        case KeyMade(key):
            return {"note": name, "party": "module", "fingerprint": key_fingerprint(key.public)}
        case KeyPresented(public):
            return {"note": name, "party": "unit", "fingerprint": key_fingerprint(public)}
        case CircleAdmitted(customer, central):
            return {"note": name, "party": "module", "customer": customer, "central": central}
        case KeysErased(epoch, dropped):
            return {"note": name, "party": "module", "epoch": epoch, "dropped": dropped}
        case ModulePersonalized(serial, certificate):
            return {
                "note": name,
                "party": "unit",
                "serial": serial,
                "certificate": certificate_fingerprint(certificate),
            }
        case ModuleTurnedAway(serial, fault, reason):
            return {"note": name, "party": "unit", "serial": serial, "fault": fault.name.lower(), "reason": reason}
        case ModuleReported(serial, status):
            return {"note": name, "party": "unit", "serial": serial, **status_facts(status)}
        case ModuleContacted(entry):
            return {"note": name, "party": "central", "serial": entry.serial, "epoch": entry.epoch}
        case ModuleReset(serial, epoch):
            return {"note": name, "party": "central", "serial": serial, "epoch": epoch}
        case TransactionDecided(of):
            return {
                "note": name,
                "party": "central",
                "serial": of.serial,
                "number": of.number,
                "approved": of.approved,
                "amount": of.instructed,
                "currency": of.currency,
            }
        case CommandConcluded(serial, number, outcome):
            return {"note": name, "party": "central", "serial": serial, "number": number, "outcome": outcome}
        case CardEnrolled(central):
            return {"note": name, "party": "card", "central": central}
        case LogWasRead(central, entries):
            return {"note": name, "party": "card", "central": central, "entries": entries}
        case CardLogRead(owner, entries, new):
            return {"note": name, "party": "central", "owner": owner, "entries": entries, "new": new}
        case CardDoubted(owner, card, reason):
            return {
                "note": name,
                "party": "central",
                "owner": owner,
                "card": fingerprint_text(card),
                "reason": reason,
            }
        case IssuerEnrolled(issuer):
            return {
                "note": name,
                "party": "central",
                "owner": issuer.owner,
                "certificate": fingerprint_text(issuer.fingerprint),
            }
    return _facts_of_work(note)


def _facts_of_work(note: object) -> Facts | None:
    """What a module at work shows."""
    name = type(note).__name__
    match note:
        case PayOutInstructed(number, approved, amount, reference):
            facts: Facts = {"number": number, "approved": approved, "amount": amount, "reference": reference}
        case AuthorizationAsked(_, number) | PayloadKept(_, number) | PayloadReceived(number):
            facts = {"number": number}
        case OutcomeWanted(number, amount):
            facts = {"number": number, "amount": amount}
        case InstructionCame(number, content):
            facts = {"number": number, "content": content.hex()}
        case KeyTaken(key, not_after, uses):
            facts = {
                "usage": key.usage.value,
                "algorithm": key.algorithm.value,
                "bits": key.bits,
                "check_value": key.check_value,
                "not_after": not_after,
                "uses": uses,
            }
        case KeyDeclined(number, reason):
            facts = {"number": number, "reason": reason}
        case KeyExpired(usage, check_value):
            facts = {"usage": usage.value, "check_value": check_value}
        case _:
            return None
    return {"note": name, "party": "module", **facts}


def status_facts(status: Status) -> Facts:
    """A module's report of itself."""
    fingerprint = None if status.fingerprint is None else fingerprint_text(status.fingerprint)
    return {"state": status.condition.name.lower(), "epoch": status.epoch, "certificate": fingerprint}


_LINES: dict[str, Callable[[Facts], str]] = {
    "StateEntered": lambda f: f"-> {f['state']}   on {f['event']}",
    "MessageSent": lambda f: f"sent {f['message']}, {f['bytes']} bytes",
    "MessageReceived": lambda f: f"received {f['message']}, {f['bytes']} bytes",
    "Secured": lambda f: (
        f"channel to {f['peer']} for {f['purpose']}: trust {f['trust']}, EDHOC method {f['method']}, suite {f['suite']}"
    ),
    "PeerProved": lambda f: f"{f['peer']} proved itself by {f['trust']}",
    "MobileAwaited": lambda f: f"waits {f['seconds']:g} seconds for the mobile at {f['serial']}",
    "PeopleAwaited": lambda f: f"waits {f['seconds']:g} seconds for two people to approve the key of {f['serial']}",
    "KeysAwaited": lambda f: f"{f['peer']} is there: key in the TAN, {f['seconds']:g} seconds a key",
    "KeysRefused": lambda f: f"that is no TAN, {f['left']} more attempts: {f['reason']}",
    "MobileHeard": lambda f: (
        f"{f['mobile']} conveyed for {f['serial']}: {'agrees with the channel' if f['agrees'] else 'refused'}"
    ),
    "Conveyed": lambda f: f"the unit {'vouches for' if f['accepted'] else 'refuses'} {f['serial']}",
    "SessionEnded": lambda f: f"session ended{': ' if f['reason'] else ''}{f['reason']}",
    "KeyMade": lambda f: f"made its key pair    {f['fingerprint']}",
    "KeyPresented": lambda f: f"was shown the key    {f['fingerprint']}",
    "PayOutInstructed": lambda f: (
        f"transaction {f['number']}: {'pay out' if f['approved'] else 'refused,'} {f['amount']} {f['reference']}"
    ),
    "OutcomeWanted": lambda f: f"transaction {f['number']}: what became of the {f['amount']} to be paid out?",
    "CircleAdmitted": lambda f: (
        f"nobody but {f['central']} certified {f['customer']}, which certified {f['central']}: {PLAUSIBILITY}"
    ),
    "KeysErased": lambda f: (
        f"erased key and certificates; epoch {f['epoch']} begins"
        + (f"; {f['dropped']} messages to or from the host are gone with them" if f["dropped"] else "")
    ),
    "ModulePersonalized": lambda f: f"{f['serial']} personalized, certificate {f['certificate']}",
    "ModuleTurnedAway": lambda f: f"{f['serial']} is turned away, {f['fault']}: {f['reason']}",
    "ModuleReported": lambda f: f"{f['serial']} reports: {f['state']}, epoch {f['epoch']}, {f['certificate']}",
    "ModuleContacted": lambda f: f"{f['serial']} proved itself, epoch {f['epoch']}",
    "ModuleReset": lambda f: f"{f['serial']} is reset, epoch {f['epoch']}",
    "TransactionDecided": lambda f: (
        f"{f['serial']} transaction {f['number']}: {'approved' if f['approved'] else 'refused'}, "
        f"{f['amount']} {f['currency']}"
    ),
    "CardEnrolled": lambda f: f"enrolled at {f['central']}",
    "LogWasRead": lambda f: f"{f['central']} has read all {f['entries']} entries of our log",
    "CardLogRead": lambda f: f"log of {f['owner']}: {f['entries']} entries, {f['new']} of them new",
    "CardDoubted": lambda f: f"CARD IN DOUBT: {f['owner']}, {f['card']}: {f['reason']}",
    "IssuerEnrolled": lambda f: f"{f['owner']} is trusted: {f['certificate']}",
    "CommandConcluded": lambda f: f"{f['serial']} command {f['number']}: {f['outcome']}",
    "AuthorizationAsked": lambda f: f"transaction {f['number']}: asks the host",
    "PayloadKept": lambda f: f"message {f['number']} to the host is kept",
    "PayloadReceived": lambda f: f"the host has message {f['number']}",
    "InstructionCame": lambda f: f"instruction {f['number']} from the host",
    "KeyTaken": lambda f: f"took a {f['algorithm']} key for {f['usage']}, {f['check_value']}",
    "KeyDeclined": lambda f: f"declined a key: {f['reason']}",
    "KeyExpired": lambda f: f"erased the key for {f['usage']}, {f['check_value']}: its time is over",
}


def line_of(facts: Facts) -> str:
    """A told note for people: who, then what. Control characters are spelled out: names may be a peer's."""
    tell = _LINES.get(str(facts["note"]), str)
    line = f"{facts['party']:<12} {tell(facts)}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
