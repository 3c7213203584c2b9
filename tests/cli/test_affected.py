"""insitu central affected: whom a lost card concerns; and a host that shows the certificate that it is told to."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from command_processes import running
from commands import SERIAL, Estate, certificate, done, refused, unchanged
from cryptography.hazmat.primitives.serialization import Encoding

from insitu.protocol.stores.log_lines import import_lines
from insitu.protocol.stores.registry import Change, ModuleEntry, Standing
from insitu.registry import open_registry

FIELDS = {
    "serial",
    "state",
    "again",
    "certified",
    "known_since",
    "last_contact",
    "certificate",
    "owner",
    "by",
}


@pytest.fixture
def known(bank: Estate) -> Estate:
    """SM-1 was here before 1000 s after 1970, SM-2 came later, SM-3 waits for a reset."""
    issuer = sha256(certificate(bank / "customer.pem").public_bytes(Encoding.DER)).digest()
    registry = open_registry(f"{bank.store('central')}.db")
    for number, (serial, seen) in enumerate((("SM-1", 999), ("SM-2", 1000), ("SM-3", 5)), 1):
        entry = ModuleEntry(
            serial=serial,
            owner="First Bank",
            issuer=issuer,
            epoch=0,
            fingerprint=bytes([number]) * 32,
            certificate_number=number,
            issued=4,
            first_seen=seen,
            standing=Standing.OPERATING,
            last_contact=seen + 1,
        )
        registry.commit(Change(entry), at=seen)
    registry.order_reset("SM-3", actor="test", at=1001)
    registry.close()
    return bank


def listed(bank: Estate, *words: str | Path) -> list[dict[str, object]]:
    place = ("--store", bank.store("central"), "--issuer", bank / "customer.pem")
    return done("central", "affected", *place, "--json", *words).json


def root(bank: Estate) -> tuple[str, Path]:
    return "--root", bank / "manufacturer.pem"


def disable(bank: Estate, *words: str) -> None:
    lost = "1970-01-01T00:16:40Z"
    done(
        "central",
        "disable",
        "--store",
        bank.store("central"),
        "--issuer",
        bank / "customer.pem",
        "--lost",
        lost,
        *words,
    )


def states(bank: Estate, *words: str | Path) -> dict[object, object]:
    return {each["serial"]: each["state"] for each in listed(bank, *words)}


def test_before_and_after_the_report(known):
    assert states(known) == {"SM-1": "admitted", "SM-2": "admitted", "SM-3": "reset ordered"}
    disable(known, "--keep-known")
    assert states(known) == {"SM-1": "kept", "SM-2": "refused", "SM-3": "reset ordered"}
    disable(known)
    assert states(known) == {"SM-1": "refused", "SM-2": "refused", "SM-3": "reset ordered"}


def test_its_fields(known):
    disable(known, "--keep-known")
    first, second, _ = listed(known)
    assert first == {
        "serial": "SM-1",
        "state": "kept",
        "again": False,
        "certified": "1970-01-01T00:00:04Z",
        "known_since": "1970-01-01T00:16:39Z",
        "last_contact": "1970-01-01T00:16:40Z",
        "certificate": " ".join(["0101"] * 16),
        "owner": "First Bank",
        "by": [],
    }
    assert second.keys() == FIELDS
    assert second["again"] is True


def test_for_people(known):
    disable(known, "--keep-known")
    place = ("--store", known.store("central"), "--issuer", known / "customer.pem")
    lines = done("central", "affected", *place).out.splitlines()
    assert lines[0] == (
        "SM-1  kept: certified 1970-01-01T00:00:04Z, here since 1970-01-01T00:16:39Z, last contact "
        "1970-01-01T00:16:40Z; known before the loss, and stays by policy"
    )
    assert lines[-1] == "3 modules by this key, 2 to be personalized again; no other card of First Bank is trusted"


def test_the_log_names_modules_that_never_came(known):
    """Those that came are on the list once, as the registry knows them."""
    with running(*known.run_module("--once")) as module:
        known.approved("--module", SERIAL)
        done(*known.personalize(str(module.note("Ready")["at"])))
        module.wait()
    out = known / "log.jsonl"
    done("log", "export", *known.unsealed("card"), "--out", out)
    assert states(known, "--log", out, *root(known))[SERIAL] == "admitted"
    disable(known, "--keep-known")
    (late,) = (each for each in listed(known, "--log", out, *root(known)) if each["serial"] == SERIAL)
    assert (late["state"], late["again"], late["known_since"], late["last_contact"]) == ("refused", True, None, None)
    assert late["certificate"] == known.status()["certificate"]


def test_what_is_refused(known, stranger):
    place = ("central", "affected", "--store", known.store("central"))
    with unchanged(known):
        refused(2, "central", "affected", "--issuer", known / "customer.pem", says=("no registry is named",))
        refused(5, *place, "--issuer", stranger / "customer.pem", says=("no such issuer",))
        refused(2, *place, "--issuer", known / "customer.pem", "--log", known / "nope", says=("cannot read",))
        refused(
            4,
            *place,
            "--issuer",
            known / "customer.pem",
            "--log",
            known / "customer.pem",
            *root(known),
            says=("entry 0",),
        )


def test_the_log_must_be_this_cards(known, stranger):
    """Of another card it would name modules that are none of its business."""
    out = known / "log.jsonl"
    done("log", "export", *stranger.unsealed("card"), "--out", out)
    place = ("--store", known.store("central"), "--issuer", known / "customer.pem", "--log", out)
    refused(2, "central", "affected", *place, says=("--root, under which the card is certified",))
    refused(4, "central", "affected", *place, *root(known), says=("what was signed does not hold",))


def test_a_log_that_was_changed_is_none(known):
    out = known / "log.jsonl"
    done("log", "export", *known.unsealed("card"), "--out", out)
    log = import_lines(out.read_bytes()).log
    _, rest = out.read_bytes().split(b"\n", 1)
    out.write_bytes(replace(log[0], at=log[0].at + 1).line + b"\n" + rest)
    place = ("--store", known.store("central"), "--issuer", known / "customer.pem")
    refused(4, "central", "affected", *place, "--log", out, *root(known), says=("entry 1",))


def test_a_host_shows_only_a_certificate_of_its_own(bank, stranger):
    """For this key, as a central system's, by a card that is trusted."""
    words = [*bank.serve(), "--certificate"]
    with unchanged(bank):
        refused(2, *words, bank / "nope.pem", says=("nope.pem",))
        refused(3, *words, bank / "unit.pem", says=("unit.pem",))
        refused(3, *words, stranger / "central.pem", says=("central.pem",))


def test_the_certificate_of_another_card_is_shown(bank):
    """The same file as installed does as well: it is looked at in the same way."""
    with running(*bank.serve(), "--certificate", bank / "central.pem") as host:
        assert json.loads(host.line(lambda line: "Ready" in line, "Ready"))["state"] == "SERVING"
        assert host.end().code == 0
