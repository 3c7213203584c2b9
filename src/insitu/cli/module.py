"""insitu module: the security module at its place: run, status, reset."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import trio

from ..protocol.engine import StateError, UsageError
from ..protocol.keys.certificates import fingerprint_text, is_circular
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.parties.module_data import ModuleState
from ..protocol.stores.sealed import StoreKind
from ..shell.keypad import Keypad, plugged, terminal
from ..shell.local_link import LocalPort
from ..shell.module import Module
from ..shell.passphrase import passphrase
from ..shell.places import Place
from ..shell.programs import ModuleProgram, input_lines
from ..shell.serving import while_serving
from ..transports.links import Address, open_link
from .common import (
    OPTIONS,
    PATH,
    STORE,
    Group,
    Teller,
    confirm,
    emit,
    open_store,
    parse_link,
    parse_local,
    run_async,
    say,
    store_options,
    trust_options,
)

if TYPE_CHECKING:
    from ..protocol.stores.counter import MonotonicCounter

F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Group)
def module() -> None:
    """The security module at its place in the ATM."""


def counter_options(command: F) -> F:
    """--counter-file and --counter-hook."""
    for name, text in (
        ("--counter-file", "A monotonic counter in a file on other storage than the store's; see adopt-counter."),
        ("--counter-hook", "A monotonic counter behind a command: COMMAND read, COMMAND advance N."),
    ):
        command = click.option(name, type=PATH if name.endswith("file") else str, help=text)(command)
    return command


def _counter(file: Path | None, hook: str | None) -> MonotonicCounter | None:
    from ..protocol.stores.counter import FileCounter
    from ..shell.counter import CommandCounter

    if file is not None and hook is not None:
        raise UsageError("one counter", who="module", expected="--counter-file or --counter-hook", got="both")
    if file is not None:
        return FileCounter(file)
    return None if hook is None else CommandCounter(shlex.split(hook))


@module.command()
@store_options()
@counter_options
@partial(trust_options, link_required=False)
@click.option(
    "--unit", help="tcp:HOST:PORT of a unit in the network, to be personalized by; instead of --link or besides."
)
@click.option("--tan-file", type=PATH, help="The TAN, in a file of mode 0600 or 0400; else the operator is asked.")
@click.option(
    "--keypad", help="Where the operator keys in the TAN, if not at the terminal: serial:PATH or device:PATH."
)
@click.option("--token", type=STORE, help="The operator's token with the TAN (insitu tan seal); then nobody is asked.")
@click.option("--token-passphrase-file", type=PATH, help="File of mode 0600 or 0400 that unseals the token.")
@click.option("--token-passphrase-hook", help="Command whose output unseals the token.")
@click.option("--mobile", help="Local link for a mobile (--trust conveyed): serial:PATH, bluetooth:*/CHANNEL.")
@click.option(
    "--paired-by-comparison",
    is_flag=True,
    help="I answer for it that module and mobile were paired by comparing numbers on both displays (Bluetooth).",
)
@click.option(
    "--mobile-through",
    help="tcp:HOST:PORT where the unit takes calls, for mobiles that have no network of their own.",
)
@click.option("--legacy-methods", is_flag=True, help="Admit TDES keys, retail MACs and PIN blocks of formats 0 and 3.")
@click.option("--central", help="tcp:HOST:PORT of the central system, to work with while operating.")
@click.option("--once", is_flag=True, help="End when the module operates.")
@click.option("--requests", is_flag=True, help="Take the ATM controller's requests as lines of JSON on standard input.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def run(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    counter_file: Path | None,
    counter_hook: str | None,
    link: str | None,
    trust: str,
    declare_wired: bool,
    declare_numeric_comparison: bool,
    unit: str | None,
    tan_file: Path | None,
    keypad: str | None,
    token: Place | None,
    token_passphrase_file: Path | None,
    token_passphrase_hook: str | None,
    mobile: str | None,
    paired_by_comparison: bool,
    mobile_through: str | None,
    legacy_methods: bool,
    central: str | None,
    once: bool,
    requests: bool,
    as_json: bool,
) -> None:
    """Wait for units at the link, work with the host.

    Runs until it is interrupted. Requests: {"authorize": {"card": "...", "account": "...", "amount": 5000, "currency":
    "EUR"}}, {"settle": {"number": 1, "paid": 5000}}, {"send": "HEX"}, {"take": 1} and {"reset": "by hand"}.
    """
    teller = Teller(as_json=as_json)
    if link is None and unit is None:
        raise UsageError("where units are", who="module", expected="--link or --unit", got="neither")
    where = None if link is None else parse_link(link, trust, numeric_comparison=declare_numeric_comparison)
    service = None if unit is None else parse_link(unit, trust)
    if service is not None and service.kind != "tcp":
        raise UsageError("a unit in the network", who="module", expected="--unit tcp:HOST:PORT", got=unit)
    host = None if central is None else Address.parse(central)
    pad = _pad(keypad, teller)
    if mobile is not None and trust != "conveyed":
        raise UsageError("--mobile", who="module", expected="--trust conveyed", got=f"--trust {trust}")
    near, port = _local_port(mobile, mobile_through, teller, paired_by_comparison=paired_by_comparison)
    if token is not None and (trust != "tan" or tan_file is not None):
        got = "--tan-file" if trust == "tan" else f"--trust {trust}"
        raise UsageError("--token", who="module", expected="--trust tan, and no --tan-file", got=got)
    with ExitStack() as opened:
        vault = opened.enter_context(open_store(store, StoreKind.MODULE, passphrase_file, passphrase_hook))
        plugged = None
        if token is not None:
            opening = token_passphrase_file, token_passphrase_hook
            plugged = opened.enter_context(open_store(token, StoreKind.TOKEN, *opening))
        here = Module(
            vault,
            counter=_counter(counter_file, counter_hook),
            legacy=legacy_methods,
            enter=_enter(tan_file),
            pad=None if tan_file is not None else pad,
            token=plugged,
            mobile=None if near is None else port.open,
            show=teller.show,
        )
        if here.state is ModuleState.BLANK:
            raise StateError("the module was never delivered", who="module", expected="a delivered module", got="blank")
        if trust == "certificates" and here.record.identity is None:
            raise UsageError("this module has no identity", who="module", expected="--trust physical", got=trust)
        here.check_option(OPTIONS[trust])
        if once and here.state is ModuleState.OPERATING:
            teller.error(f"module {here.record.serial} operates already: to be personalized it must be reset first")
        program = ModuleProgram(
            here,
            where,
            OPTIONS[trust],
            declared_wired=declare_wired,
            unit=service,
            central=host,
            tell=teller.error,
            once=once,
        )

        async def main() -> None:
            lines = input_lines() if requests else None
            ports = [] if near is None else [partial(port.serve, near)]
            run = partial(program.run, ready=lambda at: teller.ready(here.state.name, at), requests=lines)
            await while_serving(ports, teller.mobiles, run)

        run_async(main, serves=True)


def _local_port(
    mobile: str | None, through: str | None, teller: Teller, *, paired_by_comparison: bool
) -> tuple[Address | None, LocalPort]:
    """Where mobiles are plugged in, if anywhere, and what happens there.

    Raises:
        UsageError: somebody else may be on such a link.

    """
    near = None if mobile is None else parse_local(mobile, paired_by_comparison=paired_by_comparison)
    if through is None:
        return near, LocalPort(tell=teller.error)
    unit = Address.parse(through)
    if near is None or unit.kind != "tcp":
        expected = "--mobile ADDRESS --mobile-through tcp:HOST:PORT"
        raise UsageError("a mobile's way through the module", who="module", expected=expected, got=through)

    async def reach_unit() -> trio.abc.Stream:
        return (await open_link(unit)).stream

    return near, LocalPort(tell=teller.error, reach_unit=reach_unit)


def _enter(tan_file: Path | None) -> Callable[[str], str]:
    """For where there is no pad: out of a file, or from a terminal that cannot be waited on."""

    def enter(peer: str) -> str:
        prompt = f"{peer} is there. TAN: ".encode("unicode_escape").decode()
        return passphrase(file=tan_file, prompt=prompt).reveal().decode(errors="replace")

    return enter


def _pad(keypad: str | None, teller: Teller) -> Keypad | None:
    """The pad that is plugged in, or the terminal.

    Raises:
        UsageError: nothing that a pad can be plugged into.

    """
    if keypad is None:
        return None if sys.platform == "win32" else Keypad(terminal, show=teller.show)
    where = Address.parse(keypad)
    if where.kind not in ("serial", "device"):
        raise UsageError("no place for a pad", who="module", expected="--keypad serial:PATH or device:PATH", got=keypad)
    return Keypad(plugged(where), show=teller.show)


@module.command()
@store_options()
@counter_options
@click.option("--secret-file", type=PATH, help="File of mode 0600 or 0400 with the secret; else it is asked for.")
def secret(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    counter_file: Path | None,
    counter_hook: str | None,
    secret_file: Path | None,
) -> None:
    """Tell the module a secret that the unit is told, too (--trust secret)."""
    with open_store(store, StoreKind.MODULE, passphrase_file, passphrase_hook) as vault:
        here = Module(vault, counter=_counter(counter_file, counter_hook))
        serial = here.record.serial
        here.agree_on(passphrase(file=secret_file, prompt="Secret: ", new=True).reveal())
        say(f"module {serial} keeps the secret")


@module.command()
@store_options()
@counter_options
def unlock(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    counter_file: Path | None,
    counter_hook: str | None,
) -> None:
    """Let attempts at the module's secret go on after five wrong ones."""
    with open_store(store, StoreKind.MODULE, passphrase_file, passphrase_hook) as vault:
        here = Module(vault, counter=_counter(counter_file, counter_hook))
        wrong = here.unlock()
        say(f"module {here.record.serial} is unlocked, {wrong} wrong attempts are forgotten")


@module.command("adopt-counter")
@store_options()
@counter_options
@click.option("--yes", is_flag=True, help="Do not ask.")
def adopt_counter(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    counter_file: Path | None,
    counter_hook: str | None,
    yes: bool,
) -> None:
    """Let a new or reset monotonic counter stand for the store as it is now.

    From then on older copies of the store are noticed. Whether this one is older already, nobody can tell.
    """
    from ..protocol.stores.counter import FileCounter, adopt

    with open_store(store, StoreKind.MODULE, passphrase_file, passphrase_hook) as vault:
        record = Module(vault).record
        if not yes:
            confirm(
                f"Is this the newest store of module {record.serial}, written {record.generation} times?", who="module"
            )
        if counter_file is not None and counter_hook is None and not counter_file.exists():
            FileCounter.create(counter_file, record.generation)
        else:
            counter = _counter(counter_file, counter_hook)
            if counter is None:
                raise UsageError("which counter?", who="module", expected="--counter-file or --counter-hook")
            adopt(counter, record.generation)
    say(f"module {record.serial}: the counter stands at {record.generation}")


@module.command()
@store_options()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, as_json: bool) -> None:
    """State, epoch and certificate of the module."""
    with open_store(store, StoreKind.MODULE, passphrase_file, passphrase_hook) as vault:
        record = Module(vault).record
    fingerprint = None if record.fingerprint is None else fingerprint_text(record.fingerprint)
    facts: dict[str, object] = {
        "serial": record.serial,
        "state": record.condition.name.lower(),
        "epoch": record.epoch,
        "identity": record.identity is not None,
        "certificate": fingerprint,
        "circular": record.customer is not None and is_circular(record.customer),
    }
    worth = f"; its customer's certificate is circular: {PLAUSIBILITY}" if facts["circular"] else ""
    emit(
        as_json,
        facts,
        f"module {record.serial}: {facts['state']}, epoch {record.epoch}, {fingerprint or 'no certificate'}{worth}",
    )


@module.command()
@store_options()
@counter_options
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    counter_file: Path | None,
    counter_hook: str | None,
    yes: bool,
) -> None:
    """Erase the operating key and certificates, by hand at the module."""
    with open_store(store, StoreKind.MODULE, passphrase_file, passphrase_hook) as vault:
        here = Module(vault, counter=_counter(counter_file, counter_hook))
        if not yes and here.state is ModuleState.OPERATING:
            confirm(
                f"Erase the operating key of module {here.record.serial}? It has to be personalized again.",
                who="module",
            )
        epoch = here.reset_by_hand()
        say(f"module {here.record.serial}: key and certificates erased, epoch {epoch} begins")
