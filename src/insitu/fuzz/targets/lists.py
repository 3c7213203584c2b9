"""Revocation lists where they count: at a module at work, at a unit and in its card (S5).

An input is the part that the manufacturer signs, and is signed here: all that a list can say is tried, whoever would
say it. What nobody signed, `revocation-lists` and `card-desk` are about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Final

from ...protocol.engine import InsituError
from ...protocol.keys.certificates import Role, VerifiedCertificate, trusted_root, verify_issued
from ...protocol.keys.drafting import put_together
from ...protocol.keys.reading import CertificateRefused
from ...protocol.keys.revocation import draft_crl, read_crl
from ...protocol.messages import Revocations, Welcome, encode_message
from .. import cast
from ..mutation import joined
from ..scene import NOW, SERIAL, CopiedVault, Named, scene
from ..target import Shape, check, outcome_of, target
from .parties import SECONDS, Stage, run

NUMBER: Final = 1
"""That the central system gives the list."""


@cache
def _root() -> VerifiedCertificate:
    return trusted_root(scene().root)


@cache
def _customer() -> VerifiedCertificate:
    return verify_issued(scene().customer, _root(), Role.CUSTOMER, now=None)


def _signed(part: bytes) -> bytes:
    vault = CopiedVault("maker signs", scene().manufacturer)
    pairs = [pair for pair in map(vault.find, sorted(vault.labels())) if pair and pair.public == _root().public]
    return put_together(part, vault.sign(pairs[0], part))


def part_seeds() -> Iterator[bytes]:
    """Lists: of nobody, of somebody, of the customer, of one who is revoked later; and one whose time is over."""
    others, ours = 1 << 126 | 7, _customer().serial_number
    for number, revoked, ends in (
        (1, {}, NOW + 99_999),
        (2, {others: NOW - 1}, NOW + 99_999),
        (3, {ours: NOW - 1, others: NOW - 9}, NOW + 99_999),
        (4, {ours: NOW + 9_999}, NOW + 99_999),
        ((1 << 63) - 1, {others: NOW}, NOW - 1),
    ):
        yield draft_crl(_root(), revoked, number=number, this_update=NOW - 500, next_update=ends).to_be_signed


def _told(der: bytes) -> Stage:
    """A module at work whose central system has this list for it."""
    there = scene()
    module, central = there.a_module(operating=True), there.a_central()
    puppet, ports = cast.central_system(central, entropy=Named("puppet"))
    before = module.record

    def sound(refused: bool) -> None:
        record = module.record
        check(record.crl in (None, der), "another list is kept")
        check(record.crl is None or read_crl(der, _root()).der == der, "a list is kept that nobody can read")
        changed = replace(record, crl=before.crl, heard=before.heard, generation=before.generation)
        check(changed == before, "a list changed something else")

    return Stage(module.work, puppet, ports, {}, sound)


@target("module-lists", Shape.DER, part_seeds, seconds=SECONDS)
def module_lists(data: bytes) -> str:
    """Whatever list the manufacturer signs, a module at work keeps it as it is or none, and stays what it is."""
    der = _signed(data)
    message = encode_message(Revocations(NUMBER, der[:32_768]))
    return run(partial(_told, der), joined([encode_message(Welcome(NOW, 0)), message]))


@target("unit-lists", Shape.DER, part_seeds, seconds=0.2)
def unit_lists(data: bytes) -> str:
    """Whatever list the manufacturer signs, a unit heeds what it says and its card keeps it, or both stay as they were.

    Once the customer is on it, no job stands any more.
    """
    der, card = _signed(data), scene().a_card()
    unit, before = scene().a_unit(card), card.record
    outcome = "heeded"
    try:
        unit.heed(der)
    except InsituError as error:
        outcome = outcome_of(error)
    heard = card.heard
    check(replace(card.record, heard=before.heard) == before, "a list changed something else")
    check(heard is None or heard.der == der, "another list is kept")
    check(heard is not None or outcome != "heeded", "a list that was heeded is not kept")
    is_on_it = heard is not None and _customer().serial_number in heard.revoked
    check(not is_on_it or outcome != "heeded", "a list with the customer on it was heeded without a word")
    try:
        unit.check(SERIAL)
    except CertificateRefused:
        check(is_on_it, "a job fell that no list is about")
        return f"{outcome}, the customer is on it"
    check(not is_on_it, "a job stands of a customer who is revoked")
    return outcome
