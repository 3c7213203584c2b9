"""What `insitu ports` finds; the system's lists are set up, since nobody knows what hangs on the machine of a test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from serial.tools import list_ports

from insitu.transports import ports
from insitu.transports.errors import Unsupported
from insitu.transports.links import Address
from insitu.transports.ports import bluetooth_adapters, serial_ports


@pytest.fixture
def listed(monkeypatch):
    """Two ports, of which the second one is wired."""
    found = [
        SimpleNamespace(device="/dev/null", description="USB Serial"),
        SimpleNamespace(device="/dev/nil", description="n/a"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: found)
    monkeypatch.setattr(ports, "is_wired", lambda path, _: path == "/dev/null")


def test_serial_ports(listed):
    first, second = serial_ports()
    assert (first.name, first.description, first.attests_wired) == ("/dev/nil", "", False)
    assert (second.name, second.description, second.attests_wired) == ("/dev/null", "USB Serial", True)
    assert Address.parse(second.address).place == "/dev/null"


def test_infrared_attests_nothing(listed, monkeypatch):
    monkeypatch.setattr(ports, "is_infrared", lambda _: True)
    assert not any(port.attests_wired for port in serial_ports())


def test_adapters(tmp_path, monkeypatch):
    for name in ("hci1", "hci0", "hci0:256"):
        (tmp_path / name).mkdir()
    monkeypatch.delattr(ports.socket, "AF_BLUETOOTH", raising=False)
    assert [(port.name, port.address, port.attests_wired) for port in bluetooth_adapters(tmp_path)] == [
        ("hci0", "", False),
        ("hci1", "", False),
    ]
    assert "without Bluetooth" in bluetooth_adapters(tmp_path)[0].description
    monkeypatch.setattr(ports.socket, "AF_BLUETOOTH", 31, raising=False)
    assert bluetooth_adapters(tmp_path)[0].description == ""
    assert bluetooth_adapters(tmp_path / "none") == []


def test_without_pyserial(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "serial.tools", None)
    with pytest.raises(Unsupported, match="extra 'serial'"):
        serial_ports()
