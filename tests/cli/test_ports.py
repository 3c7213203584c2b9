"""insitu ports: what is there, for people and for programs; nothing there is no mistake."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from commands import insitu
from serial.tools import list_ports

from insitu.cli import ports as command
from insitu.transports.ports import Port


@pytest.fixture
def there(monkeypatch):
    """One port and one adapter."""
    found = [SimpleNamespace(device="/dev/ttyNOPE0", description="USB Serial")]
    monkeypatch.setattr(list_ports, "comports", lambda: found)
    adapter = Port("bluetooth", "", "hci0", "", attests_wired=False)
    monkeypatch.setattr(command, "bluetooth_adapters", lambda: [adapter])


def test_for_people(there):
    ran = insitu("ports")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "serial:/dev/ttyNOPE0  USB Serial  not attested as wired",
        "bluetooth adapter hci0  not attested as wired",
    ]


def test_for_programs(there):
    ran = insitu("ports", "--json")
    assert ran.code == 0
    assert ran.json == [
        {
            "kind": "serial",
            "address": "serial:/dev/ttyNOPE0",
            "name": "/dev/ttyNOPE0",
            "description": "USB Serial",
            "attests_wired": False,
        },
        {"kind": "bluetooth", "address": "", "name": "hci0", "description": "", "attests_wired": False},
    ]


def test_a_wired_port(there, monkeypatch):
    port = Port("serial", "serial:/dev/ttyUSB0", "/dev/ttyUSB0", "", attests_wired=True)
    monkeypatch.setattr(command, "serial_ports", lambda: [port])
    assert insitu("ports").out.splitlines()[0] == "serial:/dev/ttyUSB0  wired"


def test_nothing_there(there, monkeypatch):
    monkeypatch.setattr(command, "serial_ports", list)
    monkeypatch.setattr(command, "bluetooth_adapters", list)
    ran = insitu("ports")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "no serial port and no Bluetooth adapter\n"
    ran = insitu("ports", "--json")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_without_pyserial(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "serial.tools", None)
    ran = insitu("ports")
    assert ran.code == 4
    assert "expected the extra 'serial'" in ran.err
