"""Vaults in a token, by the example of SoftHSM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pkcs11 import Attribute, Mechanism, ObjectClass, exceptions
from pkcs11.constants import TokenFlag

from insitu.conformance import DurableVaultConformance, SymmetricKeyConformance, works
from insitu.protocol.engine import KeyKind, SecretAlgorithm, SecretUsage, UsageError
from insitu.protocol.keys import token_access, token_secrets
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.port import KeyStoreError
from insitu.protocol.keys.token import MechanismMissing, PinLocked, TokenKeyStore
from insitu.protocol.keys.token_vault import TokenVault
from insitu.protocol.messages.codec import encode
from insitu.protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from insitu.protocol.stores.sealed import StoreDamaged, StoreKind
from insitu.protocol.stores.secret import Secret

URI = read_uri("pkcs11:token=insitu")


def opened(soft_tokens, kind=StoreKind.CARD) -> TokenVault:
    return TokenVault.open(soft_tokens.library, URI, kind, Secret(soft_tokens.pin.encode()))


def created(soft_tokens, kind=StoreKind.CARD) -> TokenVault:
    return TokenVault.create(soft_tokens.library, URI, kind, Secret(soft_tokens.pin.encode()))


@pytest.fixture
def vault(soft_tokens):
    soft_tokens.clear()
    with created(soft_tokens) as vault:
        yield vault


@pytest.fixture
def reopen(soft_tokens):
    again: list[TokenVault] = []

    def reopen() -> TokenVault:
        for each in again:
            each.close()
        again.append(opened(soft_tokens))
        return again[-1]

    yield reopen
    for each in again:
        each.close()


class TestTokenVault(DurableVaultConformance):
    @pytest.fixture
    def vault(self, vault):
        return vault

    @pytest.fixture
    def reopen(self, reopen):
        return reopen


def test_two_owners_do_not_write_over_each_other(soft_tokens, vault, monkeypatch, tmp_path):
    """Who looks for the lock elsewhere owns the token as well; what is there by then is not overwritten."""
    vault.commit(encode({1: "two approvals"}), frozenset())
    monkeypatch.setenv(token_access.RUNTIME_VARIABLE, str(tmp_path))
    with opened(soft_tokens) as other:
        other.commit(encode({1: "used up"}), frozenset())
    with pytest.raises(StoreUncertain, match="another record"):
        vault.commit(encode({1: "two approvals, and more"}), frozenset())
    with opened(soft_tokens) as again:
        assert again.record == encode({1: "used up"})


class TestSymmetricKeys(SymmetricKeyConformance):
    @pytest.fixture
    def store(self, vault):
        return vault._token


# What may go wrong --------------------------------------------------------------------------------------------


class Failing:
    """A session whose calls fail from a certain one on; another in whose place it stands does the rest."""

    def __init__(self, real: Any, call: str, error: Exception, after: int = 0) -> None:
        self._real, self._call, self._error, self._left = real, call, error, after

    def __getattr__(self, name: str) -> Any:
        if name == self._call:
            self._left -= 1
            if self._left < 0:
                raise self._error
        return getattr(self._real, name)


@contextmanager
def failing(vault: TokenVault, call: str, error: Exception, after: int = 0) -> Iterator[None]:
    login = vault._token._access._login
    real = login.session
    login.session = cast("Any", fails := Failing(real, call, error, after))
    yield
    if login.session is fails:  # else there was another login meanwhile
        login.session = real


LONG = encode({1: [bytes([each]) * 200 for each in range(3)]})


@pytest.mark.parametrize("after", range(4))
def test_a_token_that_is_full_keeps_the_old_state(vault, reopen, after):
    """Whichever object it does not take."""
    handle = vault.generate("kept", KeyKind.P256, b"")
    vault.commit(b"record", frozenset({"kept"}))
    with failing(vault, "create_object", exceptions.DeviceMemory(), after), pytest.raises(StoreFailed):
        vault.commit(LONG, frozenset({"kept"}))
    assert (vault.record, vault.labels()) == (b"record", {"kept"})
    assert works(vault, handle)
    vault.commit(LONG, frozenset({"kept"}))
    vault.close()
    assert reopen().record == LONG


@pytest.mark.parametrize("gone", [exceptions.DeviceRemoved, exceptions.SessionClosed])
def test_a_token_that_goes_while_the_root_is_written(vault, reopen, gone):
    """Nobody knows whether it was: only opening it again tells. Here it was not, and it can be told by itself."""
    vault.commit(b"record", frozenset())
    with failing(vault, "create_object", gone()), pytest.raises((StoreFailed, StoreUncertain)):
        vault.commit(b"other", frozenset())
    vault.close()
    assert reopen().record == b"record"


def test_after_a_lost_session_work_goes_on(vault):
    handle = vault.generate("kept", KeyKind.P256, b"")
    vault.commit(b"record", frozenset({"kept"}))
    vault._token._access._login.end()
    assert works(vault, handle)
    vault.commit(b"other", frozenset({"kept"}))
    assert vault.record == b"other"


def test_a_key_that_the_token_does_not_destroy_goes_at_the_next_opening(vault, reopen, soft_tokens):
    """S3: the reset is committed and says what is left to do, which is done as soon as that is possible."""
    vault.generate("operating", KeyKind.P256, b"")
    vault.commit(b"operating", frozenset({"operating"}))

    def refuse(_: str) -> None:
        raise KeyStoreError("the token failed", who="token")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault._token, "destroy", refuse)
        with pytest.raises(ErasureFailed, match="expected operating"):
            vault.commit(b"reset", frozenset())
    assert vault.record == b"reset"
    vault.close()
    again = reopen()
    assert (again.record, again.labels()) == (b"reset", frozenset())
    assert soft_tokens.count() == 2  # root and seal


def test_a_locked_pin(vault, reopen, monkeypatch):
    vault.close()

    def locked(*_: object, **__: object) -> None:
        raise exceptions.PinLocked

    monkeypatch.setattr(token_access, "find_token", lambda *_: SimpleNamespace(**said(), open=locked))
    with pytest.raises(PinLocked):
        reopen()


def said() -> dict[str, Any]:
    """What a token says of itself."""
    about = {"serial": b"1", "label": "insitu", "manufacturer_id": "maker", "model": "model"}
    return {**about, "flags": TokenFlag.TOKEN_INITIALIZED}


def test_a_token_without_hmac_is_refused(soft_tokens, monkeypatch):
    soft_tokens.clear()
    forms = {**token_secrets._FORMS}
    form = forms[SecretUsage.PROOF, SecretAlgorithm.HMAC]
    forms[SecretUsage.PROOF, SecretAlgorithm.HMAC] = replace(form, mechanism=Mechanism.SEED_ECB)
    monkeypatch.setattr(token_secrets, "_FORMS", forms)
    with pytest.raises(MechanismMissing, match="expected SEED_ECB"):
        created(soft_tokens)
    assert soft_tokens.labels("insitu") == set()


# What somebody with the PIN may have done ---------------------------------------------------------------------


def objects(vault: TokenVault, label: str) -> list[Any]:
    with vault._contents.access.calling() as session:
        return [
            each for each in session.get_objects({Attribute.CLASS: ObjectClass.DATA}) if label in each[Attribute.LABEL]
        ]


def destroyed(vault: TokenVault, kind: ObjectClass, label: str) -> None:
    with vault._contents.access.calling() as session:
        for each in list(session.get_objects({Attribute.CLASS: kind})):
            if label in each[Attribute.LABEL]:
                each.destroy()


@pytest.mark.parametrize(
    ("kind", "label", "expected"),
    [
        (ObjectClass.DATA, "part", "all parts of the record"),
        (ObjectClass.PRIVATE_KEY, "kept", "the key pair 'kept'"),
        (ObjectClass.SECRET_KEY, "main", "the key 'main'"),
        (ObjectClass.SECRET_KEY, "seal", "one key that vouches"),
    ],
)
def test_whatever_is_missing_is_said(vault, reopen, kind, label, expected):
    vault.generate("kept", KeyKind.P256, b"")
    vault.storage.make_main_key("main")
    vault.commit(LONG, frozenset({"kept", "main"}))
    destroyed(vault, kind, label)
    vault.close()
    with pytest.raises(StoreDamaged, match=expected):
        reopen()


def test_a_root_that_was_altered_counts_for_nothing(vault, reopen):
    vault.commit(b"record", frozenset())
    (root,) = objects(vault, "root")
    value = root[Attribute.VALUE]
    root.destroy()
    vault._contents.write(vault._contents.root_label, value.replace(b"record", b"altere"))
    vault.close()
    with pytest.raises(StoreDamaged, match="that the token's key vouches for"):
        reopen()


def test_an_older_root_beside_the_newest_is_destroyed(vault, reopen):
    vault.commit(b"record", frozenset())
    (root,) = objects(vault, "root")
    old = root[Attribute.VALUE]
    vault.commit(b"other", frozenset())
    vault._contents.write(vault._contents.root_label, old)
    vault.close()
    again = reopen()
    assert again.record == b"other"
    assert len(objects(again, "root")) == 1


def test_an_object_that_was_being_made_when_power_went_is_destroyed(vault, reopen, soft_tokens):
    """It has a class and nothing else yet, neither our mark nor that it is kept."""
    vault.commit(b"record", frozenset())
    before = soft_tokens.count()
    with vault._contents.access.calling() as session:
        session.create_object({Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: False})
    assert soft_tokens.count() == before + 1
    vault.detach()  # its login, and with it the object, stays
    reopen()
    assert soft_tokens.count() == before


@pytest.mark.parametrize("kind", [StoreKind.UNIT, StoreKind.TICKETS, StoreKind.CENTRAL])
def test_whose_keys_leave_him_has_no_vault_in_a_token(soft_tokens, kind):
    with pytest.raises(UsageError, match=f"no store for a {kind.value} .expected a sealed file"):
        created(soft_tokens, kind)


def test_what_others_keep_in_the_token_is_left_alone(vault, reopen):
    with vault._contents.access.calling() as session:
        session.create_object(
            {Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: True, Attribute.LABEL: "root of others"}
        )
    TokenKeyStore(vault._contents.access, "theirs ").generate("key", KeyKind.P256, b"")
    vault.commit(b"record", frozenset())
    vault.close()
    again = reopen()
    assert again.labels() == frozenset()
    assert objects(again, "root of others")
    assert TokenKeyStore(again._contents.access, "theirs ").labels() == {"key"}
