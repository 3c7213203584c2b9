"""Link addresses: one line of text for a link over any transport, taken apart. Nothing is opened here.

    tcp:HOST:PORT                tcp:[::1]:4711, tcp:*:4711 (to listen at every address of this machine)
    tls:HOST:PORT?OPTIONS        the same inside TLS 1.3; ca=FILE&certificate=FILE&key=FILE, see `TlsOptions`
    serial:PATH[?baud=9600]      serial:/dev/ttyUSB0?baud=115200, serial:COM3
    serial:URL[?baud=9600]       serial:socket://HOST:PORT, serial:rfc2217://HOST:PORT, serial:loop://
    bluetooth:ADDRESS/CHANNEL    bluetooth:AA:BB:CC:DD:EE:FF/1, bluetooth:*/1 (to listen at any adapter)
    device:PATH[?baud=9600]      device:/dev/i2c-bridge: a character device or UNIX socket of the operating system
    memory:[NAME]                within one program (one trio run)

In the options of TLS, what is not plain (%, &, spaces) is written as %XX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from . import bluetooth, tcp
from .errors import AddressError
from .serial.infrared import is_infrared
from .serial.port import DEFAULT_BAUD
from .tls import TlsOptions

Kind: TypeAlias = Literal["memory", "tcp", "tls", "serial", "bluetooth", "device"]

_FORMS: Final = (
    "tcp:HOST:PORT, serial:PATH[?baud=N], tls:HOST:PORT?OPTIONS, bluetooth:ADDRESS/CHANNEL, device:PATH[?baud=N] "
    "or memory:[NAME]"
)
_NETWORK_PORT: Final = re.compile(r"(?:socket|rfc2217)://(?:[^/?#@\[\]:\s]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)
"""Serial ports of another machine, as pyserial writes them."""
_LOOP: Final = "loop://"
_PAIRING: Final = "pairing=numeric-comparison"
_TLS_OPTIONS: Final = ("ca", "certificate", "key", "name", "fingerprint", "crl")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Address:
    """A link address, taken apart.

    Attributes:
        kind: the transport.
        place: host, device path or name.
        port: of TCP and TLS; the channel of Bluetooth; 0 otherwise.
        baud: of serial lines and devices; 0 otherwise.
        tls: whom TLS trusts, and as whom; None otherwise.
        numeric_comparison: the operator declares that these two Bluetooth devices were paired by comparing numbers on
            both displays; a socket cannot tell.

    """

    kind: Kind
    place: str
    port: int = 0
    baud: int = 0
    tls: TlsOptions | None = None
    numeric_comparison: bool = False

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            AddressError: not one of the forms above.

        """
        kind, colon, rest = text.partition(":")
        if colon and kind == "tcp":
            return _parse_tcp(text, rest)
        if colon and kind == "tls":
            return _parse_tls(text, rest)
        if colon and kind == "serial":
            return _parse_serial(text, rest)
        if colon and kind == "device":
            return Address("device", *_path_and_baud(text, rest, "device"))
        if colon and kind == "bluetooth":
            return _parse_bluetooth(text, rest)
        if colon and kind == "memory":
            return cls("memory", rest)
        raise AddressError("not a link address", who="link", expected=_FORMS, got=repr(text))

    def __str__(self) -> str:
        """The address as text; parses to an equal one."""
        if self.kind == "tcp":
            return f"tcp:{tcp.place(self.place, self.port)}"
        if self.tls is not None:
            given = ((name, getattr(self.tls, name)) for name in _TLS_OPTIONS)
            options = "&".join(f"{name}={quote(value, safe='/:~*')}" for name, value in given if value)
            return f"tls:{tcp.place(self.place, self.port)}?{options}"
        if self.kind == "bluetooth":
            return f"bluetooth:{self.place}/{self.port}" + (f"?{_PAIRING}" if self.numeric_comparison else "")
        if self.kind in ("serial", "device"):
            return f"{self.kind}:{self.place}?baud={self.baud}"
        return f"{self.kind}:{self.place}"

    @property
    def is_url(self) -> bool:
        """A serial port that pyserial reaches in a way of its own."""
        return self.kind == "serial" and "://" in self.place

    @property
    def never_wired(self) -> str:
        """Why no declaration makes a wired local port of this (A1); empty where an operator may answer for it."""
        if self.kind in ("tcp", "tls") or (self.is_url and self.place != _LOOP):
            return "a network is never a wired local port"
        if self.kind == "bluetooth":
            return "Bluetooth is never a wired local port"
        if self.kind in ("serial", "device") and is_infrared(self.place):
            return "infrared is never a wired local port"
        return ""


def _parse_tcp(text: str, rest: str) -> Address:
    host, port = _host_and_port(text, rest, "tcp:HOST:PORT", "a TCP")
    return Address("tcp", host, port=port)


def _host_and_port(text: str, rest: str, form: str, what: str) -> tuple[str, int]:
    host, _, digits = rest.rpartition(":")
    port = _number(digits)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or port is None or port > tcp.LAST_PORT:
        expected = f"{form} with a port of 0 to {tcp.LAST_PORT}, IPv6 addresses in brackets"
        raise AddressError(f"not {what} address", who="link", expected=expected, got=repr(text))
    return host, port


def _parse_tls(text: str, rest: str) -> Address:
    place, _, query = rest.partition("?")
    host, port = _host_and_port(text, place, "tls:HOST:PORT?OPTIONS", "a TLS")
    pairs = [option.partition("=") for option in query.split("&")]
    given = {name: unquote(value) for name, _, value in pairs if value and name in _TLS_OPTIONS}
    if "fingerprint" in given:
        given["fingerprint"] = re.sub(r"[: ]", "", given["fingerprint"]).lower()
    complete = {"ca", "certificate", "key"} <= given.keys() and len(given) == len(pairs)
    if not complete or any("\0" in value for value in given.values()) or ("name" in given and "fingerprint" in given):
        expected = "ca=FILE&certificate=FILE&key=FILE, each once; if need be name=HOST or fingerprint=SHA256, crl=FILE"
        raise AddressError("not the options of a TLS address", who="link", expected=expected, got=repr(text))
    if "fingerprint" in given and not _FINGERPRINT.fullmatch(given["fingerprint"]):
        raise AddressError(
            "not a fingerprint", who="link", expected="SHA-256 in 64 hexadecimal digits", got=repr(given["fingerprint"])
        )
    return Address("tls", host, port=port, tls=TlsOptions(**given))


def _parse_serial(text: str, rest: str) -> Address:
    path, _, baud = _path_and_baud(text, rest, "serial")
    if "://" in path and path != _LOOP:
        network = _NETWORK_PORT.fullmatch(path)
        if network is None or not 0 < int(network[1]) <= tcp.LAST_PORT:
            expected = "serial:socket://HOST:PORT, serial:rfc2217://HOST:PORT or serial:loop://"
            raise AddressError("not the URL of a serial port", who="link", expected=expected, got=repr(text))
    return Address("serial", path, baud=baud)


def _path_and_baud(text: str, rest: str, kind: Kind) -> tuple[str, int, int]:
    """Path, port (none) and baud."""
    path, mark, query = rest.partition("?")
    name, _, value = query.partition("=") if mark else ("baud", "=", str(DEFAULT_BAUD))
    baud = _number(value) if name == "baud" else 0
    if not path or "\0" in path or not baud:
        expected = f"{kind}:PATH or {kind}:PATH?baud=N with N above 0"
        raise AddressError(f"not a {kind} address", who="link", expected=expected, got=repr(text))
    return path, 0, baud


def _parse_bluetooth(text: str, rest: str) -> Address:
    where, mark, query = rest.partition("?")
    device, _, digits = where.partition("/")
    channel = _number(digits)
    known = device == "*" or bluetooth.is_device(device)
    if not known or channel is None or channel not in bluetooth.CHANNELS or (mark and query != _PAIRING):
        expected = f"bluetooth:AA:BB:CC:DD:EE:FF/CHANNEL with a channel of 1 to 30, perhaps ?{_PAIRING}"
        raise AddressError("not a Bluetooth address", who="link", expected=expected, got=repr(text))
    return Address("bluetooth", device.upper(), port=channel, numeric_comparison=bool(mark))


def _number(text: str) -> int | None:
    """A decimal number of at most nine digits; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
