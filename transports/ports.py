"""What ports and adapters this machine has, for people who look for the address of a link."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from .errors import Unsupported
from .serial.infrared import is_infrared
from .serial.port import is_wired

_ADAPTERS: Final = Path("/sys/class/bluetooth")


@dataclass(frozen=True, slots=True)
class Port:
    """A port or adapter.

    Attributes:
        kind: which transport uses it.
        address: of a link over it; empty for an adapter, whose links have the other device's address.
        name: device path or adapter.
        description: what the system says of it; empty if nothing.
        attests_wired: as far as its name and number tell before it is opened (A1).

    """

    kind: Literal["serial", "bluetooth"]
    address: str
    name: str
    description: str
    attests_wired: bool


def serial_ports() -> list[Port]:
    """The serial ports that the system lists, by name.

    Raises:
        Unsupported: pyserial is not installed.

    """
    try:
        from serial.tools import list_ports
    except ImportError as error:
        raise Unsupported(
            "pyserial is not installed", who="ports", expected="the extra 'serial'", got="none"
        ) from error
    return [
        Port("serial", f"serial:{found.device}", found.device, _said(found.description), _attests(found.device))
        for found in sorted(list_ports.comports(), key=lambda found: str(found.device))
    ]


def bluetooth_adapters(adapters: Path = _ADAPTERS) -> list[Port]:
    """The adapters that the kernel shows; none where it shows none (other systems than Linux)."""
    usable = "" if hasattr(socket, "AF_BLUETOOTH") else "this Python was built without Bluetooth"
    try:
        names = sorted(each.name for each in adapters.iterdir() if ":" not in each.name)
    except OSError:
        return []
    return [Port("bluetooth", "", name, usable, attests_wired=False) for name in names]


def _said(description: str | None) -> str:
    return "" if description in (None, "n/a") else str(description)


def _attests(path: str) -> bool:
    if sys.platform == "win32":
        return False
    try:
        device = os.stat(path).st_rdev  # noqa: PTH116 - what pyserial names
    except OSError:
        return False
    return is_wired(path, device) and not is_infrared(path)
