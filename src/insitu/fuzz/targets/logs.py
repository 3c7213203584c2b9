"""What is signed about a card's log, and a whole log with it, as an auditor reads it (L12, S6)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from ...protocol.engine import InsituError, KeyHandle, ProtocolError
from ...protocol.keys.certificates import Role, trusted_root, verify_issued
from ...protocol.messages import SIGNED_LOG_MAX
from ...protocol.parties.log_heads import LogHead, LogReceipt, message_to_sign, signed
from ...protocol.stores.card_log import LogBroken
from ...protocol.stores.log_lines import Export, export_lines, import_lines
from ...shell.logs import verify
from ..scene import NOW, CopiedVault, scene
from ..target import Shape, check, outcome_of, target
from .stores import chained

STATEMENTS: Final = (LogHead, LogReceipt)


@cache
def _genuine() -> Export:
    """The log of the scene's card, which the central system has read to its end."""
    export = import_lines(scene().log)
    central = scene().a_central()
    receipt = LogReceipt("Host", scene().a_card().customer.fingerprint, len(export.log), export.log[-1].digest, NOW)
    signature = central.keys.sign(central.key, message_to_sign(receipt.payload))
    return Export(export.log, export.head, signed(receipt.payload, signature))


def statement_seeds() -> Iterator[bytes]:
    """A head and a receipt."""
    yield from (each for each in (_genuine().head, _genuine().receipt) if each is not None)


@target("log-statements", Shape.CBOR, statement_seeds)
def log_statements(data: bytes) -> str:
    """Nothing but what a key signed is a head or receipt under that key; ProtocolError is the only error."""
    head, receipt = (
        _read(*of, data) for of in zip(STATEMENTS, (scene().a_card().authentication, _host()), strict=True)
    )
    check(isinstance(head, str) or data == _genuine().head, "another head was taken")
    check(isinstance(receipt, str) or data == _genuine().receipt, "another receipt was taken")
    return f"{_word(head)}; {_word(receipt)}"


@cache
def _host() -> KeyHandle:
    return scene().a_central().key


def _read(cls: type[LogHead | LogReceipt], key: KeyHandle, data: bytes) -> LogHead | LogReceipt | str:
    try:
        return cls.read(data, key.public)
    except ProtocolError as error:
        return outcome_of(error)


def _word(found: LogHead | LogReceipt | str) -> str:
    return found if isinstance(found, str) else type(found).__name__


def payload_seeds() -> Iterator[bytes]:
    """What is within them."""
    key = scene().a_card().authentication
    yield from (LogHead.read(_genuine().head or b"", key.public).payload, b"\x80")
    yield LogReceipt.read(_genuine().receipt or b"", _host().public).payload


@target("signed-log-statements", Shape.CBOR, payload_seeds)
def signed_log_statements(data: bytes) -> str:
    """Whatever a key signs is a head or a receipt or neither, says just what was signed, and fits where it is kept."""
    vault = CopiedVault("host signs", scene().host)
    statement = signed(data, vault.sign(_host(), message_to_sign(data)))
    found = [_read(cls, _host(), statement) for cls in STATEMENTS]
    taken = [each for each in found if not isinstance(each, str)]
    check(len(taken) <= 1, "a head is a receipt")
    for each in taken:
        check(each.payload == data, "it says something else")
        check(len(statement) <= SIGNED_LOG_MAX, "longer than there is room for")
        check(isinstance(each.names(_genuine().log), bool), "nobody can tell whether it names a log")
    return "; ".join(map(_word, found))


def log_seeds() -> Iterator[bytes]:
    """The log with its head and a receipt."""
    yield export_lines(_genuine())
    yield export_lines(Export(_genuine().log[:3], _genuine().head, _genuine().receipt))


@target("verified-logs", Shape.TEXT, log_seeds, seconds=1.0)
def verified_logs(data: bytes) -> str:
    """A log that an auditor finds whole begins with just the entries that its card's head and the receipt name.

    ProtocolError is the only error. Each input is looked at as it came, and once more with a chain that holds.
    """
    return f"{_verified(data)}, chained: {_verified(chained(data))}"


def _verified(data: bytes) -> str:
    about: dict[str, Any] = {"central": scene().central}
    customer = verify_issued(scene().customer, trusted_root(scene().root), Role.CUSTOMER, now=None)
    try:
        found = verify(import_lines(data), customer, **about)
    except (LogBroken, ProtocolError) as error:
        check(isinstance(error, InsituError), "an error of ours")
        return outcome_of(error)
    log, genuine = import_lines(data).log, _genuine().log
    named = max(0 if found.head is None else found.head.entries, 0 if found.receipt is None else found.receipt.entries)
    check(log[:named] == genuine[:named], "another log was found whole")
    check(found.receipt is not None and found.receipt.entries == len(genuine), "another receipt")
    return f"whole, {min(found.unsigned, 2)} unsigned"
