"""insitu ports: which serial ports and Bluetooth adapters are there."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..transports.ports import bluetooth_adapters, serial_ports
from .common import emit


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")
def ports(as_json: bool) -> None:
    """List serial ports and Bluetooth adapters.

    "wired" says that the port attests by itself that a cable is behind it, as --trust physical wants. It is no mistake
    if there is none.
    """
    found = serial_ports() + bluetooth_adapters()
    for port in found:
        wired = "wired" if port.attests_wired else "not attested as wired"
        parts = [port.address or f"bluetooth adapter {port.name}", port.description, wired]
        emit(as_json, asdict(port), "  ".join(part for part in parts if part))
    if not found and not as_json:
        click.echo("no serial port and no Bluetooth adapter", err=True)
