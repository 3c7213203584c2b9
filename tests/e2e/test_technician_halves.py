"""The technician's program at a terminal, with a card whose signing token two people open together (L13)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command_processes import place, running
from commands import PINS, SERIAL, Estate, done, write_secret
from soft_token import SoftTokens
from terminal import Terminal, at_a_terminal

from insitu.shell.token_library import LIBRARY_VARIABLE


@pytest.fixture
def card(bank: Estate, soft_tokens: SoftTokens, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """In a sealed file, its signing key in a token, with its certificates; as an option."""
    monkeypatch.setenv(LIBRARY_VARIABLE, soft_tokens.library)
    soft_tokens.unlock("signing")
    soft_tokens.clear("signing")
    write_secret(bank / "token.pin", soft_tokens.pin)
    write_secret(bank / "halves.pass", "opens the file")
    store = [str(bank / "halves.insitu"), "--passphrase-file", str(bank / "halves.pass")]
    words = ["--name", "Halves Bank", "--signing", "pkcs11:token=signing", "--signing-pin-file", bank / "token.pin"]
    done("card", "init", "--store", *store, *words, *bank.people(), "--request", bank / "halves.request")
    maker, customer = bank.unsealed("manufacturer"), bank / "halves-customer.pem"
    done("manufacturer", "sign-customer", *maker, "--request", bank / "halves.request", "--out", customer)
    done("card", "install", "--store", *store, "--root", bank / "manufacturer.pem", "--customer", customer)
    words = ["--unit", "unit-9", "--central", bank / "central-request.pem", "--out", bank.directory]
    done("card", "approve", "--store", *store, *bank.people(), *words)
    yield ["--card", *store]
    soft_tokens.unlock("signing")


def personalize(bank: Estate, card: list[str], link: str, *more: str) -> list[str]:
    words = ["unit", "personalize", *card, "--link", link, "--serial", SERIAL]
    return [*words, "--central", str(bank / "central.pem"), *more]


def approve(terminal: Terminal, person: str) -> None:
    terminal.type(person, "Who approves? ")
    terminal.type(PINS[person], f"PIN of {person}: ")


def status(card: list[str]) -> dict[str, object]:
    return done("card", "status", "--store", *card[1:], "--json").json[0]


def test_both_type_their_halves_at_one_terminal(bank: Estate, card: list[str]) -> None:
    with running(*bank.run_module()) as module:
        with at_a_terminal(*personalize(bank, card, place(module))) as terminal:
            terminal.read("no job is open; alice and bob may approve")
            approve(terminal, "bob")
            approve(terminal, "alice")
            terminal.read("approved by bob and alice, nothing is missing")
            terminal.read("its key is here, and the card certifies it")
            terminal.read("it says: operating, epoch 0, certificate ")
            ran = terminal.wait()
        module.end()
    assert ran.code == 0, ran.out
    assert bank.status()["state"] == "operating"
    assert status(card)["jobs"] == []


def test_interrupted_between_both_halves(bank: Estate, card: list[str]) -> None:
    """One half was typed: it is nowhere, its approval is worth nothing, and the same command asks both again."""
    with running(*bank.run_module()) as module:
        words = personalize(bank, card, place(module))
        with at_a_terminal(*words) as terminal:
            approve(terminal, "alice")
            terminal.read("Who approves? (bob)")
            ran = terminal.interrupt()
        assert ran.code == 130
        assert (
            "nothing was signed, and approvals end with this program: the same command asks for both again" in ran.out
        )
        assert [job["approvals"] for job in status(card)["jobs"]] == [[]]
        with at_a_terminal(*words) as terminal:
            terminal.read("Who approves? (alice, bob)")
            terminal.interrupt()
        module.end()
