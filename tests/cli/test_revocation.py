"""Revocation by the commands: lists of manufacturer and card, and what openssl makes of them (S5)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commands import SERIAL, Estate, done, insitu, refused, unchanged
from cryptography import x509

from insitu.protocol.keys.port import KeyStoreError
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.stores.card_log import ListIntent, Result
from insitu.protocol.stores.log_lines import import_lines


def numbered(path: Path) -> str:
    """The serial number of a certificate, as the commands write it."""
    return f"{x509.load_pem_x509_certificate(path.read_bytes()).serial_number:032x}"


def listed(path: Path) -> set[str]:
    """The serial numbers on a list, as another library reads it."""
    return {f"{each.serial_number:032x}" for each in x509.load_pem_x509_crl(path.read_bytes())}


def maker(bank: Estate, verb: str, *words: str | Path) -> str:
    return done("manufacturer", verb, *bank.unsealed("manufacturer"), *words).out


def card(bank: Estate, verb: str, *words: str | Path) -> str:
    return done("card", verb, *bank.unsealed("card"), *words).out


def lists(bank: Estate) -> tuple[Path, Path]:
    """New lists of both issuers."""
    maker(bank, "crl", "--out", bank / "manufacturer.crl")
    card(bank, "crl", *bank.people(), "--out", bank / "card.crl")
    return bank / "manufacturer.crl", bank / "card.crl"


def verified(bank: Estate, certificate: str) -> tuple[bool, str]:
    """What openssl says of a certificate by the card, with the lists of all issuers."""
    everything = bank / "all.crl"
    everything.write_bytes((bank / "manufacturer.crl").read_bytes() + (bank / "card.crl").read_bytes())
    words = [
        "-x509_strict",
        "-crl_check_all",
        "-CAfile",
        bank / "manufacturer.pem",
        "-untrusted",
        bank / "customer.pem",
    ]
    ran = subprocess.run(
        ["openssl", "verify", *words, "-CRLfile", everything, bank / certificate],
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode == 0, ran.stdout + ran.stderr


# openssl


def test_openssl_accepts_what_is_on_no_list_and_refuses_what_is_on_one(bank):
    lists(bank)
    assert verified(bank, "central.pem")[0]
    assert verified(bank, "unit.pem")[0]
    card(bank, "revoke", "--certificate", bank / "central.pem", *bank.people(), "--out", bank / "card.crl")
    good, says = verified(bank, "central.pem")
    assert (good, "certificate revoked" in says) == (False, True)
    assert verified(bank, "unit.pem")[0]
    maker(bank, "revoke", "--certificate", bank / "customer.pem")
    assert verified(bank, "unit.pem")[0], "nobody learns of it before the next list"
    maker(bank, "crl", "--out", bank / "manufacturer.crl")
    good, says = verified(bank, "unit.pem")
    assert (good, "certificate revoked" in says) == (False, True)


def test_openssl_misses_a_list_that_is_not_there(bank):
    """So that the test before is one of the lists."""
    lists(bank)
    (bank / "card.crl").write_bytes(b"")
    good, says = verified(bank, "unit.pem")
    assert (good, "unable to get certificate CRL" in says) == (False, True)


def test_openssl_knows_issuer_number_and_times(bank):
    for path, issuer in zip(lists(bank), ("First Modules", "First Bank"), strict=True):
        ran = subprocess.run(
            ["openssl", "crl", "-in", path, "-noout", "-issuer", "-crlnumber", "-nextupdate"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert issuer in ran.stdout
        assert "crlNumber=0x1" in ran.stdout.replace("0x01", "0x1")
        assert "nextUpdate=" in ran.stdout


# The manufacturer


def test_the_manufacturer_revokes_identities_and_customers(bank):
    told = maker(bank, "revoke", "--serial", SERIAL)
    assert "revoked from the next list on" in told
    maker(bank, "revoke", "--customer", "First Bank")
    assert "list 1, 2 certificates revoked" in maker(bank, "crl", "--out", bank / "list.pem")
    assert numbered(bank / "customer.pem") in listed(bank / "list.pem")
    assert told.split()[1] in listed(bank / "list.pem")
    assert "list 2, 2 certificates revoked" in maker(bank, "crl", "--out", bank / "list.pem")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "what to revoke"),
        (("--serial", SERIAL, "--customer", "First Bank"), 2, "one of --serial, --customer, --certificate"),
        (("--serial", "SM-0"), 5, "got none"),
        (("--customer", "Nobody"), 5, "got none"),
        (("--certificate", "unit.pem"), 3, "one that we made for others"),
        (("--certificate", "manufacturer.pem"), 3, "one that we made for others"),
        (("--certificate", "missing.pem"), 2, "cannot read"),
    ],
    ids=str,
)
def test_what_the_manufacturer_does_not_revoke(bank, words, code, says):
    paths = [str(bank / word) if word.endswith(".pem") else word for word in words]
    with unchanged(bank):
        refused(code, "manufacturer", "revoke", *bank.unsealed("manufacturer"), *paths, says=(says,))


def test_nothing_is_revoked_twice(bank):
    maker(bank, "revoke", "--serial", SERIAL)
    with unchanged(bank):
        words = ["revoke", *bank.unsealed("manufacturer"), "--serial", SERIAL]
        refused(5, "manufacturer", *words, says=("a revoked one",))


def test_a_list_replaces_no_store(bank):
    with unchanged(bank):
        for party in ("manufacturer", "card"):
            words = [party, "crl", *bank.unsealed(party), "--out", str(bank.store("module"))]
            refused(2, *words, says=("is in use",))


# The card


def test_two_people_one_after_the_other_revoke(bank):
    words = ["revoke", "--certificate", bank / "central.pem", "--out", bank / "card.crl"]
    assert "approved by nobody, 2 approvals missing" in card(bank, *words)
    assert "approved by alice, 1 approval missing" in card(bank, *words, *bank.people("alice"))
    assert not (bank / "card.crl").exists()
    status = done("card", "status", *bank.unsealed("card"), "--json").json[0]
    assert [(each["list"], each["adds"], each["approvals"]) for each in status["lists"]] == [
        (1, [numbered(bank / "central.pem")], ["alice"])
    ]
    assert "list 1 revokes 1 more, for 90 days: approved by alice, 1 approval missing" in card(bank, "status")
    told = card(bank, *words, *bank.people("bob"))
    assert "approved by alice and bob, signed, in" in told
    assert listed(bank / "card.crl") == {numbered(bank / "central.pem")}
    status = done("card", "status", *bank.unsealed("card"), "--json").json[0]
    assert (status["lists"], status["last_list"], list(status["revoked"])) == (
        [],
        1,
        [numbered(bank / "central.pem")],
    )
    assert "last list 1, 1 certificates revoked" in card(bank, "status")


def test_the_last_list_is_written_again_and_a_new_one_wants_two_people(bank):
    card(bank, "revoke", "--certificate", bank / "unit.pem", *bank.people())
    card(bank, "crl", "--out", bank / "again.crl")
    assert listed(bank / "again.crl") == {numbered(bank / "unit.pem")}
    assert "1 approval missing" in card(bank, "crl", *bank.people("bob"), "--out", bank / "new.crl")
    assert not (bank / "new.crl").exists()
    card(bank, "crl", *bank.people("alice"), "--out", bank / "new.crl")
    numbers = [
        x509.load_pem_x509_crl((bank / name).read_bytes()).extensions.get_extension_for_class(x509.CRLNumber).value
        for name in ("again.crl", "new.crl")
    ]
    assert [each.crl_number for each in numbers] == [1, 2]
    assert listed(bank / "new.crl") == {numbered(bank / "unit.pem")}


def test_lists_are_in_the_exported_log(bank):
    card(bank, "revoke", "--certificate", bank / "unit.pem", *bank.people(), "--out", bank / "card.crl")
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    *_, intent, result = (entry.what for entry in import_lines((bank / "log.jsonl").read_bytes()).log)
    assert isinstance(intent, ListIntent)
    assert isinstance(result, Result)
    assert intent.approvers == ("alice", "bob")
    assert [number.hex() for number in intent.added] == [numbered(bank / "unit.pem")]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "what to revoke"),
        (("--module", SERIAL), 5, f"no certificate for {SERIAL}"),
        (("--certificate", "customer.pem"), 3, "one that the card's log names"),
        (("--certificate", "manufacturer.pem"), 3, "one that the card's log names"),
        (("--certificate", "missing.pem"), 2, "cannot read"),
    ],
    ids=str,
)
def test_what_a_card_does_not_revoke(bank, words, code, says):
    paths = [str(bank / word) if word.endswith(".pem") else word for word in words]
    with unchanged(bank):
        refused(code, "card", "revoke", *bank.unsealed("card"), *paths, *bank.people(), says=(says,))


def test_there_is_no_list_before_two_people_had_one_made(bank):
    with unchanged(bank):
        refused(5, "card", "crl", *bank.unsealed("card"), "--out", bank / "card.crl", says=("no revocation list",))


def test_a_list_that_was_not_signed_is_not_passed_over(bank, monkeypatch):
    """Key memory failed after the entry: the older list is out of date, and a new one says everything."""
    card(bank, "crl", *bank.people(), "--out", bank / "card.crl")

    def gone(*_: object) -> bytes:
        raise KeyStoreError("key memory is gone", who="keys")

    with monkeypatch.context() as patch:
        patch.setattr(SealedVault, "sign", gone)
        words = ["--certificate", bank / "unit.pem", *bank.people()]
        refused(4, "card", "revoke", *bank.unsealed("card"), *words, says=("key memory is gone",), shown=True)
    says = "list 2 was not signed, and list 1 is out of date"
    refused(5, "card", "crl", *bank.unsealed("card"), "--out", bank / "card.crl", says=(says,))
    assert "list 3 adds nothing" in card(bank, "crl", *bank.people(), "--out", bank / "card.crl")
    assert listed(bank / "card.crl") == {numbered(bank / "unit.pem")}


def test_a_wrong_pin_revokes_nothing(bank, tmp_path):
    from commands import write_secret

    wrong = write_secret(tmp_path / "wrong.pin", "00000000")
    words = ["card", "revoke", *bank.unsealed("card"), "--certificate", bank / "unit.pem", *bank.people(alice=wrong)]
    refused(2, *words, says=("wrong PIN of alice",), shown=True)
    assert "last list" not in card(bank, "status")


# The central system and the unit


def central(bank: Estate, *words: str | Path) -> list[str | Path]:
    return ["central", "crl", words[0], *bank.unsealed("central"), *words[1:]]


def test_which_lists_the_central_system_takes(bank, stranger):
    first, _ = lists(bank)
    done(*central(bank, "import", "--file", first))
    maker(bank, "crl", "--out", bank / "second.crl")
    done(*central(bank, "import", "--file", bank / "second.crl"))
    done(*central(bank, "import", "--file", bank / "second.crl"))
    done(*central(bank, "import", "--file", bank / "card.crl"))
    foreign, _ = lists(stranger)
    with unchanged(bank):
        refused(5, *central(bank, "import", "--file", first))
        refused(2, *central(bank, "import", "--file", foreign), says=("one by a trusted issuer",))
        refused(2, *central(bank, "import", "--file", bank / "unit.pem"), says=("is not a revocation list",))
    export = ["central", "crl", "export", "--store", bank.store("central"), "--out", bank / "out.crl"]
    for issuer, name in (("manufacturer.pem", "second.crl"), ("customer.pem", "card.crl")):
        done(*export, "--issuer", bank / issuer)
        assert (bank / "out.crl").read_bytes() == (bank / name).read_bytes()


def test_a_revoked_customer_is_trusted_by_no_central_system_that_knows(bank):
    maker(bank, "revoke", "--customer", "First Bank")
    maker(bank, "crl", "--out", bank / "list.pem")
    done(*central(bank, "import", "--file", bank / "list.pem"))
    from commands import fingerprint

    chain = ["--root", bank / "manufacturer.pem", "--customer", bank / "customer.pem"]
    chain += ["--fingerprint", fingerprint(bank / "manufacturer.pem")]
    with unchanged(bank):
        refused(3, "central", "trust", *bank.unsealed("central"), *chain, says=("is revoked",))


def test_a_unit_hears_of_a_revoked_identity_and_of_its_own_key(bank):
    bank.approved("--module", SERIAL)
    maker(bank, "revoke", "--serial", SERIAL)
    maker(bank, "crl", "--out", bank / "list.pem")
    words = bank.personalize("tcp:127.0.0.1:9", "--crl", str(bank / "list.pem"))
    assert insitu(*words).code == 4, "the list is one; nobody is at the link"
    physical = [*bank.personalize("serial:/dev/ttyS99", "--crl", str(bank / "list.pem")), "--trust", "physical"]
    refused(2, *physical, says=("a revocation list names identities",))
    (bank / "older.pem").write_bytes((bank / "list.pem").read_bytes())
    card(bank, "crl", *bank.people(), "--out", bank / "list.pem")
    refused(3, *words, says=("issuer of a revocation list",))
    maker(bank, "revoke", "--customer", "First Bank")
    maker(bank, "crl", "--out", bank / "list.pem")
    refused(3, *words, says=("customer certificate of First Bank is revoked",))
    refused(5, *bank.personalize("tcp:127.0.0.1:9", "--crl", str(bank / "older.pem")), says=("one newer than list 2",))
    refused(3, *bank.personalize("tcp:127.0.0.1:9"), says=("customer certificate of First Bank is revoked",))


def test_a_host_whose_own_certificate_is_revoked_does_not_serve(bank):
    """By the card, or with the card by the manufacturer; nor is such a certificate installed once more."""
    card(bank, "revoke", *bank.people(), "--certificate", bank / "central.pem", "--out", bank / "list.pem")
    done(*central(bank, "import", "--file", bank / "list.pem"))
    words = ["central", "install", *bank.unsealed("central"), "--certificate", bank / "central.pem"]
    with unchanged(bank, "central.store.db-shm"):
        for command in (bank.serve(), words):
            assert "our own certificate is revoked" in insitu(*command).error
