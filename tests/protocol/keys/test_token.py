"""Key memory in a token, by the example of SoftHSM."""

from __future__ import annotations

import importlib
import os
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions
from pki import NOW, YEAR, OpenSsl, Pki

from insitu.conformance import KeyStoreConformance
from insitu.protocol.engine import (
    EnvironmentFault,
    KeyHandle,
    KeyKind,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    UsageError,
)
from insitu.protocol.keys import token as token_module
from insitu.protocol.keys import token_access
from insitu.protocol.keys.certificates import Role, draft_certificate, verify_issued
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.port import KeyMismatch, KeyStoreError
from insitu.protocol.keys.public import signature_holds
from insitu.protocol.keys.token import (
    KeyExposed,
    MechanismMissing,
    PinLocked,
    PinWrong,
    SessionLost,
    TokenBusy,
    TokenKeyStore,
    TokenMissing,
)
from insitu.protocol.stores.secret import Secret

URI = "pkcs11:token=insitu"


def opened(soft_tokens, uri=URI, pin=None) -> TokenKeyStore:
    return TokenKeyStore.open(soft_tokens.library, read_uri(uri), Secret((pin or soft_tokens.pin).encode()))


@pytest.fixture
def store(soft_tokens):
    with opened(soft_tokens) as store:
        for each in list(store._access._login.session.get_objects()):
            each.destroy()
        yield store


@contextmanager
def failing(store, call, error):
    """The token answers one call with an error."""

    class Session:
        def __getattr__(self, name):
            if name == call:
                raise error
            return getattr(real, name)

    real, store._access._login.session = store._access._login.session, Session()
    yield
    if store._access._login.session is not None:
        store._access._login.session = real


class TestToken(KeyStoreConformance):
    kinds = frozenset({KeyKind.P256, KeyKind.P384, KeyKind.ED25519})

    @pytest.fixture
    def store(self, store):
        return store


def test_pkcs11_tool_sees_keys_that_never_leave(store, soft_tokens, monkeypatch):
    for kind in TestToken.kinds:
        store.generate(kind.value, kind, b"salt")
    monkeypatch.setenv("USER_PIN", soft_tokens.pin)
    tool = (
        "pkcs11-tool",
        "--module",
        soft_tokens.library,
        "--token-label",
        "insitu",
        "--login",
        "--pin",
        "env:USER_PIN",
    )
    listed = soft_tokens.run(*tool, "--list-objects")
    private = re.findall(r"Private Key Object.*?Access: +([^\n]*)", listed, re.DOTALL)
    assert private == ["sensitive, always sensitive, never extractable, local"] * 3


def test_what_the_token_holds_cannot_be_read(store):
    store.generate("label", KeyKind.P256, b"")
    (private,) = store._access._login.session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
    with pytest.raises(exceptions.AttributeSensitive):
        private[Attribute.VALUE]
    with pytest.raises(exceptions.PKCS11Error):
        private[Attribute.EXTRACTABLE] = True
    with pytest.raises(exceptions.PKCS11Error):
        private[Attribute.SENSITIVE] = False


def test_certificates_signed_by_the_token_hold_for_openssl(store, tmp_path):
    """A customer whose key is in the token certifies a unit; both certificates are checked by openssl."""
    pki = Pki()
    times = {"not_before": NOW - YEAR, "not_after": NOW + YEAR}
    handle = store.generate("customer", KeyKind.P256, b"salt")
    draft = draft_certificate(
        Role.CUSTOMER, "Example Bank", handle.public, pki.root.certificate, random=bytes(range(16)), **times
    )
    customer = verify_issued(
        draft.assemble(pki.root.sign(draft.to_be_signed)), pki.root.certificate, Role.CUSTOMER, now=None
    )
    unit = store.generate("unit", KeyKind.P256, b"salt")
    draft = draft_certificate(Role.UNIT, "SU-1", unit.public, customer, random=bytes(range(1, 17)), **times)
    certified = draft.assemble(store.sign(handle, draft.to_be_signed))
    assert OpenSsl(tmp_path).verify(pki.root.der, certified, customer.der) == "OK"


def test_pairs_outlast_the_store(store, soft_tokens):
    handle = store.generate("label", KeyKind.P256, b"salt")
    store.close()
    store.close()
    with pytest.raises(KeyStoreError, match="closed"):
        store.sign(handle, b"m")
    with opened(soft_tokens) as again:
        assert again.find("label") == handle
        assert signature_holds(handle.public, b"m", again.sign(handle, b"m"))


def test_a_token_is_never_used_where_it_must_not_block(store):
    assert not store.answers_at_once


def test_many_threads_get_good_signatures(store):
    handle = store.generate("label", KeyKind.P256, b"")
    messages = [bytes([number]) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(lambda message: store.sign(handle, message), messages))
    assert all(map(signature_holds, [handle.public] * 40, messages, signatures))


# Which token


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:token=nowhere",
        "pkcs11:model=SoftHSM%20v2;serial=",
        "pkcs11:model=SoftHSM%20v2",
        "pkcs11:library-version=1",
    ],
)
def test_none_or_several_tokens(soft_tokens, uri):
    with pytest.raises(TokenMissing, match="expected 1"):
        opened(soft_tokens, uri)


def test_every_attribute_chooses(store, soft_tokens):
    """What the token says of itself, put into a URI, chooses it."""
    token = store._access._login.session.token
    said = token_access.description(pkcs11.lib(soft_tokens.library), token)
    uri = read_uri("pkcs11:" + ";".join(f"{name}={value.replace(' ', '%20')}" for name, value in said.items()))
    assert uri.selects == said
    assert token_access.find_token(soft_tokens.library, uri).serial == token.serial


def test_one_owner(store, soft_tokens):
    with pytest.raises(TokenBusy):
        opened(soft_tokens)
    with opened(soft_tokens, "pkcs11:token=another"):
        pass
    assert store.labels() == frozenset()
    store.close()
    opened(soft_tokens).close()


def test_no_library():
    with pytest.raises(KeyStoreError, match="PKCS#11 library"):
        TokenKeyStore.open("/nowhere.so", read_uri(URI), Secret(b"x"))


# PINs


def test_a_wrong_pin(soft_tokens):
    with pytest.raises(PinWrong) as caught:
        opened(soft_tokens, pin="wrong pin")
    assert "wrong pin" not in str(caught.value)
    opened(soft_tokens).close()


def test_a_pin_that_is_no_text(soft_tokens):
    with pytest.raises(PinWrong, match="UTF-8") as caught:
        TokenKeyStore.open(soft_tokens.library, read_uri(URI), Secret(b"\xff\xfe"))
    assert caught.value.__suppress_context__
    opened(soft_tokens).close()


def test_a_refused_pin_is_not_tried_again(store, soft_tokens):
    right, store._access._login.pin = store._access._login.pin, Secret(b"wrong pin")
    store._access._login.end()
    with pytest.raises(PinWrong):
        store.labels()
    store._access._login.pin = right
    with pytest.raises(PinWrong):
        store.labels()


def test_nothing_secret_shows(store, soft_tokens):
    inside = store._access._login
    assert soft_tokens.pin not in f"{store!r} {vars(store)} {vars(store._access)} {vars(inside)}"


# What a token answers


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (exceptions.PinIncorrect, PinWrong),
        (exceptions.PinLocked, PinLocked),
        (exceptions.PinExpired, PinLocked),
        (exceptions.DeviceRemoved, TokenMissing),
        (exceptions.TokenNotPresent, TokenMissing),
        (exceptions.SessionHandleInvalid, SessionLost),
        (exceptions.UserNotLoggedIn, SessionLost),
        (exceptions.UserAlreadyLoggedIn, TokenBusy),
        (exceptions.MechanismInvalid, MechanismMissing),
        (exceptions.DeviceError, KeyStoreError),
    ],
)
def test_answers_become_errors(store, theirs, ours):
    with failing(store, "get_objects", theirs()), pytest.raises(ours, match=theirs.__name__) as caught:
        store.labels()
    assert type(caught.value) is ours


@pytest.mark.parametrize("gone", [exceptions.DeviceRemoved, exceptions.SessionClosed])
def test_a_token_that_comes_back_is_used_again(store, gone):
    handle = store.generate("label", KeyKind.P256, b"")
    with failing(store, "get_objects", gone()), pytest.raises(KeyStoreError):
        store.sign(handle, b"m")
    store.find("label")
    assert signature_holds(handle.public, b"m", store.sign(handle, b"m"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pkcs11 ends a search that is lost too
def test_a_session_that_is_really_lost(store):
    handle = store.generate("label", KeyKind.P256, b"")
    store._access._login.session.close()
    with pytest.raises(SessionLost):
        store.sign(handle, b"m")
    assert signature_holds(handle.public, b"m", store.sign(handle, b"m"))


def test_a_missing_mechanism(store, monkeypatch):
    needed = {**token_module._NEEDED, KeyKind.P256: (Mechanism.EC_KEY_PAIR_GEN, Mechanism.SEED_ECB)}
    monkeypatch.setattr(token_module, "_NEEDED", needed)
    with pytest.raises(MechanismMissing, match="expected SEED_ECB, got P-256"):
        store.generate("label", KeyKind.P256, b"")
    assert store.labels() == frozenset()


def test_a_token_that_takes_no_salt_makes_no_pair_with_one(store):
    """L3 is not given up silently: the salt must have its influence."""
    with failing(store, "seed_random", exceptions.RandomSeedNotSupported()):
        with pytest.raises(MechanismMissing):
            store.generate("label", KeyKind.P256, b"salt")
        assert store.labels() == frozenset()
        store.generate("label", KeyKind.P256, b"")


# Keys that are not as they must be


@pytest.mark.parametrize("asked", [{Attribute.EXTRACTABLE: True}, {Attribute.SENSITIVE: False}])
def test_a_pair_that_could_leave_is_destroyed_at_once(store, monkeypatch, asked):
    monkeypatch.setattr(token_module, "SECRET_MUST_BE", {**token_module.SECRET_MUST_BE, **asked})
    with pytest.raises(KeyExposed, match="not bound to the token"):
        store.generate("label", KeyKind.P256, b"")
    assert list(store._access._login.session.get_objects()) == []


def test_a_pair_that_could_leave_is_not_used(store):
    parameters = store._access._login.session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}, local=True
    )
    parameters.generate_keypair(label="label", id=b"1", store=True, private_template={Attribute.EXTRACTABLE: True})
    other = store.generate("other", KeyKind.P256, b"")
    with pytest.raises(KeyExposed, match="expected EXTRACTABLE False, got True"):
        store.find("label")
    with pytest.raises(KeyExposed):
        store.sign(KeyHandle("label", other.public), b"m")
    assert store.labels() == {"label", "other"}
    store.destroy("label")


def test_a_public_key_that_was_swapped_is_noticed(store):
    """M1: whoever changes the public object in the token is found by the handle, and by the first signature."""
    handle, other = (store.generate(label, KeyKind.P256, b"") for label in ("label", "other"))
    session = store._access._login.session
    mine, theirs = (
        next(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: label}))
        for label in ("label", "other")
    )
    swapped = {name: theirs[name] for name in (Attribute.KEY_TYPE, Attribute.EC_PARAMS, Attribute.EC_POINT)}
    identified = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: "label", Attribute.ID: mine[Attribute.ID]}
    mine.destroy()
    store._access._login.session.create_object({**swapped, **identified, Attribute.TOKEN: True})
    with pytest.raises(KeyMismatch):
        store.sign(handle, b"m")
    assert store.find("label").public == other.public
    with pytest.raises(KeyStoreError, match="does not hold"):
        store.sign(KeyHandle("label", other.public), b"m")


def test_what_no_token_does_is_refused(store):
    secret = SecretHandle("label", SecretUsage.PASSWORD, SecretAlgorithm.SPAKE2, 0, "")
    for call in (
        lambda: store.share_password("label", b"password"),
        lambda: store.start_pake("label", secret, (b"a", b"b"), begins=True),
        lambda: store.finish_pake("label", bytes(32)),
    ):
        with pytest.raises(MechanismMissing, match="no exchange by password"):
            call()
    for call in (
        lambda: store.rewrap("", bytes(32)),
        store.make_storage_key,
        lambda: store.new_secret_block(SecretUsage.MAC, SecretAlgorithm.AES, 128),
        lambda: store.take_secret_block("", bytes(32)),
        lambda: store.join_secret_block(SecretUsage.MAC, SecretAlgorithm.AES, ()),
        lambda: store.secret_bytes_for_sealing("label"),
    ):
        with pytest.raises(MechanismMissing, match="gives no key out"):
            call()


def test_the_store_is_not_copied(store):
    with pytest.raises(UsageError, match="not pickled"):
        store.__reduce_ex__(2)


def test_without_the_extra(monkeypatch):
    """Whoever did not install it is told what is missing, when it is asked for and not before."""
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    for module in (token_module, token_access):
        monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(UsageError, match=r"insitu\[pkcs11\] installed"):
        importlib.import_module(token_module.__name__)


# Where locks are


def directory(mode: int, uid: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "alone", "shared"),
    [
        (stat.S_IFDIR | 0o700, "ours", True, True),
        (stat.S_IFDIR | 0o755, "ours", True, True),
        (stat.S_IFDIR | 0o2770, "ours", False, True),
        (stat.S_IFDIR | 0o2770, "root", False, True),
        (stat.S_IFDIR | 0o1777, "root", False, False),
        (stat.S_IFDIR | 0o777, "ours", False, False),
        (stat.S_IFDIR | 0o700, "another", False, False),
        (stat.S_IFLNK | 0o777, "ours", False, False),
        (stat.S_IFREG | 0o600, "ours", False, False),
    ],
)
def test_who_could_take_locks_away(monkeypatch, mode, owner, alone, shared):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    status = directory(mode, {"ours": 1000, "root": 0, "another": 1001}[owner])
    assert (token_access.foreign(status, named=False) == "") is alone
    assert (token_access.foreign(status, named=True) == "") is shared


@pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
def test_a_directory_of_locks_that_others_can_write_is_refused(soft_tokens, tmp_path, monkeypatch, named):
    place = tmp_path / "insitu"
    place.mkdir()
    place.chmod(0o777)
    monkeypatch.setattr(token_access, "runtime_directory", lambda: place)
    if not named:
        monkeypatch.delenv(token_access.RUNTIME_VARIABLE)
    with pytest.raises(EnvironmentFault, match="one that others cannot write"):
        opened(soft_tokens)
    assert list(place.iterdir()) == []
    (tmp_path / "link").symlink_to(place)
    monkeypatch.setattr(token_access, "runtime_directory", lambda: tmp_path / "link")
    with pytest.raises(EnvironmentFault, match="a directory of user"):
        opened(soft_tokens)


@pytest.mark.parametrize(("directory_mode", "mode"), [(0o2770, 0o660), (0o700, 0o600)], ids=["shared", "ours"])
def test_users_who_share_a_directory_share_its_locks(soft_tokens, tmp_path, monkeypatch, directory_mode, mode):
    place = tmp_path / "insitu"
    place.mkdir()
    place.chmod(directory_mode)
    monkeypatch.setenv(token_access.RUNTIME_VARIABLE, str(place))
    opened(soft_tokens).close()
    (lock,) = place.iterdir()
    assert lock.stat().st_mode & 0o777 == mode
