"""How things stand with a card, for people and programs: who may approve, what waits, what counts, what is left."""

from __future__ import annotations

from collections.abc import Iterator

from ..protocol.channel.trust.certificates import own_unit
from ..protocol.keys.certificates import VerifiedCertificate, fingerprint_text
from ..protocol.keys.profile import PLAUSIBILITY, time_text
from ..protocol.messages import CardRecord, Job, ListJob, PeopleJob, StandingJob
from ..protocol.parties.card_data import MAX_FAILURES, AnyJob
from ..protocol.parties.card_people import can_approve
from ..protocol.parties.card_record import all_jobs, digest_of, log_of
from ..protocol.parties.card_room import Room
from ..protocol.stores.card_log import NOTHING_BEFORE, Standing, standing_in
from .approving import about_text, approved_text, change_text, key_of
from .card import Card
from .peopled_card import tries_text
from .telling import key_fingerprint

Facts = dict[str, object]


def status_of(card: Card) -> Facts:
    """All of it, as JSON takes it; times are unix seconds, room is in bytes."""
    record, now = card.record, card.now
    log = log_of(record)
    return {
        "name": record.name,
        "state": state_of(record),
        "certificate": None if record.customer is None else fingerprint_text(card.customer.fingerprint),
        "not_after": None if record.customer is None else card.customer.not_after,
        "circular": record.central is not None,
        "unit": None if record.unit is None else _certificate(own_unit(record.unit, card.customer)),
        "unit_key": None if record.unit is None else key_fingerprint(card.authentication.public),
        "signing": None if record.signing is None else {"token": record.signing, "asks_each_time": record.asks},
        "people": list(people_only(record)),
        "jobs": [_job(job, now) for job in record.jobs],
        "lists": [_job(job, now) for job in record.lists],
        "changes": [_job(job, now) for job in record.changes],
        "standing": [
            *(_standing(each) for each in standing_in(log).values()),
            *(_job(job, now) for job in record.standing),
        ],
        "last_list": card.list_number,
        "revoked": {number.hex(): since for number, since in card.revoked.items()},
        "log_entries": len(log),
        "log_head": (log[-1].digest if log else NOTHING_BEFORE).hex(),
        "room": room_facts(card.room),
    }


def signing_text(record: CardRecord) -> str:
    """Who sees to it that both people are there at each signature by a signing token; empty: there is none."""
    if record.signing is None:
        return ""
    enforced = {
        True: "the token itself asks for both halves at each signature",
        False: "the token does not ask at each signature, so that software has to: it logs in for each, and out again",
        None: "whether the token itself asks at each signature was not looked at when the card was made",
    }
    return f"signing key in {record.signing}: {enforced[record.asks]}"


def room_facts(room: Room) -> Facts:
    """How much more fits on a card."""
    return {"bytes": room.bytes, "log_entries": room.entries, "certificates": room.certificates, "short": room.is_short}


def room_warning(room: Room) -> str:
    """What people are told in time, before a card is full; empty: there is enough."""
    if not room.is_short:
        return ""
    left = f"room for {room.certificates} more certificates" if room.certificates else "no room for another certificate"
    return f"the card has {left}: take another one into use (docs/card.md)"


def state_of(record: CardRecord) -> str:
    """What can be done with a card: it waits for its certificate, is ready, or locked for good."""
    if can_approve(record.people) < 2:
        return "locked"
    return "requested" if record.customer is None else "ready"


def _certificate(certificate: VerifiedCertificate) -> Facts:
    return {
        "name": certificate.subject,
        "certificate": fingerprint_text(certificate.fingerprint),
        "not_after": certificate.not_after,
    }


def _job(job: AnyJob, now: int) -> Facts:
    facts: Facts = {"job": job.number.hex()}
    match job:
        case Job():
            key = None if job.public_key is None else key_of(job)
            facts |= {"role": job.role.name.lower(), "subject": job.subject, "key": key, "days": job.days}
        case ListJob():
            facts |= {"list": job.list_number, "adds": [number.hex() for number in job.added], "days": job.days}
        case StandingJob():
            facts |= {"serials": list(job.serials), "most": job.most, "until": job.until, "days": job.days}
            facts |= {"in_force": False}
        case PeopleJob():
            facts |= {"change": job.change.name.lower(), "person": job.person, "comes": job.comes}
    facts |= {"digest": digest_of(job).hex(), "approvals": list(job.approvals), "expires": job.expires}
    return {**facts, "seconds_left": max(0, job.expires - now)}


def _standing(standing: Standing) -> Facts:
    begun = standing.begun
    facts: Facts = {"standing": begun.job.hex(), "serials": list(begun.serials), "most": begun.most}
    facts |= {"used": standing.used, "until": begun.until, "days": begun.days}
    return {**facts, "approvals": list(begun.approvers), "in_force": True}


# People ------------------------------------------------------------------------------------------------------


def people_only(record: CardRecord) -> Iterator[Facts]:
    """Each person, with the tries that are left."""
    for person in record.people:
        left = max(0, MAX_FAILURES - person.failures)
        yield {"person": person.name, "tries_left": left, "locked": left == 0}


def people_facts(card: Card) -> list[Facts]:
    """The people, then the changes that wait."""
    record, now = card.record, card.now
    return [*people_only(record), *(_job(job, now) for job in record.changes)]


def people_lines(card: Card) -> list[str]:
    """The same for people."""
    record = card.record
    lines = [f"{person['person']}: {_tries(person)}" for person in people_only(record)]
    return lines + [
        f"job {job.number.hex()}: {change_text(job)}, {approved_text(job.approvals)}" for job in record.changes
    ]


def _tries(person: Facts) -> str:
    return "locked by wrong PINs" if person["locked"] else tries_text(int(str(person["tries_left"])))


# For people --------------------------------------------------------------------------------------------------


def status_lines(card: Card) -> list[str]:
    """All that people want to know of a card, a line each."""
    record, now, facts = card.record, card.now, status_of(card)
    lines = [f"card of {record.name}, {facts['state']}, certificate {facts['certificate'] or 'none yet'}"]
    if record.central is not None:
        lines[0] += f", circular: {PLAUSIBILITY}"
    if record.customer is not None:
        lines.append(f"  our certificate counts until {time_text(card.customer.not_after)}")
    if record.unit is not None:
        unit = own_unit(record.unit, card.customer)
        lines.append(f"  unit {unit.subject}, whose certificate counts until {time_text(unit.not_after)}")
        lines.append(f"  unit's key {facts['unit_key']}")
    if record.signing is not None:
        lines.append(f"  {signing_text(record)}")
    lines += [f"  {person['person']}: {_tries(person)}" for person in people_only(record)]
    lines += [
        f"  {about_text(job)}: {approved_text(job.approvals)}{_key(job)}; {_left(job.expires - now)}"
        for job in all_jobs(record)
    ]
    for each in standing_in(log_of(record)).values():
        lines.append(f"  standing approval {each.begun.job.hex()}: {standing_use(each)}")
    if facts["last_list"]:
        lines.append(f"  last list {facts['last_list']}, {len(card.revoked)} certificates revoked")
    lines.append(f"  log: {facts['log_entries']} entries, head {facts['log_head']}")
    room = card.room
    lines.append(f"  room: {max(0, room.bytes)} bytes, at least {room.certificates} more certificates")
    return [*lines, f"  {room_warning(room)}"] if room.is_short else lines


def standing_use(standing: Standing) -> str:
    """How far a standing approval is used up."""
    begun, modules = standing.begun, ", ".join(standing.begun.serials)
    return f"{standing.used} of {begun.most} certificates for {modules} until {time_text(begun.until)}"


def _key(job: AnyJob) -> str:
    return f"; key {key_of(job)}" if isinstance(job, Job) and job.public_key is not None else ""


def _left(seconds: int) -> str:
    if seconds < 0:
        return "out of date"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes:02} min left"
