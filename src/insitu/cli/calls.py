"""Options of a unit that mobiles call (trust option conveyed), shared by its commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

import click

from ..protocol.engine import UsageError
from ..protocol.messages import NumberMaker, TrustOption
from ..shell.calls import Calls, KnownMobiles, Switchboard
from ..shell.gateway import GatewayAtPort
from ..shell.keeping import Show
from ..shell.serving import Serve
from ..transports.links import Address
from .common import PATH

MAKERS: Final = {maker.name.lower(): maker for maker in NumberMaker}


@dataclass(frozen=True)
class CallOptions:
    """What the operator said of mobiles.

    Attributes:
        mobiles: file of those that are believed.
        calls: where they call.
        gateway: where a network's gateway calls.
        maker: who makes the number.

    """

    mobiles: Path | None
    calls: tuple[str, ...]
    gateway: str | None
    maker: NumberMaker


def call_options(prefix: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """--mobiles, --calls, --gateway and --number-by, which the command gets as one CallOptions: `conveyed`."""
    options = (
        click.option(
            f"--{prefix}mobiles", type=PATH, help="File of the mobiles that are believed (trust option conveyed)."
        ),
        click.option(
            f"--{prefix}calls",
            multiple=True,
            help="Where they call: tls:HOST:PORT?..., by certificate, or tcp:HOST:PORT, over a channel of ours.",
        ),
        click.option(
            f"--{prefix}gateway", help="Where the gateway of a telephone network calls, which reports caller numbers."
        ),
        click.option(
            f"--{prefix}number-by",
            type=click.Choice(sorted(MAKERS)),
            default="unit",
            show_default=True,
            help="Who makes the number that is conveyed.",
        ),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def collected(**given: Any) -> None:  # noqa: ANN401 - click's
            mobiles, calls, gateway, maker = (
                given.pop(f"{prefix}{name}".replace("-", "_")) for name in ("mobiles", "calls", "gateway", "number_by")
            )
            command(conveyed=CallOptions(mobiles, calls, gateway, MAKERS[maker]), **given)

        for option in reversed(options):
            collected = option(collected)
        return collected

    return decorate


def switchboard(option: TrustOption, said: CallOptions, show: Show) -> Switchboard | None:
    """Where sessions and mobiles meet; None under another trust option.

    Raises:
        UsageError: the two do not go together, or nobody is believed, or can call.

    """
    if option is not TrustOption.CONVEYED:
        if said.mobiles is not None or said.calls or said.gateway is not None:
            raise UsageError("mobiles", who="unit", expected="--trust conveyed", got=f"--trust {option.text}")
        return None
    if said.mobiles is None or not (said.calls or said.gateway):
        expected = "--mobiles FILE, and --calls or --gateway"
        raise UsageError("trust option conveyed", who="unit", expected=expected, got="no mobile that could call")
    board = Switchboard(KnownMobiles(said.mobiles), maker=said.maker, show=show)
    if not board.known():
        raise UsageError(f"{said.mobiles} names no mobile", who="unit", expected="one at least", got="none")
    return board


def call_ports(calls: Calls | None, said: CallOptions, tell: Callable[[str], None]) -> list[Serve]:
    """The ports where mobiles call.

    Raises:
        AddressError, UsageError: no such address, or none for this.

    """
    if calls is None:
        return []
    ports: list[Serve] = [partial(calls.serve, Address.parse(each)) for each in said.calls]
    if said.gateway is not None:
        gateway = GatewayAtPort(Address.parse(said.gateway), tell=tell)
        ports.append(partial(calls.serve_gateway, gateway))
    return ports
