"""What the operator of a central system does beside its sessions: symmetric keys and revocation lists (L11, S5).

Everything ends in the registry, where every program that serves finds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..protocol.engine import StateError, UsageError
from ..protocol.keys.certificates import CertificateRefused, VerifiedCertificate, trusted_root
from ..protocol.keys.revocation import VerifiedCrl, read_crl
from ..protocol.messages import KeyOrder, encode_record
from ..protocol.stores.registry import Command, CommandKind, Crl, ModuleEntry, Registry
from .central import Central

MODULES_AT_ONCE = 1000


def order_key(
    central: Central, serial: str, block: str, value: str, *, not_after: int, uses: int, actor: str
) -> Command:
    """Have a symmetric key wait for a module.

    Args:
        central: in whose storage the block was made.
        serial: of the module.
        block: under the storage key.
        value: check value of the key.
        not_after: unix seconds after which the module must not use it.
        uses: how often it may use it.
        actor: who wants it.

    Raises:
        UsageError: a time that is over.
        NotInRegistry, StateError, RegistryAway: as the registry's put_command.

    """
    if not_after <= central.now:
        raise UsageError("end of the key's life", who="central", expected="a time to come", got=not_after)
    order = encode_record(KeyOrder(block, not_after, uses, value))
    return central.registry.put_command(serial, CommandKind.LOAD_KEY, order, actor=actor, at=central.now)


def import_crl(central: Central, der: bytes, *, actor: str) -> VerifiedCrl:
    """Take in a revocation list of the manufacturer or of a trusted customer.

    Raises:
        CertificateRefused: it is by neither, or not of our profile.
        StateError: a newer one is here.
        RegistryAway: the registry does not answer.

    """
    issuers = _lists_come_from(central)
    refused: CertificateRefused | None = None
    for issuer in issuers:
        try:
            crl = read_crl(der, issuer)
        except CertificateRefused as error:
            refused = error
            continue
        kept = Crl(crl.issuer, crl.number, der, frozenset(crl.revoked), crl.next_update)
        central.registry.import_crl(kept, actor=actor, at=central.now)
        return crl
    if refused is not None and len(issuers) == 1:
        raise refused
    raise UsageError("revocation list", who="central", expected="one by a trusted issuer", got="another")


def send_crl(central: Central, *, actor: str) -> int:
    """Have the manufacturer's list wait for every module that may work; for how many.

    Raises:
        StateError: there is none here.

    """
    root = _root(central)
    crl = next((crl for crl in central.registry.crls() if crl.issuer == root.fingerprint), None)
    if crl is None:
        raise StateError("no list of the manufacturer is here", who="central", expected="central crl import")
    sent = 0
    for entry in all_modules(central.registry):
        try:
            central.registry.put_command(entry.serial, CommandKind.REVOKE, crl.der, actor=actor, at=central.now)
        except StateError:  # disabled
            continue
        sent += 1
    return sent


def all_modules(registry: Registry) -> Iterator[ModuleEntry]:
    """All entries, a page at a time."""
    after = ""
    while page := registry.modules(after=after, limit=MODULES_AT_ONCE):
        yield from page
        after = page[-1].serial


def _lists_come_from(central: Central) -> list[VerifiedCertificate]:
    known = central.issuers()
    if central.record.root is None and known:  # circular ones (L6)
        return list(known)
    return [_root(central), *known]


def _root(central: Central) -> VerifiedCertificate:
    if central.record.root is None:
        raise StateError("nobody is trusted yet", who="central", expected="central trust")
    return trusted_root(central.record.root)
