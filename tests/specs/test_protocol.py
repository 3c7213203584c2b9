"""The numbers in specs/protocol.md are those of the code."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from insitu.protocol import driver, session
from insitu.protocol.channel import handshake, records
from insitu.protocol.channel.trust import SUITES, ByShippedKey, ModuleOneWay, UnitOneWay
from insitu.protocol.channel.trust.calling import MobileCalling, UnitCalled
from insitu.protocol.channel.trust.certificates import ModuleByIdentity, UnitByCertificate
from insitu.protocol.channel.trust.conveyed import ModuleByConveyed, UnitByConveyed
from insitu.protocol.channel.trust.enrolling import CardEnrolling, CentralEnrolling
from insitu.protocol.channel.trust.operating import SKEW_SECONDS, CentralAtWork, ModuleAtWork
from insitu.protocol.channel.trust.physical import ByCable
from insitu.protocol.engine import Fault
from insitu.protocol.keys import derive, profile
from insitu.protocol.messages import MESSAGES, Purpose, TrustOption, catalogue, codec, intent
from insitu.protocol.parties import card_enrolling, card_syncing, central_data, module_data, unit, work_data
from insitu.shell import card
from insitu.transports import framing, tcp
from insitu.transports.serial import arq, endpoint, frames, link, port

TERMS: Final = (
    *(ModuleByConveyed, UnitByConveyed, MobileCalling, UnitCalled),
    ByCable,
    ByShippedKey,
    ModuleOneWay,
    UnitOneWay,
    ModuleByIdentity,
    UnitByCertificate,
    ModuleAtWork,
    CentralAtWork,
    CardEnrolling,
    CentralEnrolling,
)
TEXT: Final = (Path(__file__).parents[2] / "specs" / "protocol.md").read_text(encoding="utf-8")

SAID: Final = {
    "frames": f"1 to {framing.MAX_FRAME:,}",
    "codec, bytes": f"| bytes of any input | {codec.MAX_BYTES:,} |",
    "codec, nesting": f"| nesting | {codec.MAX_DEPTH}; in a message {catalogue.MESSAGE_DEPTH}; in an Intent 1 |",
    "codec, items": f"| {codec.MAX_ITEMS:,}; in a message {catalogue.MESSAGE_ITEMS} |",
    "codec, Intent": f"| bytes of an Intent | {intent.INTENT_MAX} |",
    "suites": "| suites | {} preferred, {} admitted;".format(*SUITES),
    "connection identifiers": f"`{handshake.C_I.hex()}` and `{handshake.C_R.hex()}`",
    "EAD label": f"label {handshake.INTENT_LABEL} (crosses as {-handshake.INTENT_LABEL})",
    "exporter, to responder": f"| {records.TO_RESPONDER} | {records.KEY_BYTES + records.IV_BYTES} |",
    "exporter, to initiator": f"| {records.TO_INITIATOR} | {records.KEY_BYTES + records.IV_BYTES} |",
    "exporter, binding": f"| {records.BINDING} | {handshake.BINDING_BYTES} |",
    "pieces": f"pieces of at most {records.MAX_RECORD - records.TAG_BYTES - 1:,} bytes",
    "generations": f"more than {records.MAX_AHEAD} generations ahead",
    "handshake, seconds": f"| the whole handshake, each side | {session.HANDSHAKE_SECONDS:g} |",
    "module, seconds": f"for ResetCommand | {module_data.MACHINE_SECONDS:g} each |",
    "person, seconds": f"while people compare fingerprints | {module_data.PERSON_SECONDS:g} |",
    "clock ahead, seconds": f"up to {SKEW_SECONDS} seconds ahead",
    "unit's person, seconds": f"for the person who compares fingerprints | {unit.PERSON_SECONDS:g} |",
    "unit, seconds": f"| unit: for ModuleKey, for Personalized, for Status | {unit.MACHINE_SECONDS:g} each |",
    "central, seconds": f"an answer to a command, ResetChallenge, ResetDone | {central_data.MACHINE_SECONDS:g} each |",
    "enrollment, seconds": f"| card: for Enrolled; central: for Enroll | {card_enrolling.MACHINE_SECONDS:g} each |",
    "sync, seconds": f"LogRead; central: for LogOffered, LogPart | {card_syncing.MACHINE_SECONDS:g} each |",
    "silence, seconds": f"| central: without a Beat | {central_data.SILENCE_SECONDS:g} |",
    "beat, seconds": f"| module: between two Beats | {work_data.BEAT_SECONDS:g} |",
    "exporter, wrapping": f"exporter (label {records.WRAPPING})",
    "sending, seconds": f"| a peer that leaves a flight unread | {driver.SEND_SECONDS:g} |",
    "TCP, seconds": f"| a TCP connection, the answer to a serial call | {tcp.CONNECT_TIMEOUT:g} |",
    "approvals, seconds": f"| approvals of a job (people) | {card.APPROVAL_SECONDS:,} |",
    "key pair": f"The module draws {derive.OWN_ENTROPY} bytes itself",
    "certificates": f"at most {profile.MAXIMUM_SIZE:,} bytes",
    "key usages": f"lie below {profile.OID_ARC}",
    "link frames": f"At most {frames.MAX_LINE} bytes on the line",
    "link payload": f"body    = 0 to {frames.MAX_BODY} bytes",
    "link numbers": f"modulo {frames.NUMBERS} |",
    "link window": f"At most {frames.WINDOW} frames are under way",
    "link version": f"| version {frames.VERSION}, caller |",
    "link speed": f"{port.DEFAULT_BAUD} baud unless agreed otherwise",
    "link patience": f"new acknowledgement for {arq.Timing().patience:g} s",
    "link call": f"gives up after {link.ANSWER_TIMEOUT:g} s",
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_numbers(said: str):
    assert " ".join(said.split()) in " ".join(TEXT.split())


def test_limits_that_are_powers_of_two():
    assert (records.MAX_RECORDS, records.MAX_PAYLOAD) == (2**24, 2**20)
    assert "2^24 records" in TEXT
    assert "at most 1 MiB" in TEXT


def test_times_that_stand_in_words():
    assert endpoint._SLOWEST_CALL == arq.PROBE == 1
    assert (arq.ACK_DELAY, arq.ACK_AT_ONCE) == (0.02, 3)
    assert arq.Timing(baud=1700).limit > arq.Timing(baud=1720).limit == 15


def test_every_message_has_its_number():
    """In a table, except for those of one sentence each."""
    numbers = {cls.__name__: vars(cls)["__wire_layout__"].number for cls in MESSAGES}
    for name, number in numbers.items():
        assert f"| {name} | {number} |" in TEXT or f"{name} ({number})" in TEXT


def test_every_fault_has_its_code():
    for fault in Fault:
        assert f"| {fault.value} | {fault.name.lower()} |" in TEXT


def test_purposes_and_options():
    purposes = ", ".join(f"{purpose.value} {purpose.name.lower()}" for purpose in Purpose)
    options = ", ".join(f"{option.value} {option.text}" for option in TrustOption)
    assert f"purpose {purposes}; option {options}" in " ".join(TEXT.split())


def test_methods():
    method = {terms: next(field.default for field in fields(terms) if field.name == "method") for terms in TERMS}
    assert {method.pop(each) for each in (ByCable, ByShippedKey, ModuleByConveyed, UnitByConveyed)} == {3}
    assert {method.pop(ModuleOneWay), method.pop(UnitOneWay)} == {1}
    assert set(method.values()) == {0}


def test_roles_and_their_certificates():
    for role, use in profile.KEY_USE.items():
        dotted = getattr(use, "dotted_string", use)
        assert f"| {role.value} | {profile.ISSUER[role].value} |" in TEXT
        assert f"critical: `.{dotted.rpartition('.')[2]}`" in next(
            line for line in TEXT.splitlines() if line.startswith(f"| {role.value} | {profile.ISSUER[role].value} |")
        )
    for role, path in profile.PATH_LENGTH.items():
        line = next(line for line in TEXT.splitlines() if line.startswith(f"| {role.value} |") and "CA" in line)
        assert f"critical, CA, path length {path}" in line
