"""Certificates and requests that are none, or are not what they must be: one clear line, nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_processes import running
from commands import SERIAL, Estate, certificate, done, fingerprint, new, refused, unchanged

DAY = 24 * 3600

# Certificates and requests -----------------------------------------------------------------------------------


NO_CERTIFICATES = {
    "missing": (None, "No such file"),
    "empty": (b"", "got an empty file"),
    "a passphrase": (b"hunter2 hunter2\n", "expected one certificate"),
    "a request": (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "REQUEST"),
    "half": (b"-----BEGIN CERTIFICATE-----\nMIIB", "expected one certificate"),
    "no base64": (b"-----BEGIN CERTIFICATE-----\n\xff\xfe!!\n-----END CERTIFICATE-----\n", "expected one certificate"),
    "binary": (bytes(range(256)), "expected one certificate"),
    "huge": (b"-----BEGIN CERTIFICATE-----\n" * 10_000, "too large"),
}


@pytest.mark.parametrize("kind", NO_CERTIFICATES)
@pytest.mark.parametrize("command", ["card install", "central trust", "central install", "unit personalize"])
def test_a_file_that_is_no_certificate(bank, command, kind):
    content, says = NO_CERTIFICATES[kind]
    file = bank / "some.pem"
    if content is not None:
        file.write_bytes(content)
    words = {
        "card install": [*bank.unsealed("card"), "--root", bank / "manufacturer.pem", "--customer", file],
        "central trust": [*bank.unsealed("central"), "--root", file, "--customer", file, "--fingerprint", "AA"],
        "central install": [*bank.unsealed("central"), "--certificate", file],
        "unit personalize": bank.personalize("tcp:127.0.0.1:1", "--central", str(file))[2:],
    }[command]
    with unchanged(bank):
        line = refused(2, *command.split(), *words, says=(str(file), says))
    assert "hunter2" not in line


def test_two_certificates_in_one_file(bank):
    both = bank / "both.pem"
    both.write_bytes((bank / "central.pem").read_bytes() * 2)
    refused(
        2, "central", "install", *bank.unsealed("central"), "--certificate", both, says=("expected one certificate",)
    )


def test_a_certificate_that_is_damaged(bank):
    pem = (bank / "customer.pem").read_text().splitlines()
    pem[4] = pem[4][::-1]
    file = bank / "damaged.pem"
    file.write_text("\n".join(pem))
    words = [*bank.unsealed("central"), "--root", bank / "manufacturer.pem", "--customer", file, "--fingerprint"]
    with unchanged(bank):
        root = fingerprint(bank / "manufacturer.pem")
        refused(3, "central", "trust", *words, root, says=(str(file),))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unit.pem", ("role", "expected central", "got unit")),
        ("customer.pem", ("expected central",)),
        ("manufacturer.pem", ("expected central",)),
        ("foreign", ()),
    ],
)
@pytest.mark.parametrize("command", ["install", "personalize"])
def test_a_certificate_of_the_wrong_role_or_issuer(bank, stranger, command, name, says):
    bank.approved("--module", SERIAL)
    file = stranger / "central.pem" if name == "foreign" else bank / name
    words = {
        "install": ["central", "install", *bank.unsealed("central"), "--certificate", str(file)],
        "personalize": bank.personalize("tcp:127.0.0.1:1", "--central", str(file)),
    }[command]
    with unchanged(bank):
        refused(3, *words, says=(f"{file}: ", *says))


def test_a_central_certificate_for_another_key(bank):
    """Same name, same issuer, and still not ours (S11)."""
    other = bank / "other-request.pem"
    done("central", "init", *new(bank, "other"), "--name", "First Host", "--request", other)
    (bank / "elsewhere").mkdir()
    done(*approve_central(bank, other), "--out", bank / "elsewhere")
    with unchanged(bank):
        refused(3, "central", "install", *bank.unsealed("central"), "--certificate", bank / "elsewhere/central.pem")


def approve_central(bank: Estate, request: Path) -> list[str | Path]:
    return ["card", "approve", *bank.unsealed("card"), *bank.people(), "--central", request]


def test_a_certificate_that_is_out_of_date(bank, later):
    later(366 * DAY)
    with unchanged(bank):
        said = (str(bank / "central.pem"), "not valid at that time")
        refused(3, *bank.personalize("tcp:127.0.0.1:1"), says=said)


def test_the_manufacturers_answer_is_for_another_card(bank, stranger):
    card = new(bank, "second")
    done("card", "init", *card, "--name", "First Bank", *bank.people(), "--request", bank / "second.pem")
    for root, customer in ((bank, bank), (stranger, stranger), (bank, stranger)):
        words = ["--root", root / "manufacturer.pem", "--customer", customer / "customer.pem"]
        with unchanged(bank):
            refused(3, "card", "install", *card, *words, says=(str(customer / "customer.pem"),))


def test_another_root_than_the_one_that_was_meant(bank, stranger):
    words = ["--root", stranger / "manufacturer.pem", "--customer", stranger / "customer.pem", "--fingerprint"]
    with unchanged(bank):
        trust = ["central", "trust", *bank.unsealed("central"), *words]
        refused(2, *trust, "AA:BB", says=("64 hexadecimal digits", "got AA:BB"))
        said = ("not the root that was meant", "expected AAAA AAAA")
        refused(2, *trust, "AA:" * 31 + "AA", says=said)


@pytest.mark.parametrize("content", [b"", b"hunter2\n", b"-----BEGIN CERTIFICATE REQUEST-----\n!\n-----END"])
def test_a_file_that_is_no_request(bank, content):
    file = bank / "some.pem"
    file.write_bytes(content)
    words = ["--request", file, "--out", bank / "out.pem"]
    with unchanged(bank):
        line = refused(2, "manufacturer", "sign-customer", *bank.unsealed("manufacturer"), *words, says=(str(file),))
        refused(2, *approve_central(bank, file), "--out", bank.directory, says=(str(file),))
    assert "hunter2" not in line


def test_a_request_whose_signature_does_not_hold(bank):
    lines = (bank / "customer-request.pem").read_text().splitlines()
    lines[-2] = lines[-2][:4] + ("A" if lines[-2][4] != "A" else "B") + lines[-2][5:]
    file = bank / "some.pem"
    file.write_text("\n".join(lines) + "\n")
    words = ["--request", file, "--out", bank / "out.pem"]
    with unchanged(bank):
        refused(3, "manufacturer", "sign-customer", *bank.unsealed("manufacturer"), *words, says=(f"{file}: ",))
        refused(3, *approve_central(bank, file), "--out", bank.directory, says=(f"{file}: ",))


# What would be replaced --------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["card.passphrase", "card.store", "alice.pin", "new.store", "log.jsonl"])
@pytest.mark.parametrize("command", ["manufacturer init", "card init", "sign-customer", "approve", "personalize"])
def test_no_file_of_another_kind_is_replaced(bank, command, victim):
    """A slip of the keyboard costs no store, passphrase or log."""
    (bank / "log.jsonl").write_text("{}\n")
    out = bank / victim
    if command == "approve":
        (bank / "unit.pem").write_bytes((bank / "card.passphrase").read_bytes())
    words: dict[str, list[str | Path]] = {
        "manufacturer init": ["manufacturer", "init", *new(bank, "new"), "--name", "New", "--root", out],
        "card init": ["card", "init", *new(bank, "new"), "--name", "New", *bank.people(), "--request", out],
        "sign-customer": [
            *("manufacturer", "sign-customer", *bank.unsealed("manufacturer")),
            *("--request", bank / "customer-request.pem", "--out", out),
        ],
        "approve": ["card", "approve", *bank.unsealed("card"), *bank.people(), "--unit", "u", "--out", bank.directory],
        "personalize": [*bank.personalize("tcp:127.0.0.1:1", "--out", str(out))],
    }
    if victim == "new.store" and "init" not in command:
        out.write_bytes(bank.store("card").read_bytes())
    with unchanged(bank):
        refused(2, *words[command], says=("is in use", "got another kind of file"))


def test_a_log_replaces_nothing_but_a_log(bank):
    words = ["log", "export", *bank.unsealed("card"), "--out"]
    with unchanged(bank):
        refused(2, *words, bank / "card.passphrase", says=("card.passphrase is in use",))
    for _ in range(2):
        done(*words, bank / "log.jsonl")


def test_a_certificate_replaces_an_older_one(bank):
    bank.approved("--unit", "unit-2")
    assert certificate(bank / "unit.pem").subject.rfc4514_string() == "CN=unit-2"


def test_names_that_the_terminal_cannot_show(bank):
    """Output in another encoding is spelled out; nothing fails after it is done."""
    (bank / "m\u00f6bel").mkdir()
    request = bank / "m\u00f6bel" / "request.pem"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONIOENCODING", "ascii:strict")
        with running(
            "card", "init", *new(bank, "new"), "--name", "New", *bank.people(), "--request", request
        ) as process:
            ran = process.wait()
    assert (ran.code, "m\\xf6bel" in ran.out) == (0, True)
