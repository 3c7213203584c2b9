"""A life whose card and module each are a token: personalized, paid, given a key, reset, personalized anew."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest
from command_processes import running
from commands import AUTHORIZE, SERIAL, Estate, certificate, done, establish, refused, write_secret
from soft_token import SoftTokens

TOKENS = {"card": "insitu", "module": "another"}


@dataclass
class InTokens(Estate):
    """Card and module are in tokens."""

    tokens: SoftTokens | None = None

    def unsealed(self, party: str, option: str = "store", prefix: str = "") -> list[str]:
        if party not in TOKENS or self.tokens is None:
            return super().unsealed(party, option, prefix)
        pin = self / "token.pin"
        where = f"module-path={self.tokens.library}&pin-source=file:{pin}"
        return [f"--{option}", f"pkcs11:token={TOKENS[party]}?{where}"]


@pytest.fixture
def estate(soft_tokens, tmp_path) -> InTokens:
    for label in TOKENS.values():
        soft_tokens.clear(label)
    write_secret(tmp_path / "token.pin", soft_tokens.pin)
    made = establish(tmp_path, "First", made=lambda directory: InTokens(directory, soft_tokens))
    assert isinstance(made, InTokens)
    return made


def verified(estate: Estate, name: str) -> None:
    words = ["openssl", "verify", "-x509_strict", "-CAfile", estate / "manufacturer.pem"]
    words += ["-untrusted", estate / "customer.pem", estate / name]
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def test_a_life_in_tokens(estate):
    central = [*estate.unsealed("central"), "--module", SERIAL]
    with running(*estate.serve()) as host:
        words = estate.run_module("--central", host.note("Ready")["at"], "--requests")
        with running(*words) as module:
            link = module.note("Ready")["at"]
            estate.approved("--module", SERIAL)
            done(*estate.personalize(link, "--out", str(estate / "first.pem")))
            verified(estate, "first.pem")
            module.note("StateEntered", state="ONLINE")

            module.ask(authorize=AUTHORIZE)
            assert module.note("PayOutInstructed")["approved"]
            module.ask(settle={"number": 1, "paid": 5000})
            module.note("PayloadReceived", number=2)
            until = ["--until", "2099-01-01T00:00:00Z", "--uses", "3"]
            done("central", "load-key", *central, "--usage", "mac", *until)
            module.note("KeyTaken")

            host.ask(reset=SERIAL)
            assert module.note("KeysErased")["epoch"] == 1
            host.note("ModuleReset")
            estate.approved("--module", SERIAL)
            done(*estate.personalize(link, "--out", str(estate / "second.pem")))
            verified(estate, "second.pem")
            host.note("ModuleContacted", epoch=1)
    first, second = (certificate(estate / name).public_key() for name in ("first.pem", "second.pem"))
    assert first != second
    assert estate.status()["epoch"] == 1
    assert done("module", "reset", *estate.unsealed("module"), "--yes").out.endswith("epoch 2 begins\n")
    assert estate.tokens is not None
    assert estate.tokens.labels("another") == {"insitu module identity", "insitu module: seal"}


def test_tickets_of_a_card_in_a_token(estate):
    """The main key is made in the token and derives there; the module's proof is checked with it."""
    write_secret(estate / "tickets.passphrase", "a passphrase that went another way")
    order = [*estate.unsealed("card"), "--count", "1", *estate.people(), *estate.unsealed("tickets", "out", "out-")]
    done("card", "tickets", *order)
    maker = estate.unsealed("manufacturer")
    done("manufacturer", "take-tickets", *maker, *estate.unsealed("tickets", "tickets", "tickets-"))
    write_secret(estate / "ticketed.passphrase", "another one")
    own = estate.unsealed("ticketed", "module", "module-")
    deliver = [*maker, *own, "--serial", "SM-90", "--ticket", "First Bank"]
    done("manufacturer", "initialize-module", *deliver)
    words = ["module", "run", *estate.unsealed("ticketed"), "--link", "tcp:127.0.0.1:0", "--trust", "ticket", "--json"]
    with running(*words) as module:
        link = module.note("Ready")["at"]
        estate.approved("--module", "SM-90")
        done(*estate.personalize(link, "--trust", "ticket", "--out", str(estate / "ticketed.pem"), serial="SM-90"))
    verified(estate, "ticketed.pem")
    assert estate.tokens is not None
    assert "insitu card tickets" in estate.tokens.labels("insitu")


def test_a_secret_for_exchanges_is_not_for_a_token(estate):
    secret = write_secret(estate / "agreed.secret", "a secret")
    words = ["module", "secret", *estate.unsealed("module"), "--secret-file", secret]
    refused(2, *words, says=("a token does no exchange by password",))
    assert estate.status()["state"] == "delivered"


def test_the_operators_token(bank, soft_tokens, tmp_path):
    """A TAN that is a key goes into the token and does its work there; one that could be keyed in is not for it."""
    soft_tokens.clear("another")
    opening = ["--passphrase-file", str(write_secret(bank / "book.pass", "opens the book 71"))]
    book = ["--store", str(bank / "book"), *opening]
    pin = write_secret(tmp_path / "token.pin", soft_tokens.pin)
    token = ["--token", f"pkcs11:token=another?module-path={soft_tokens.library}&pin-source=file:{pin}"]
    done("tan", "init", *book)
    done("tan", "issue", *book, "--serial", SERIAL)
    refused(2, "tan", "seal", *book, "--serial", SERIAL, *token, says=("--form key",))
    assert done("tan", "status", *book).out.endswith("not given out\n")
    done("tan", "revoke", *book, "--serial", SERIAL)
    done("tan", "issue", *book, "--serial", SERIAL, "--form", "key")
    done("tan", "seal", *book, "--serial", SERIAL, *token)
    assert soft_tokens.labels("another") == {f"insitu token {SERIAL}", "insitu token: seal"}
    bank.approved("--module", SERIAL)
    with running(*bank.run_module("--trust", "tan", *token, "--once")) as module:
        unit = ["--book", str(bank / "book"), "--book-passphrase-file", opening[1]]
        done(*bank.personalize(module.note("Ready")["at"], "--trust", "tan", *unit))
        assert module.wait().code == 0
    assert bank.status()["state"] == "operating"
