"""insitu central, continued: what is done to its registry: modules, issuers, commands, keys, lists, audit trail."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from ..protocol.engine import SecretAlgorithm, SecretUsage, StateError, UsageError
from ..protocol.keys.certificates import fingerprint_text, is_circular
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.stores.memory_registry import MemoryRegistry
from ..protocol.stores.registry import CommandKind, ModuleEntry, Registry, check_chain
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.keeping import wall_clock
from ..shell.places import Place
from ..shell.waiting import opened as patiently_opened
from .common import (
    FILE_ONLY,
    PATH,
    about,
    confirm,
    emit,
    moment,
    say,
    store_opener,
    store_options,
)

if TYPE_CHECKING:
    from ..shell.central import Central

F = TypeVar("F", bound=Callable[..., Any])


def registry_option(command: F) -> F:
    """--registry, by default the file beside the store."""
    text = "Path or URL (postgresql://HOST/DATABASE) of the registry; without it the file STORE.db."
    return click.option("--registry", help=text)(command)


def actor() -> str:
    """Who is at the terminal, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def open_central(
    store: Place,
    registry: str | None,
    file: Path | None,
    hook: str | None,
    *,
    serves: bool = False,
    **more: Any,  # noqa: ANN401 - arguments of Central
) -> Iterator[Central]:
    """The central system in a sealed file, with its registry; `serves`: it must have a certificate that counts.

    A program that serves holds the file only as it starts: then one waits.

    Raises:
        UsageError, EnvironmentFault, StateError: the file or the registry cannot be opened, or the certificate lacks.
        CertificateRefused: the certificate is revoked.

    """
    from ..registry import open_registry
    from ..shell.central import Central

    with patiently_opened(store_opener(store, StoreKind.CENTRAL, file, hook)) as vault:
        if serves and not (more.get("certificate") or Central(vault, MemoryRegistry()).record.certificate):
            raise StateError("no certificate yet", who="central", expected="insitu central install", got="none")
        with closing(open_registry(_url(store, registry))) as opened:
            central = Central(vault, opened, **more)
            if serves:
                central.check_certificate()
            yield central


def share(central: Central) -> None:
    """Let other programs open the sealed file while this one serves with what is in it."""
    central.keys.detach()


@contextmanager
def opened_registry(store: Path | None, registry: str | None) -> Iterator[Registry]:
    """The registry alone, for commands that need no key.

    Raises:
        UsageError: none is named.
        EnvironmentFault: it cannot be opened.

    """
    from ..registry import open_registry

    if store is None and registry is None:
        raise UsageError("no registry is named", who="central", expected="--registry, or --store")
    with closing(open_registry(_url(store or Path(), registry))) as opened:
        yield opened


def _url(store: Place, registry: str | None) -> str:
    if registry is None and not isinstance(store, Path):
        raise UsageError("which registry?", who="central", expected="--registry, since a token has none beside it")
    return registry or f"{store}.db"


def place_options(command: F) -> F:
    """--store and --registry for commands that need no key."""
    store = click.option(
        "--store", type=FILE_ONLY, help="The central system's sealed file, beside which the registry is."
    )
    return store(registry_option(command))


# Modules and issuers -------------------------------------------------------------------------------------------


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def modules(store: Path | None, registry: str | None, as_json: bool) -> None:
    """List the modules: standing, epoch, last contact, certificate."""
    from ..shell.operator import all_modules

    with opened_registry(store, registry) as opened:
        circular = _circular(opened)
        for entry in all_modules(opened):
            facts = {**_facts(entry), "circular": entry.issuer in circular}
            worth = f" (circular: {PLAUSIBILITY})" if facts["circular"] else ""
            emit(
                as_json,
                facts,
                f"{entry.serial}  {entry.standing.value}, epoch {entry.epoch}, of {entry.owner}{worth}, "
                f"last contact {facts['last_contact']}, certificate {facts['certificate']}",
            )


def _circular(registry: Registry) -> set[bytes]:
    """Issuers that nobody but the central system itself certified (L6)."""
    return {each.fingerprint for each in registry.issuers() if is_circular(each.certificate)}


def _facts(entry: ModuleEntry) -> dict[str, object]:
    return {
        "serial": entry.serial,
        "standing": entry.standing.value,
        "epoch": entry.epoch,
        "owner": entry.owner,
        "certificate": fingerprint_text(entry.fingerprint),
        "last_contact": datetime.fromtimestamp(entry.last_contact, UTC).isoformat(),
        "last_number": entry.last_number,
    }


@click.command()
@place_options
@click.option("--module", "serial", help="Serial number of a module.")
@click.option("--issuer", type=PATH, help="Certificate of a customer's signing key (PEM).")
@click.option("--lost", help="Since when the key is lost, as 2026-05-31T12:00:00Z; without it, now.")
@click.option("--keep-known", is_flag=True, help="Modules that were known here before the loss stay admitted.")
@click.option("--reason", default="", help="For the audit trail.")
def disable(
    store: Path | None,
    registry: str | None,
    serial: str | None,
    issuer: Path | None,
    lost: str | None,
    keep_known: bool,
    reason: str,
) -> None:
    """Refuse a module, or all that a lost card certified, from now on; open sessions end."""
    from ..protocol.keys.certificates import read_fingerprint

    if (serial is None) == (issuer is None):
        raise UsageError("what to disable", who="central", expected="--module or --issuer")
    since = wall_clock() if lost is None else moment(lost)
    with opened_registry(store, registry) as opened:
        if serial is not None:
            opened.disable_module(serial, actor=actor(), at=wall_clock(), reason=reason)
            say(f"module {serial} is disabled")
        elif issuer is not None:
            fingerprint = read_fingerprint(pem.read_certificate(issuer))
            opened.disable_issuer(fingerprint, lost=since, keep_known=keep_known, actor=actor(), at=wall_clock())
            kept = "; modules known before stay admitted" if keep_known else ""
            say(f"issuer {fingerprint_text(fingerprint)} is disabled{kept}")


@click.command()
@place_options
@click.option("--module", "serial", required=True, help="Serial number.")
def enable(store: Path | None, registry: str | None, serial: str) -> None:
    """Let a disabled module in again, once it was personalized anew."""
    with opened_registry(store, registry) as opened:
        opened.enable_module(serial, actor=actor(), at=wall_clock())
    say(f"module {serial} will be admitted once it was reset and personalized anew")


@click.command()
@place_options
@click.option("--module", "serial", required=True, help="Serial number.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(store: Path | None, registry: str | None, serial: str, yes: bool) -> None:
    """Have a module erase its keys: at once if it is online, otherwise at its next contact."""
    if not yes:
        confirm(f"Have module {serial} erase its keys? It has to be personalized again.", who="central")
    with opened_registry(store, registry) as opened:
        opened.order_reset(serial, actor=actor(), at=wall_clock())
    say(f"reset of module {serial} is ordered")


# Business ------------------------------------------------------------------------------------------------------


@click.command()
@place_options
@click.option("--module", "serial", required=True, help="Serial number.")
@click.option("--file", "content", type=click.File("rb"), required=True, help="The payload; - for standard input.")
def instruct(store: Path | None, registry: str | None, serial: str, content: IO[bytes]) -> None:
    """Have a payload for the ATM controller wait for a module."""
    from ..protocol.messages import PAYLOAD_MAX

    data = content.read(PAYLOAD_MAX + 1)
    if len(data) > PAYLOAD_MAX:
        raise UsageError("payload", who="central", expected=f"at most {PAYLOAD_MAX} bytes", got="more")
    with opened_registry(store, registry) as opened:
        command = opened.put_command(serial, CommandKind.INSTRUCT, data, actor=actor(), at=wall_clock())
    say(f"instruction {command.number} waits for module {serial}")


@click.command()
@place_options
@click.option("--module", "serial", required=True, help="Serial number.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def transactions(store: Path | None, registry: str | None, serial: str, as_json: bool) -> None:
    """List a module's transactions; of card and account no more than the last four characters are kept."""
    with opened_registry(store, registry) as opened:
        after = 0
        while page := opened.transactions(serial, after=after):
            for each in page:
                decision = "undecided" if each.approved is None else "approved" if each.approved else "refused"
                facts: dict[str, object] = {
                    "number": each.number,
                    "epoch": each.epoch,
                    "card": each.card,
                    "account": each.account,
                    "amount": each.amount,
                    "currency": each.currency,
                    "decision": decision,
                    "instructed": each.instructed,
                    "paid": each.paid,
                    "reference": each.reference,
                }
                outcome = "outcome unknown" if each.paid is None else f"paid {each.paid}"
                text = f"{each.number}  {each.amount} {each.currency}, card ..{each.card}: {decision}, {outcome}"
                emit(as_json, facts, text)
            after = page[-1].number


@click.command("load-key")
@store_options()
@registry_option
@click.option("--module", "serial", required=True, help="Serial number.")
@click.option("--usage", type=click.Choice(["mac", "pin"]), help="What the key is for.")
@click.option("--algorithm", type=click.Choice(["aes", "tdes"]), default="aes", show_default=True, help="Of the key.")
@click.option("--bits", type=int, default=128, show_default=True, help="Length; parity bits included.")
@click.option("--component", "components", type=PATH, multiple=True, help="Hexadecimal, then its check value; 0600.")
@click.option("--block", type=PATH, help="A key block (TR-31 version D) instead.")
@click.option("--wrapping-key", type=PATH, help="The block's protection key in hexadecimal, 0600.")
@click.option("--until", required=True, help="End of the key's life, as 2026-05-31T12:00:00Z.")
@click.option("--uses", type=click.IntRange(1, (1 << 32) - 1), required=True, help="How often it may be used.")
def load_key(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    registry: str | None,
    serial: str,
    usage: str | None,
    algorithm: str,
    bits: int,
    components: tuple[Path, ...],
    block: Path | None,
    wrapping_key: Path | None,
    until: str,
    uses: int,
) -> None:
    """Have a symmetric key wait for a module: a new random one, one from components, or one from a key block."""
    from ..shell.operator import order_key
    from ..shell.passphrase import from_file

    if (block is None) != (wrapping_key is None):
        raise UsageError("key block", who="central", expected="--block and --wrapping-key", got="one of them")
    if block is None and usage is None:
        raise UsageError("what is the key for?", who="central", expected="--usage mac or --usage pin")
    end = moment(until)
    with open_central(store, registry, passphrase_file, passphrase_hook) as here:
        storage = here.keys.storage
        if block is not None and wrapping_key is not None:
            text = from_file(block).reveal().decode("ascii", "replace").strip()
            made, value = storage.take_secret_block(text, _hexadecimal(wrapping_key))
        else:
            kind, method = SecretUsage(usage), SecretAlgorithm(algorithm)
            if components:
                clear = [_component(kind, method, path) for path in components]
                made, value = storage.join_secret_block(kind, method, clear)
            else:
                made, value = storage.new_secret_block(kind, method, bits)
        command = order_key(here, serial, made, value, not_after=end, uses=uses, actor=actor())
    say(f"key {value} waits for module {serial}, number {command.number}")


def _component(usage: SecretUsage, algorithm: SecretAlgorithm, path: Path) -> bytes:
    from ..protocol.keys.components import read_component
    from ..protocol.keys.port import KeyRefused
    from ..shell.passphrase import from_file

    try:
        return read_component(usage, algorithm, from_file(path).reveal().decode("ascii", "replace"))
    except KeyRefused as refused:
        raise UsageError(f"{path}: {refused.summary}", expected=refused.expected, got=refused.got) from None


def _hexadecimal(path: Path) -> bytes:
    from ..shell.passphrase import from_file

    try:
        return bytes.fromhex(from_file(path).reveal().decode("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        raise UsageError(f"{path} is no key", expected="hexadecimal digits", got="something else") from None


# Revocation lists ----------------------------------------------------------------------------------------------


@click.group()
def crl() -> None:
    """Certificate revocation lists of the manufacturer and of customers."""


@crl.command("import")
@store_options()
@registry_option
@click.option("--file", "path", type=PATH, required=True, help="The list (PEM).")
def import_list(
    store: Place, passphrase_file: Path | None, passphrase_hook: str | None, registry: str | None, path: Path
) -> None:
    """Take in a list; what is on it is refused from now on, and open sessions end."""
    from ..shell.operator import import_crl

    der = pem.read_crl(path)
    with open_central(store, registry, passphrase_file, passphrase_hook) as here, about(path):
        taken = import_crl(here, der, actor=actor())
    say(f"list {taken.number} of {fingerprint_text(taken.issuer)}: {len(taken.revoked)} certificates revoked")


@crl.command("send")
@store_options()
@registry_option
def send_list(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, registry: str | None) -> None:
    """Have the manufacturer's list wait for every module, so that it refuses revoked units."""
    from ..shell.operator import send_crl

    with open_central(store, registry, passphrase_file, passphrase_hook) as here:
        sent = send_crl(here, actor=actor())
    say(f"the manufacturer's list waits for {sent} modules")


@crl.command("export")
@place_options
@click.option("--issuer", type=PATH, required=True, help="Certificate of its issuer (PEM).")
@click.option("--out", type=PATH, required=True, help="Where to write the list (PEM).")
def export_list(store: Path | None, registry: str | None, issuer: Path, out: Path) -> None:
    """Write the newest list of an issuer, for openssl and other tools."""
    from ..protocol.keys.certificates import read_fingerprint

    fingerprint = read_fingerprint(pem.read_certificate(issuer))
    with opened_registry(store, registry) as opened:
        found = next((each for each in opened.crls() if each.issuer == fingerprint), None)
    if found is None:
        raise UsageError("no list of this issuer is here", who="central", got=fingerprint_text(fingerprint))
    pem.write_crl(out, found.der)
    say(f"list {found.number} written to {out}")


# How things stand ----------------------------------------------------------------------------------------------


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(store: Path | None, registry: str | None, as_json: bool) -> None:
    """Count what the registry holds, and check its audit trail."""
    from ..shell.operator import all_modules

    with opened_registry(store, registry) as opened:
        standings: dict[str, int] = {}
        for entry in all_modules(opened):
            standings[entry.standing.value] = standings.get(entry.standing.value, 0) + 1
        issuers, circular = opened.issuers(), len(_circular(opened))
        waiting = len(opened.attention().waiting)
        entries = _check_audit(opened)
    lost = sum(each.lost is not None for each in issuers)
    facts: dict[str, object] = {
        "modules": standings,
        "issuers": len(issuers),
        "issuers_disabled": lost,
        "issuers_circular": circular,
        "modules_with_something_waiting": waiting,
        "audit_entries": entries,
    }
    worth = f", {circular} circular ({PLAUSIBILITY})" if circular else ""
    counted = ", ".join(f"{count} {standing}" for standing, count in sorted(standings.items())) or "none"
    emit(
        as_json,
        facts,
        f"modules: {counted}; issuers: {len(issuers)}, {lost} disabled{worth}; something waits for {waiting}; "
        f"audit trail: {entries} entries, whole",
    )


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def audit(store: Path | None, registry: str | None, as_json: bool) -> None:
    """Show the audit trail, and check that nothing in it was changed."""
    with opened_registry(store, registry) as opened:
        _check_audit(opened)
        after = 0
        while page := opened.audit(after=after):
            for each in page:
                at = datetime.fromtimestamp(each.at, UTC).isoformat()
                facts: dict[str, object] = {
                    "number": each.number,
                    "at": at,
                    "actor": each.actor,
                    "action": each.action,
                    "subject": each.subject,
                    "detail": each.detail,
                    "digest": each.digest.hex(),
                }
                text = f"{each.number}  {at}  {each.actor} {each.action} {each.subject}: {each.detail}"
                emit(as_json, facts, json.dumps(text, ensure_ascii=False)[1:-1])
            after = page[-1].number


def _check_audit(opened: Registry) -> int:
    after, previous = 0, bytes(32)
    while page := opened.audit(after=after):
        check_chain(page, previous)
        after, previous = page[-1].number, page[-1].digest
    return after


def add_commands(central: click.Group) -> None:
    """Put these commands under the noun."""
    for command in (modules, disable, enable, reset, instruct, transactions, load_key, crl, status, audit):
        central.add_command(command)
