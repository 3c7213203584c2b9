"""Lost cards and revoked certificates, by processes: open sessions end, new ones are refused (S5, L12)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_processes import Process, place, running
from commands import PINS, SERIAL, Estate, done, insitu, write_secret

SECONDS = 5
"""Within these a session has ended that must not go on (SECURITY: S5)."""


@contextmanager
def at_work(bank: Estate) -> Iterator[tuple[Process, Process]]:
    """A central system and a module that it has seen."""
    with running(*bank.serve()) as host:
        with running(*bank.run_module("--central", place(host), "--requests")) as module:
            bank.approved("--module", SERIAL)
            done(*bank.personalize(place(module), "--out", str(bank / "module.pem")))
            host.note("ModuleContacted")
            module.note("StateEntered", state="ONLINE")
            yield host, module
            module.end()
        host.end()


def refused_within(host: Process, module: Process, began: float, why: str) -> None:
    """The open session ended in time, and the next one is refused as well."""
    assert why in host.note("Error")["error"]
    assert time.monotonic() - began < SECONDS
    module.note("StateEntered", event="ChannelLost")
    assert why in host.note("Error")["error"], "it came again"


def disable(bank: Estate, *words: str | Path) -> None:
    done("central", "disable", "--store", bank.store("central"), "--issuer", bank / "customer.pem", *words)


def import_list(bank: Estate, path: Path) -> None:
    done("central", "crl", "import", *bank.unsealed("central"), "--file", path)


def test_a_certificate_that_the_card_revoked(bank):
    with at_work(bank) as (host, module):
        words = ["--module", SERIAL, *bank.people(), "--out", bank / "card.crl"]
        done("card", "revoke", *bank.unsealed("card"), *words)
        began = time.monotonic()
        import_list(bank, bank / "card.crl")
        refused_within(host, module, began, "its certificate or its issuer's is revoked")


def test_a_customer_whom_the_manufacturer_revoked(bank):
    """The host's own certificate is by that customer's card, too."""
    with at_work(bank) as (host, module):
        maker = bank.unsealed("manufacturer")
        done("manufacturer", "revoke", *maker, "--customer", "First Bank")
        done("manufacturer", "crl", *maker, "--out", bank / "list.pem")
        began = time.monotonic()
        import_list(bank, bank / "list.pem")
        for _ in ("by itself", "to the module that comes again"):
            while "our own certificate is revoked" not in host.note("Error")["error"]:
                assert time.monotonic() - began < SECONDS
        module.note("StateEntered", event="ChannelLost")


def test_a_lost_card_takes_all_its_modules_with_it(bank):
    with at_work(bank) as (host, module):
        began = time.monotonic()
        disable(bank)
        refused_within(host, module, began, "the key that certified it is disabled")


@pytest.mark.parametrize("known", [True, False], ids=["known before the loss", "not known before the loss"])
def test_a_lost_card_whose_known_modules_stay(bank, known):
    """What the registry saw before the loss counts, and no date in a certificate: that is older either way."""
    with at_work(bank) as (host, module):
        moment = datetime.now(UTC) + timedelta(seconds=5 if known else -3600)
        began = time.monotonic()
        disable(bank, "--keep-known", "--lost", moment.isoformat())
        if not known:
            refused_within(host, module, began, "the key that certified it is disabled")
            return
        module.ask(authorize={"card": "4000001234567899", "account": "DE02", "amount": 5000, "currency": "EUR"})
        assert module.note("PayOutInstructed")["approved"] is True
        host.note("TransactionDecided")


def test_a_certificate_from_before_the_loss_that_the_central_system_never_saw(bank):
    """S5: whoever has the card dates back; so a module that was personalized, but never called, is refused."""
    with running(*bank.run_module("--once")) as module:
        bank.approved("--module", SERIAL)
        done(*bank.personalize(place(module)))
        module.wait()
    disable(bank, "--keep-known")
    with running(*bank.serve()) as host:
        with running(*bank.run_module("--central", place(host))) as module:
            assert "the key that certified it is disabled" in host.note("Error")["error"]
            assert "refused" in module.note("Error")["error"]
            module.end()
        host.end()
    assert done("central", "modules", "--store", bank.store("central")).out == ""


def lost_card(bank: Estate) -> Estate:
    """Another card of the same customer, with everything that it takes to personalize modules."""
    lost = Estate(bank / "lost")
    lost.directory.mkdir()
    write_secret(lost / "card.passphrase", "card opens with kWqZ81")
    for person, pin in PINS.items():
        write_secret(lost / f"{person}.pin", pin)
    maker, words = bank.unsealed("manufacturer"), lost.unsealed("card")
    root, request, customer = bank / "manufacturer.pem", lost / "request.pem", lost / "customer.pem"
    done("card", "init", *words, "--name", "First Bank", *lost.people(), "--request", request)
    done("manufacturer", "sign-customer", *maker, "--request", request, "--out", customer)
    done("card", "install", *words, "--root", root, "--customer", customer)
    lost.approved("--unit", "unit-2", "--central", str(bank / "central-request.pem"), "--module", SERIAL)
    return lost


def test_modules_refuse_the_units_of_a_revoked_card(bank):
    """The central system hands the manufacturer's list to the modules of the card that is left."""
    lost = lost_card(bank)
    with at_work(bank) as (host, module):
        maker = bank.unsealed("manufacturer")
        done("manufacturer", "revoke", *maker, "--certificate", lost / "customer.pem")
        done("manufacturer", "crl", *maker, "--out", bank / "list.pem")
        import_list(bank, bank / "list.pem")
        assert "1 modules" in done("central", "crl", "send", *bank.unsealed("central")).out
        host.note("CommandConcluded", number=1)
        module.ask(reset="by hand")
        module.note("KeysErased")
        at = next(note["at"] for note in map(json.loads, module.out.splitlines()) if note["note"] == "Ready")
        ran = insitu(*lost.personalize(at))
        assert ran.code == 3
        assert "the session was ended" in module.note("Error")["error"], "that with the host, by the reset"
        assert "customer certificate of First Bank is revoked" in module.note("Error")["error"]
        ran = insitu(*lost.personalize(at, "--crl", str(bank / "list.pem")))
        assert (ran.code, "is revoked" in ran.error) == (3, True), "an honest unit notices by itself"
        bank.approved("--module", SERIAL)
        done(*bank.personalize(at, "--crl", str(bank / "list.pem")))


def test_a_unit_with_the_list_refuses_a_revoked_module(bank):
    maker = bank.unsealed("manufacturer")
    done("manufacturer", "revoke", *maker, "--serial", SERIAL)
    done("manufacturer", "crl", *maker, "--out", bank / "list.pem")
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        ran = insitu(*bank.personalize(place(module), "--crl", str(bank / "list.pem")))
        assert ran.code == 3
        assert f"identity certificate of {SERIAL} is revoked" in ran.error
        module.end()
    assert bank.status()["state"] == "delivered"
