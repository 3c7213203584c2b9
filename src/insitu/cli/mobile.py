"""insitu mobile: what conveys a number from a module to its unit (trust option conveyed): init, convey."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
import trio

from ..protocol.engine import UsageError
from ..protocol.keys.certificates import fingerprint_text, key_digest
from ..protocol.messages import CallReported
from ..protocol.stores.sealed import StoreKind
from ..shell import far_link, pem
from ..shell.far_link import ByChannel, ByProvenLink, ByTelephone, FarLink
from ..shell.gateway import SimulatedOperator
from ..shell.mobile import Mobile, convey
from ..shell.passphrase import from_file
from ..shell.places import Place
from ..shell.reaching import reach
from ..shell.serving import while_serving
from ..transports.links import Address
from .common import (
    PATH,
    WAIT,
    Group,
    Teller,
    check_place,
    create_store,
    open_store,
    parse_local,
    read_fingerprint,
    run_async,
    say,
    store_options,
)


@click.group(cls=Group)
def mobile() -> None:
    """What goes around the channel: a number, from a module to its unit (--trust conveyed)."""


@mobile.command()
@store_options()
@click.option("--name", required=True, help="Name of the mobile.")
@click.option("--request", type=PATH, help="Where to write a request (PKCS#10, PEM) that shows our key.")
def init(
    store: Place, passphrase_file: Path | None, passphrase_hook: str | None, name: str, request: Path | None
) -> None:
    """Make a mobile's key, for calls over a channel of ours; with TLS, a key file is used instead."""
    if request is not None:
        check_place(request)
    with create_store(store, StoreKind.MOBILE, passphrase_file, passphrase_hook) as vault:
        made = Mobile(vault)
        der = made.establish(name)
        if request is not None:
            pem.write_request(request, der)
        digest = key_digest(made.key.public)
    say(f"mobile {name}: our key {fingerprint_text(digest)}: tell it to who has the unit, whose file of mobiles needs")
    say(f"key {digest.hex()} {name}")


@mobile.command("convey")
@click.option("--serial", required=True, help="The module at which you stand; the mobile serves no other.")
@click.option("--module", required=True, help="The local link to it: serial:PATH, bluetooth:DEVICE/CHANNEL.")
@click.option(
    "--paired-by-comparison",
    is_flag=True,
    help="I answer for it that module and mobile were paired by comparing numbers on both displays (Bluetooth).",
)
@click.option(
    "--unit",
    help="Where the unit takes calls: tls:HOST:PORT?ca=FILE&certificate=FILE&key=FILE, or tcp:HOST:PORT for a channel "
    "of ours, with --store and --unit-key.",
)
@click.option(
    "--through-module", is_flag=True, help="Reach the unit through the module (insitu module run --mobile-through)."
)
@store_options(required=False)
@click.option("--unit-key", help="SHA-256 of the unit's key, learned over another path (insitu card status).")
@click.option(
    "--operator", help="tcp:127.0.0.1:PORT of a simulated network, to call by telephone instead (--sim-file)."
)
@click.option("--sim-file", type=PATH, help="What that knows us by: a file of mode 0600 or 0400.")
@click.option("--wait", type=WAIT, default=0.0, help="Seconds to go on trying to reach the module.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def convey_number(
    serial: str,
    module: str,
    paired_by_comparison: bool,
    unit: str | None,
    through_module: bool,
    store: Place | None,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    unit_key: str | None,
    operator: str | None,
    sim_file: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Take a number from the module at hand to its unit, and bring back the unit's word.

    Plug in before or after the unit has met the module. Ends with 3 if the unit does not vouch: then somebody may sit
    between module and unit, or this is not the module that the unit meets.
    """
    teller = Teller(as_json=as_json)
    near = parse_local(module, paired_by_comparison=paired_by_comparison)
    with ExitStack() as opened:
        if operator is not None:
            far = _by_telephone(operator, sim_file, unit)
        elif unit is None:
            raise UsageError("where the unit takes calls", who="mobile", expected="--unit or --operator", got="neither")
        else:
            where = Address.parse(unit)
            dial = far_link.through_module(where) if through_module else far_link.directly(where)
            if where.kind == "tls":
                far = ByProvenLink(dial)
            elif where.kind != "tcp" or store is None or unit_key is None:
                expected = "--unit tls:..., or --unit tcp:HOST:PORT with --store and --unit-key"
                raise UsageError("the way to the unit", who="mobile", expected=expected, got=unit)
            else:
                expected_unit = read_fingerprint(unit_key)
                vault = opened.enter_context(open_store(store, StoreKind.MOBILE, passphrase_file, passphrase_hook))
                here = Mobile(vault)
                far = ByChannel(dial, here.name, here.key, here.keys, expected_unit, show=teller.show)

        async def main() -> None:
            link = await reach(near, seconds=wait)
            await convey(link.stream, serial, far, show=teller.show)

        run_async(main)


def _by_telephone(operator: str, sim_file: Path | None, unit: str | None) -> FarLink:
    if unit is not None or sim_file is None:
        got = "--unit as well" if unit is not None else "no --sim-file"
        raise UsageError("a call by telephone", who="mobile", expected="--operator with --sim-file", got=got)
    return ByTelephone(Address.parse(operator), from_file(sim_file).reveal())


@mobile.command("simulate-operator")
@click.option("--listen", required=True, help="tcp:127.0.0.1:PORT where phones call.")
@click.option("--unit", required=True, help="Where the unit awaits its network's gateway.")
@click.option(
    "--subscriber",
    "subscribers",
    multiple=True,
    required=True,
    help="+NUMBER=FILE: a number, and what its phone is known by (a file of mode 0600 or 0400).",
)
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def simulate_operator(listen: str, unit: str, subscribers: tuple[str, ...], as_json: bool) -> None:
    """Play a telephone network that reports caller numbers, to try them out at this machine."""
    teller = Teller(as_json=as_json)
    numbers: dict[bytes, str] = {}
    for subscriber in subscribers:
        number, _, file = subscriber.partition("=")
        numbers[from_file(Path(file)).reveal()] = CallReported(number).caller
    operator = SimulatedOperator(numbers, Address.parse(unit), tell=teller.error)

    async def main() -> None:
        ready = partial(teller.ready, "SIMULATED")
        await while_serving([partial(operator.serve, Address.parse(listen))], ready, trio.sleep_forever)

    run_async(main, serves=True)
