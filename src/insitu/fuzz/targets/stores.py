"""What lies in files: sealed stores, a card's exported log, a job list, and the addresses of links."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from ...protocol.engine import EnvironmentFault, UsageError
from ...protocol.messages.codec import DecodeError, decode
from ...protocol.stores.card_log import NOTHING_BEFORE, LogBroken
from ...protocol.stores.counter import LARGEST_COUNT, CounterFailed, FileCounter, MonotonicCounter
from ...protocol.stores.files import Lock, OsFiles
from ...protocol.stores.log_lines import export_lines, import_lines
from ...protocol.stores.sealed import MAGIC, Cost, SealedFile, StoreKind
from ...protocol.stores.secret import Secret
from ...shell.counter import CommandCounter
from ...shell.job_list import MARK, JobList, JobListDamaged
from ...transports.addresses import Address
from ...transports.errors import AddressError
from ..scene import NOW, Named, scene
from ..scratch import scratch
from ..target import Shape, check, outcome_of, target

PATH: Final = Path("store.sealed")
PASSPHRASE: Final = b"opens with kWqZ81"
CONTENT: Final = b"content of a store"
CHEAP: Final = 1 << 12
"""The most of n * r that an input may ask of scrypt: what more costs, the file's owner has chosen."""


class OneFile(OsFiles):
    """A file system with one file, which must stay as it is; what is new in it is kept."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.written = b""

    def resolve(self, path: Path) -> Path:
        """See Files."""
        return path

    def read(self, path: Path, limit: int) -> bytes:
        """See Files."""
        if not self.data:
            raise FileNotFoundError
        return self.data[:limit]

    def create(self, path: Path) -> int:
        """See Files."""
        return 3

    def write(self, file: int, data: bytes) -> None:
        """See Files."""
        self.written += data

    def reopen(self, path: Path) -> tuple[int, int]:
        """See Files."""
        raise AssertionError("a file is overwritten")

    def sync(self, file: int) -> None:
        """See Files."""

    def close(self, file: int) -> None:
        """See Files."""

    def link(self, path: Path, other: Path) -> None:
        """See Files."""

    def replace(self, path: Path, other: Path) -> None:
        """See Files."""

    def remove(self, path: Path) -> None:
        """See Files."""

    def sync_directory(self, path: Path) -> None:
        """See Files."""

    def lock(self, path: Path) -> Lock:
        """See Files."""
        return _Free()


class _Free:
    def release(self) -> None:
        """Nobody else is there."""


@cache
def _sealed() -> bytes:
    files = OneFile(b"")
    SealedFile.create(
        PATH,
        StoreKind.MODULE,
        Secret(PASSPHRASE),
        CONTENT,
        entropy=Named("sealed"),
        cost=Cost(n=16, r=8, p=1),
        files=files,
    )
    return files.written


def sealed_seeds() -> Iterator[bytes]:
    """The envelope of a sealed store, which is CBOR."""
    yield _sealed()[len(MAGIC) + 4 : -32]


@target("sealed-stores", Shape.CBOR, sealed_seeds, seconds=0.5)
def sealed_stores(data: bytes) -> str:
    """Only what was sealed comes out of a sealed store; else it is refused with a declared error, and left as it is.

    The input is the envelope: its length and checksum are made to fit, but for every eighth, which is the whole file.
    """
    body = MAGIC + len(data).to_bytes(4, "big") + data
    file = data if data[:1] == MAGIC[:1] else body + hashlib.sha256(body).digest()
    if _is_costly(data):
        return "costly"
    files = OneFile(file)
    try:
        with SealedFile.open(PATH, StoreKind.MODULE, Secret(PASSPHRASE), entropy=Named("open"), files=files) as opened:
            content = opened.read()
    except (UsageError, EnvironmentFault) as error:
        check(not files.written, "a refused file was written")
        return outcome_of(error)
    check(content == CONTENT, "other content came out")
    check(file == _sealed(), "another file was opened")
    return "opened"


def _is_costly(envelope: bytes) -> bool:
    with suppress(DecodeError, TypeError, ValueError, AttributeError, KeyError, IndexError):
        tagged: Any = decode(envelope, allowed_tags=frozenset((16,)))
        header: Any = decode(tagged.value[0]) if isinstance(tagged.value[0], bytes) else {}
        n, r, p = header["scrypt"]
        return all(isinstance(each, int) for each in (n, r, p)) and n * r * p > CHEAP
    return False


# The card's log ----------------------------------------------------------------------------------------------


def log_seeds() -> Iterator[bytes]:
    """The log of the scene's card: whole, and the first lines of it."""
    yield scene().log
    yield b"".join(scene().log.splitlines(keepends=True)[:2])


@target("card-logs", Shape.TEXT, log_seeds, seconds=0.2)
def card_logs(data: bytes) -> str:
    """A card's log that is read is written as the same bytes again; else LogBroken says where it breaks.

    Each input is read as it came, and once more with numbers and digests made to fit, so that they hide nothing.
    """
    return f"{_read(data)}, chained: {_read(chained(data))}"


def _read(data: bytes) -> str:
    try:
        export = import_lines(data)
    except LogBroken as error:
        return outcome_of(error)
    check(export_lines(export) == data, "another form was accepted")
    return f"accepted {min(len(export.log), 9)}"


def chained(data: bytes) -> bytes:
    """The same lines, their numbers and digests made to fit."""
    lines, previous, number = [], NOTHING_BEFORE, 0
    for line in data.split(b"\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or "previous" not in entry:
            lines.append(line)
            continue
        entry |= {"number": number, "previous": previous.hex()}
        lines.append(json.dumps(entry, separators=(",", ":")).encode())
        previous, number = hashlib.sha256(lines[-1]).digest(), number + 1
    return b"\n".join(lines)


# Counters ----------------------------------------------------------------------------------------------------


def counter_seeds() -> Iterator[bytes]:
    """Files of counters, without their last line, and the answer of a command."""
    for count in (0, 41, LARGEST_COUNT):
        yield b"insitu counter 1\n%d\n" % count
    yield b"17\n"


@target("counters", Shape.TEXT, counter_seeds)
def counters(data: bytes) -> str:
    """A counter's file or command says a number from 0 to the largest one in digits; else CounterFailed.

    Each input is a file as it came, a file with a checksum that fits, and what a command answers.
    """
    whole = data + hashlib.sha256(data).hexdigest().encode() + b"\n"
    readers: tuple[MonotonicCounter, ...] = (
        FileCounter(PATH, OneFile(data or b" ")),
        FileCounter(PATH, OneFile(whole)),
        _Command(data),
    )
    return "; ".join(map(_count, readers))


class _Command(CommandCounter):
    """A command that answers this."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(["counter"])
        self._answer = answer

    def _run(self, *arguments: str) -> bytes:
        return self._answer


def _count(counter: MonotonicCounter) -> str:
    try:
        count = counter.read()
    except CounterFailed as error:
        return outcome_of(error)
    check(type(count) is int and 0 <= count <= LARGEST_COUNT, "a number that no counter has")
    return "read"


# Lists and addresses -----------------------------------------------------------------------------------------


def job_list_seeds() -> Iterator[bytes]:
    """Job lists."""
    modules = {"SM-0001": "2030-05-31T12:00:00Z", "SM-00*": "2031-01-01T00:00:00+02:00"}
    yield json.dumps({"insitu": MARK, "modules": modules}, indent=1).encode()
    yield json.dumps({"insitu": MARK, "modules": {}}).encode()


@cache
def _list_file() -> Path:
    path = scratch() / "jobs"
    path.touch()
    return path


@target("job-lists", Shape.TEXT, job_list_seeds)
def job_lists(data: bytes) -> str:
    """A job list is read, or JobListDamaged says that nobody is on it; whoever is admitted stands on it by name."""
    files = OneFile(data or b" ")
    jobs = JobList(_list_file(), now=lambda: NOW, files=files)
    try:
        known = jobs.modules()
    except JobListDamaged as error:
        return outcome_of(error)
    check(all(isinstance(until, int) for until in known.values()), "a time is none")
    named = any(pattern.rstrip("*") and "SM-0001".startswith(pattern.rstrip("*")) for pattern in known)
    check(named or "*" in known or not jobs.admits("SM-0001"), "somebody is admitted who is not on it")
    return f"accepted {min(len(known), 3)}"


def address_seeds() -> Iterator[bytes]:
    """Addresses of every kind."""
    yield from (b"tcp:localhost:4711", b"tcp:[::1]:1", b"serial:/dev/ttyS0?baud=9600", b"memory:here")
    yield from (b"bluetooth:00:11:22:33:44:55/3?pairing=numeric", b"device:/dev/x?baud=1", b"serial:loop://")
    yield b"tls:host:4711?ca=ca.pem&cert=me.pem&key=me.key&name=host&crl=list.pem"


@target("addresses", Shape.TEXT, address_seeds)
def addresses(data: bytes) -> str:
    """An address that is read is written as one that is read as the same again; AddressError is the only error."""
    try:
        found = Address.parse(data.decode(errors="replace"))
    except AddressError as error:
        return outcome_of(error)
    check(Address.parse(str(found)) == found, "another address came back")
    return f"accepted {found.kind}"
