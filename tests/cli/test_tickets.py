"""Tickets and shipped keys by the commands, within this process: what leaves, in which files, and what is refused."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from commands import SERIAL, Estate, done, refused, unchanged, write_secret

from insitu.protocol.keys.codes import read_code, write_code


@pytest.fixture
def sealed(bank: Estate) -> Estate:
    write_secret(bank / "tickets.passphrase", "a passphrase that went another way")
    return bank


def order(bank: Estate, *people: str, count: int = 2) -> list[str]:
    words = [*bank.unsealed("card"), "--count", str(count), *bank.people(*people)]
    return ["card", "tickets", *words, *bank.unsealed("tickets", "out", "out-")]


def take(bank: Estate) -> list[str]:
    return [
        "manufacturer",
        "take-tickets",
        *bank.unsealed("manufacturer"),
        *bank.unsealed("tickets", "tickets", "tickets-"),
    ]


def deliver(bank: Estate, serial: str, *options: str | Path) -> list[str]:
    words = [*bank.unsealed("manufacturer"), *bank.unsealed(serial, "module", "module-"), "--serial", serial]
    write_secret(bank / f"{serial}.passphrase", "another one")
    return ["manufacturer", "initialize-module", *words, *map(str, options)]


def code_on(sheet: Path) -> str:
    (code,) = re.findall(r'<p class="code">(.*?)</p>', sheet.read_text("utf-8"))
    return code


def test_two_people_one_after_the_other(sealed):
    assert "approved by bob, 1 approval missing" in done(*order(sealed, "bob")).out
    assert not sealed.store("tickets").exists()
    assert "approved by bob and alice, numbers 1 to 2" in done(*order(sealed, "alice")).out
    assert stat.S_IMODE(sealed.store("tickets").stat().st_mode) == 0o600
    with unchanged(sealed):
        refused(2, *order(sealed), says=("exists", "expected a new file"))
    assert "2 tickets of First Bank taken in" in done(*take(sealed)).out
    assert not sealed.store("tickets").exists()
    assert "numbers 3 to 3" in done(*order(sealed, count=1)).out


def test_a_ticket_a_module(sealed):
    done(*order(sealed, count=1))
    refused(5, *deliver(sealed, "SM-90", "--ticket", "First Bank"), says=("no ticket of First Bank",))
    assert not sealed.store("SM-90").exists()
    done(*take(sealed))
    refused(2, *deliver(sealed, "SM-91", "--ticket", "First Bank", "--no-identity"), says=("vouches for an identity",))
    done(*deliver(sealed, "SM-92", "--ticket", "First Bank"))
    refused(5, *deliver(sealed, "SM-93", "--ticket", "First Bank"), says=("no ticket of First Bank",))


def test_an_order_is_for_whoever_has_its_passphrase(sealed, stranger):
    done(*order(sealed))
    (sealed / "tickets.passphrase").write_text("a guess\n")
    refused(2, *take(sealed))
    assert sealed.store("tickets").exists()


def test_a_module_without_what_the_option_needs_says_so_before_it_opens_its_link(bank):
    refused(2, *bank.run_module("--trust", "ticket"), says=("this module has no ticket",))
    refused(2, *bank.run_module("--trust", "shipped-key"), says=("expected a module with a shipped key",))


def test_a_sheet_is_for_its_owner_and_replaces_nothing(bank):
    sheet = bank / "sheet.html"
    ran = done(*deliver(bank, "SM-90", "--shipped-key-sheet", sheet))
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    key = read_code(code_on(sheet), 16)
    assert code_on(sheet) not in ran.out + ran.err
    assert write_code(key) == code_on(sheet)
    with unchanged(bank, "SM-91.passphrase"):
        refused(2, *deliver(bank, "SM-91", "--shipped-key-sheet", sheet), says=("exists",))
    assert not bank.store("SM-91").exists()


@pytest.mark.parametrize(
    ("typed", "says"),
    [("0000 0000", "length"), ("", "passphrase from"), ("!" * 27, "symbol 1"), ("1" * 27, "check symbol")],
)
def test_what_is_no_key_out_of_the_documents(bank, typed, says):
    bank.approved("--module", SERIAL)
    file = write_secret(bank / "typed", typed)
    words = bank.personalize("tcp:127.0.0.1:1", "--trust", "shipped-key", "--shipped-key-file", str(file))
    with unchanged(bank):
        error = refused(2, *words, says=(says,))
    assert not typed or typed not in error


def test_nobody_to_ask_and_a_file_for_another_option(bank):
    bank.approved("--module", SERIAL)
    file = write_secret(bank / "typed", write_code(bytes(range(16))))
    refused(2, *bank.personalize("tcp:127.0.0.1:1", "--shipped-key-file", str(file)), says=("--trust shipped-key",))
    file.chmod(0o644)
    words = bank.personalize("tcp:127.0.0.1:1", "--trust", "shipped-key", "--shipped-key-file", str(file))
    refused(2, *words, says=("mode of file",))
