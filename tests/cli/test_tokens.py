"""Tokens in place of sealed files, by the commands within this process, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commands import Estate, done, refused, write_secret
from soft_token import PLACES

from insitu.protocol.engine import UsageError
from insitu.protocol.keys.certificates import read_fingerprint
from insitu.protocol.stores.files import StoreLocked
from insitu.protocol.stores.sealed import StoreKind
from insitu.shell import pem
from insitu.shell.places import opener, read_place
from insitu.shell.token_library import LIBRARY_VARIABLE, library_of


@pytest.fixture
def token(soft_tokens, tmp_path, monkeypatch) -> str:
    """The URI of an empty token, with everything in it."""
    soft_tokens.clear()
    pin = write_secret(tmp_path / "token.pin", soft_tokens.pin)
    monkeypatch.delenv(LIBRARY_VARIABLE, raising=False)
    return f"pkcs11:token=insitu?module-path={soft_tokens.library}&pin-source=file:{pin}"


def furnish(bank: Estate, token: str) -> None:
    """A card in a token, in use."""
    words = ["--name", "First Bank", *bank.people(), "--request", bank / "token-request.pem"]
    done("card", "init", "--store", token, *words)
    maker, request, customer = bank.unsealed("manufacturer"), bank / "token-request.pem", bank / "token-customer.pem"
    done("manufacturer", "sign-customer", *maker, "--request", request, "--out", customer)
    done("card", "install", "--store", token, "--root", bank / "manufacturer.pem", "--customer", customer)


def test_a_card_in_a_token_approves_and_certifies(bank, token, tmp_path):
    furnish(bank, token)
    done("card", "approve", "--store", token, *bank.people(), "--unit", "unit-9", "--out", tmp_path)
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", bank / "manufacturer.pem"]
    verify += ["-untrusted", bank / "token-customer.pem", tmp_path / "unit.pem"]
    subprocess.run(verify, check=True, capture_output=True, timeout=60)
    customer = pem.read_certificate(bank / "token-customer.pem")
    status = done("card", "status", "--store", token, "--json").json[0]
    assert status["certificate"].replace(" ", "") == read_fingerprint(customer).hex().upper()
    assert status["log_entries"] == 2
    assert done("log", "verify", "--store", token, "--json").json[0]["entries"] == 2


def test_a_token_belongs_to_one_party(bank, token, tmp_path):
    furnish(bank, token)
    refused(2, "module", "status", "--store", token, says=("token of another party", "expected module, got card"))
    maker = ["manufacturer", "init", "--store", token, "--name", "Maker", "--root", tmp_path / "root.pem"]
    refused(2, *maker, says=("there is a store in the token already",))
    assert done("card", "status", "--store", token, "--json").json[0]["name"] == "First Bank"


def test_a_card_that_could_not_be_made_leaves_nothing(bank, token, tmp_path):
    words = ["--name", "First Bank", *bank.people(), "--request", tmp_path / "nowhere" / "request.pem"]
    refused(4, "card", "init", "--store", token, *words)
    refused(2, "card", "status", "--store", token, says=("there is no store in the token",))
    furnish(bank, token)


def test_the_pin_comes_from_one_source(soft_tokens, token, tmp_path):
    bare = token.partition("&pin-source")[0]
    pin = tmp_path / "token.pin"
    says = ("there is no store in the token",)
    refused(2, "card", "status", "--store", bare, "--passphrase-file", pin, says=says)
    refused(2, "card", "status", "--store", bare, "--passphrase-hook", f"cat {pin}", says=says)
    refused(2, "card", "status", "--store", token, "--passphrase-file", pin, says=("two sources of a PIN",))
    refused(2, "card", "status", "--store", bare, says=("no terminal to ask at",))
    refused(2, "card", "status", "--store", f"{bare}&pin-value={soft_tokens.pin}", says=("does not belong",))
    wrong = write_secret(tmp_path / "wrong.pin", "not the PIN")
    refused(2, "card", "status", "--store", bare, "--passphrase-file", wrong, says=("PIN refused",))
    pin.chmod(0o644)
    refused(2, "card", "status", "--store", token, says=("expected 0600 or 0400, got 0644",))


@pytest.mark.parametrize("attribute", ["object=signing", "id=%01", "type=private"])
def test_a_store_is_a_whole_token(token, attribute):
    name = attribute.partition("=")[0]
    uri = token.replace("pkcs11:", f"pkcs11:{attribute};")
    refused(2, "card", "status", "--store", uri, says=(f"PKCS#11 URI: {name}", "expected a whole token"))


def test_no_file_takes_a_tokens_place(token, tmp_path, monkeypatch):
    """Neither where the token is missing, nor its library; and none of that name is made."""
    monkeypatch.chdir(tmp_path)
    pin = ["--passphrase-file", tmp_path / "token.pin"]
    path = token.partition("?")[2].partition("&")[0]
    there = "expected 1, got 0; there are: 'another', 'insitu', 'signing'"
    refused(4, "card", "status", "--store", f"pkcs11:token=other?{path}", *pin, says=(there,))
    refused(2, "card", "status", "--store", "pkcs11:token=insitu", *pin, says=("which PKCS#11 library?",))
    nowhere = "pkcs11:token=insitu?module-path=/nowhere.so"
    refused(4, "card", "status", "--store", nowhere, *pin, says=("PKCS#11 library (expected the path", "/nowhere.so"))
    assert [path.name for path in tmp_path.iterdir()] == ["token.pin"]


@pytest.mark.parametrize(
    "words",
    [
        ["tan", "init", "--store"],
        ["manufacturer", "take-tickets", "--tickets"],
        ["card", "tickets", "--out"],
        ["central", "status", "--store"],
    ],
    ids=lambda words: " ".join(words),
)
def test_where_a_token_does_not_do(words):
    refused(2, *words, "pkcs11:token=insitu", says=("expected a sealed file, got a PKCS#11 URI",))


def test_where_the_library_is(tmp_path, monkeypatch):
    (tmp_path / "libsome.so").touch()
    assert library_of(read_place(f"pkcs11:?module-name=some&module-path={tmp_path}")) == f"{tmp_path}/libsome.so"
    monkeypatch.setenv(LIBRARY_VARIABLE, "/usr/lib/other.so")
    assert library_of(read_place("pkcs11:")) == "/usr/lib/other.so"
    assert library_of(read_place("pkcs11:?module-path=/usr/lib/some.so")) == "/usr/lib/some.so"
    monkeypatch.setenv(LIBRARY_VARIABLE, Path(PLACES[0]).name)
    assert library_of(read_place("pkcs11:")) in PLACES
    monkeypatch.setenv(LIBRARY_VARIABLE, "no-such-name")
    with pytest.raises(UsageError, match="no PKCS#11 library no-such-name"):
        library_of(read_place("pkcs11:"))


def test_one_owner_of_a_token(bank, token, tmp_path):
    """Who finds it taken is told so as with a file, and what was seen is old as soon as somebody had it."""
    furnish(bank, token)
    reopen = opener(read_place(token), StoreKind.CARD)
    with reopen() as vault:
        seen = reopen.stamp()
        assert seen
        with pytest.raises(StoreLocked, match="the token is in use"):
            reopen()
        vault.detach()
        assert reopen.stamp() == seen
        with reopen() as other:
            assert other.labels() == vault.labels()
        assert reopen.stamp() != seen
