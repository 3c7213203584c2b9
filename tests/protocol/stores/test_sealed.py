from __future__ import annotations

import hashlib
import itertools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.cose import enc_structure
from insitu.protocol.engine import EnvironmentFault, InsituError, UsageError
from insitu.protocol.messages.codec import decode, encode
from insitu.protocol.stores.atomic import StoreFailed, StoreUncertain
from insitu.protocol.stores.files import StoreLocked
from insitu.protocol.stores.sealed import (
    MAGIC,
    Cost,
    ForeignFile,
    SealedFile,
    StoreDamaged,
    StoreExists,
    StoreKind,
    StoreMissing,
    StoreTruncated,
    WrongKind,
    WrongPassphrase,
    WrongVersion,
)
from insitu.protocol.stores.secret import Secret
from insitu.simulate.disk import CrashDisk

PASSPHRASE = Secret(b"correct horse battery staple")
CHEAP = Cost(n=2)
CONTENT = b"what is inside"


def counting_entropy() -> Callable[[int], bytes]:
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def create(path: Path, content: bytes = CONTENT, *, kind: StoreKind = StoreKind.MODULE, **options) -> bytes:
    """Make a sealed file, close it; its bytes."""
    options.setdefault("cost", CHEAP)
    SealedFile.create(path, kind, PASSPHRASE, content, entropy=os.urandom, **options).close()
    return path.read_bytes()


def reopen(path: Path, *, passphrase: Secret = PASSPHRASE, kind: StoreKind = StoreKind.MODULE) -> bytes:
    """Open, read, close."""
    with SealedFile.open(path, kind, passphrase, entropy=os.urandom) as file:
        return file.read()


def envelope_of(data: bytes) -> list:
    return list(decode(data[12:-32], allowed_tags=frozenset((16,))).value)


def forged(envelope: list) -> bytes:
    """A file around this envelope, with the right length and checksum."""
    body = encode(envelope)
    body = b"\xd0" + body
    body = MAGIC + len(body).to_bytes(4, "big") + body
    return body + hashlib.sha256(body).digest()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "module.store"


def test_what_goes_in_comes_out(path):
    data = create(path)
    assert reopen(path) == CONTENT
    assert CONTENT not in data
    assert PASSPHRASE.reveal() not in data
    assert path.stat().st_mode & 0o777 == 0o600


@given(content=st.binary(max_size=300))
def test_any_content(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "store"
    create(path, content)
    assert reopen(path) == content


def test_the_usual_cost_takes_32_mib_and_stands_in_the_file(path):
    data = create(path, cost=None)
    header = decode(envelope_of(data)[0])
    assert header["scrypt"] == (1 << 15, 8, 1)
    assert reopen(path) == CONTENT


def test_the_file_is_a_cose_encrypt0_under_the_scrypt_key(path):
    """Opened with nothing but the definitions: RFC 7914, and RFC 9052 as the channel implements it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = create(path)
    assert data.startswith(b"\x89insitu\n")
    assert data[12] == 0xD0  # tag 16
    protected, unprotected, ciphertext = envelope_of(data)
    header = decode(protected)
    assert header == {1: 3, "kind": "module", "salt": header["salt"], "scrypt": (2, 8, 1), "version": 1}
    key = hashlib.scrypt(PASSPHRASE.reveal(), salt=header["salt"], n=2, r=8, p=1, dklen=32)
    assert AESGCM(key).decrypt(unprotected[5], ciphertext, enc_structure(protected, b"")) == CONTENT


def test_each_write_has_a_fresh_nonce_and_scrypt_runs_once(path, monkeypatch):
    runs = []
    real = hashlib.scrypt
    monkeypatch.setattr(hashlib, "scrypt", lambda *args, **options: runs.append(1) or real(*args, **options))
    create(path)
    runs.clear()
    nonces = set()
    with SealedFile.open(path, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom) as file:
        for number in range(5):
            file.write(bytes([number]))
            assert file.read() == bytes([number])
            nonces.add(envelope_of(path.read_bytes())[1][5])
    assert len(nonces) == 5
    assert len(runs) == 1


def test_two_files_with_one_passphrase_have_different_keys(path, tmp_path):
    one, other = create(path), create(tmp_path / "other")
    assert decode(envelope_of(one)[0])["salt"] != decode(envelope_of(other)[0])["salt"]


def test_nothing_secret_shows(path):
    create(path)
    with SealedFile.open(path, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom) as file:
        shown = repr(file) + str(vars(file))
        assert "horse" not in shown
        with pytest.raises(UsageError, match="not pickled or copied"):
            file.__reduce_ex__(2)


# Refusals: each its own error, and the file as it was ---------------------------------------------------------


def refused(path: Path, error: type[InsituError], **options) -> InsituError:
    before = path.read_bytes() if path.exists() else None
    names = sorted(each.name for each in path.parent.iterdir() if not each.name.endswith(".lock"))
    with pytest.raises(error) as caught:
        reopen(path, **options)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.exists() else None) == before
    assert sorted(each.name for each in path.parent.iterdir() if not each.name.endswith(".lock")) == names
    return caught.value


def test_no_file(path):
    refused(path, StoreMissing)
    assert not list(path.parent.iterdir()), "not even a lock is left for what is not there"


def test_no_directory(tmp_path):
    with pytest.raises(StoreFailed, match="No such file"):
        create(tmp_path / "absent" / "store")


def test_a_directory_in_its_place(path):
    path.mkdir()
    with pytest.raises(StoreFailed, match="directory"):
        reopen(path)


def test_there_is_a_file_already(path):
    before = create(path)
    with pytest.raises(StoreExists):
        create(path, b"other")
    assert path.read_bytes() == before
    assert reopen(path) == CONTENT, "the refused call has let go of the lock"


def test_wrong_passphrase(path):
    create(path)
    error = refused(path, WrongPassphrase, passphrase=Secret(b"correct horse battery stable"))
    assert "stable" not in str(error)
    assert error.exit_code == 2
    assert reopen(path) == CONTENT


@pytest.mark.parametrize("kind", [kind for kind in StoreKind if kind is not StoreKind.CARD])
def test_the_store_of_another_party(path, kind):
    create(path, kind=StoreKind.CARD)
    error = refused(path, WrongKind, kind=kind)
    assert (error.expected, error.got) == (kind.value, "card")


@pytest.mark.parametrize("content", [b"-----BEGIN CERTIFICATE-----\n", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_a_foreign_file(path, content):
    path.write_bytes(content)
    refused(path, ForeignFile)


def test_nothing_of_a_foreign_file_is_shown(tmp_path: Path):
    path = tmp_path / "alice.pin"
    path.write_text("48151623\n")
    with pytest.raises(ForeignFile) as caught:
        SealedFile.open(path, StoreKind.CARD, Secret(b"passphrase"), entropy=bytes)
    for form in ("48151623", b"48151623".hex()):
        assert form not in str(caught.value)


def test_a_truncated_file_at_every_length(path):
    data = create(path)
    for size in range(len(data)):
        path.write_bytes(data[:size])
        refused(path, StoreTruncated)


def test_one_damaged_byte_anywhere(path):
    data = create(path)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        expected = ForeignFile if at < 8 else StoreTruncated if at < 10 else StoreDamaged
        if at in (8, 9, 10, 11):  # the length: the file seems truncated or too long
            with pytest.raises((StoreTruncated, StoreDamaged)):
                reopen(path)
        else:
            refused(path, expected)


def test_more_bytes_than_there_should_be(path):
    path.write_bytes(create(path) + b"\0")
    refused(path, StoreDamaged)


def test_a_file_longer_than_any_store(path):
    path.write_bytes(MAGIC + b"\xff\xff\xff\xff")
    refused(path, StoreDamaged)
    with path.open("wb") as file:
        file.write(MAGIC + b"\x00\xff\xff\xff")
        file.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(StoreDamaged):
        reopen(path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def with_header(path: Path, **changes: object) -> None:
    """Replace header members, with the right checksum, as only an adversary would."""
    protected, unprotected, ciphertext = envelope_of(create(path))
    header = {key: value for key, value in (decode(protected) | changes).items() if value is not None}
    path.write_bytes(forged([encode(header), unprotected, ciphertext]))


def test_a_later_version(path):
    with_header(path, version=2)
    error = refused(path, WrongVersion)
    assert (error.expected, error.got) == ("1", "2")


@pytest.mark.parametrize(
    "cost",
    [(1 << 30, 8, 1), (1 << 15, 1 << 20, 1), (1 << 15, 8, 1 << 20), (1 << 19, 8, 1), (3, 8, 1), (1, 8, 1), (2, 0, 1)],
)
def test_a_hostile_cost_is_refused_before_it_is_paid(path, cost, monkeypatch):
    with_header(path, scrypt=cost)
    monkeypatch.setattr(hashlib, "scrypt", lambda *_, **__: pytest.fail("paid"))
    refused(path, StoreDamaged)


def test_the_dearest_cost_that_is_borne():
    assert Cost(1 << 18, 8, 4).is_bearable
    assert not Cost(1 << 19, 8, 1).is_bearable
    assert not Cost(1 << 18, 8, 5).is_bearable


def test_nobody_makes_a_file_that_nobody_could_open(path):
    with pytest.raises(UsageError, match="cost of sealing"):
        create(path, cost=Cost(n=1 << 20))
    assert not path.exists()


@pytest.mark.parametrize(
    "changes",
    [{"salt": b"short"}, {"salt": None}, {"scrypt": (2, 8)}, {"more": 1}],
)
def test_other_headers(path, changes):
    with_header(path, **changes)
    refused(path, StoreDamaged)


def test_the_header_is_authenticated(path):
    """A module's file relabelled as a card's is not taken for one."""
    with_header(path, kind="card")
    refused(path, WrongPassphrase, kind=StoreKind.CARD)


@pytest.mark.parametrize(
    "envelope",
    [
        [],
        [b"", {}, b""],
        [encode([1]), {5: bytes(12)}, b""],
        [b"\xff", {5: bytes(12)}, b""],
        [b"", {5: bytes(12), 4: b"kid"}, b""],
    ],
)
def test_other_envelopes(path, envelope):
    path.write_bytes(forged(envelope))
    refused(path, StoreDamaged)


def test_no_cbor_inside(path):
    body = MAGIC + (4).to_bytes(4, "big") + b"\xff\xff\xff\xff"
    path.write_bytes(body + hashlib.sha256(body).digest())
    refused(path, StoreDamaged)


@pytest.mark.parametrize("nonce", [b"", bytes(11), bytes(13)])
def test_other_nonces(path, nonce):
    protected, _, ciphertext = envelope_of(create(path))
    path.write_bytes(forged([protected, {5: nonce}, ciphertext]))
    refused(path, StoreDamaged)


def test_a_ciphertext_shorter_than_a_tag(path):
    protected, unprotected, _ = envelope_of(create(path))
    path.write_bytes(forged([protected, unprotected, b"short"]))
    refused(path, WrongPassphrase)


# Two at a time ------------------------------------------------------------------------------------------------


def test_an_open_store_is_locked_until_it_is_closed(path):
    create(path)
    holder = SealedFile.open(path, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom)
    with holder, pytest.raises(StoreLocked, match="got process"):
        reopen(path)
    assert reopen(path) == CONTENT


def test_a_closed_store_is_not_written(path):
    create(path)
    file = SealedFile.open(path, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom)
    file.close()
    for use in (file.read, lambda: file.write(b"late")):
        with pytest.raises(StoreFailed, match="closed"):
            use()
    assert reopen(path) == CONTENT


def test_a_store_behind_a_link_stays_there(path, tmp_path):
    create(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with SealedFile.open(link, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom) as file:
        file.write(b"through the link")
        with pytest.raises(StoreLocked):
            reopen(path)
    assert link.is_symlink()
    assert reopen(path) == b"through the link"


def test_a_file_exchanged_while_it_is_open_is_noticed(path, tmp_path):
    create(path)
    with SealedFile.open(path, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom) as file:
        path.write_bytes(create(tmp_path / "other", b"other"))
        with pytest.raises(StoreDamaged, match="replaced"):
            file.read()
        path.unlink()
        with pytest.raises(StoreMissing):
            file.read()


# Writing that fails -------------------------------------------------------------------------------------------

DISK_PATH = Path("/store/module")


def open_on(disk: CrashDisk) -> SealedFile:
    return SealedFile.open(DISK_PATH, StoreKind.MODULE, PASSPHRASE, entropy=counting_entropy(), files=disk)


def disk_with_store() -> CrashDisk:
    disk = CrashDisk()
    SealedFile.create(
        DISK_PATH, StoreKind.MODULE, PASSPHRASE, CONTENT, entropy=counting_entropy(), cost=CHEAP, files=disk
    ).close()
    return disk


@pytest.mark.parametrize("failing", ["create", "write", "sync", "replace"])
def test_a_full_disk_leaves_the_store_as_it_was(failing):
    disk = disk_with_store()

    def fail(_: int, name: str) -> None:
        if name == failing:
            raise OSError(28, "No space left on device")

    with open_on(disk) as file:
        disk.before_call = fail
        with pytest.raises(StoreFailed, match="No space left"):
            file.write(b"more")
        disk.before_call = lambda number, name: None
        assert file.read() == CONTENT
        file.write(b"more")
        assert file.read() == b"more"


def test_after_a_write_of_unknown_outcome_the_store_must_be_opened_again():
    disk = disk_with_store()

    def fail(_: int, name: str) -> None:
        if name == "sync_directory":
            raise OSError(5, "Input/output error")

    file = open_on(disk)
    disk.before_call = fail
    with pytest.raises(StoreUncertain, match="Input/output error"):
        file.write(b"more")
    disk.before_call = lambda number, name: None
    for use in (file.read, lambda: file.write(b"late")):
        with pytest.raises(StoreFailed, match="may or may not"):
            use()
    file.close()
    with open_on(disk) as again:
        assert again.read() in (CONTENT, b"more")


def test_a_store_that_cannot_be_read_is_an_error_of_the_environment():
    disk = disk_with_store()

    def fail(_: int, name: str) -> None:
        if name == "read":
            raise OSError(5, "Input/output error")

    disk.before_call = fail
    with pytest.raises(EnvironmentFault, match="Input/output error"):
        open_on(disk)
    disk.before_call = lambda number, name: None
    open_on(disk).close()


def test_a_failed_opening_leaves_leftovers_for_the_right_one():
    disk = disk_with_store()
    new = disk.create(DISK_PATH.with_name("module.new"))
    disk.write(new, b"half")
    with pytest.raises(WrongPassphrase):
        SealedFile.open(DISK_PATH, StoreKind.MODULE, Secret(b"wrong"), entropy=counting_entropy(), files=disk)
    assert DISK_PATH.with_name("module.new") in disk.names
    open_on(disk).close()
    assert list(disk.names) == [DISK_PATH]


def test_content_beyond_the_limit_is_refused(path):
    create(path)
    with SealedFile.open(path, StoreKind.MODULE, PASSPHRASE, entropy=os.urandom) as file:
        with pytest.raises(UsageError, match="at most"):
            file.write(bytes(1 << 24))
        assert file.read() == CONTENT


class Ended(BaseException):
    """A program was killed; power stays."""


def test_what_was_read_once_is_there_after_a_power_cut():
    """A program was killed between a rename and its sync; the next one reads the new content, and says so to others."""

    def kill(_: int, name: str) -> None:
        if name == "sync_directory":
            raise Ended

    disk = disk_with_store()
    file = open_on(disk)
    disk.before_call = kill
    with pytest.raises(Ended):
        file.write(b"news")
    disk.before_call = lambda number, name: None
    disk.locks.clear()
    with open_on(disk) as again:
        read = again.read()
    assert read == b"news"
    with open_on(disk.survivors(0)) as after:
        assert after.read() == read


def test_names_that_cannot_be_made_durable_are_not_relied_on():
    disk = disk_with_store()

    def fail(_: int, name: str) -> None:
        if name == "sync_directory":
            raise OSError(5, "Input/output error")

    disk.before_call = fail
    with pytest.raises(StoreFailed):
        open_on(disk)
    assert not disk.locks
