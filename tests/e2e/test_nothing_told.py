"""S9 over a whole life with real files and processes: no PIN, clear PIN block, key or key that wraps keys is in any
file that a program wrote, in anything that it said, or in a traceback of an error that somebody provoked.

What people bring (PINs, passphrases, components, a key block's protection key) lies in files of their own, which are
not looked at. What is in sealed files is learnt by opening copies of them.
"""

from __future__ import annotations

import random
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_processes import Process, running
from commands import CARD_NUMBER, PASSPHRASES, PINS, SERIAL, Estate, done, write_secret
from eavesdropper import forms

from insitu.protocol.engine import SecretAlgorithm, SecretUsage
from insitu.protocol.keys.keyblock import write_block
from insitu.protocol.keys.methods import check_value
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret

PIN = "739146820517"
"""Of a customer: long enough to be found nowhere by chance."""
CONTROLLER = """
import json, logging, sys, time, traceback
from pathlib import Path
from insitu.embed import Controller
from insitu.protocol.engine import InsituError, PinFormat

logging.basicConfig(level=logging.DEBUG)
store, passphrase, central, errors = sys.argv[1:]
log = Path(errors).open("a")
card, pin = sys.stdin.readline().split()

def provoked(call, *words, **named):
    try:
        call(*words, **named)
    except InsituError as error:
        traceback.print_exc(file=log)
        print(repr(error), vars(error), file=log, flush=True)
    else:
        raise SystemExit("accepted")

provoked(Controller(Path(store), passphrase_file=Path(errors + ".none")).start)
with Controller(Path(store), passphrase_file=Path(passphrase), central=central, legacy=True, on_note=lambda note: print(
        "note", note, flush=True)) as module:
    while not module.status().online:
        time.sleep(0.05)
    answer = module.authorize(card, "DE02120300000000202051", 5000, "EUR")
    module.settle(answer.number, answer.amount)
    print("said", answer, module, flush=True)
    for command in iter(sys.stdin.readline, ""):
        value, *wanted = json.loads(command)
        while value not in module.status().check_values.values():
            time.sleep(0.05)
        for one in wanted:
            if one == "retail":
                module.mac(pin.encode(), retail=True)
                provoked(module.mac, pin.encode())
            else:
                module.encrypt_pin_block(pin, card, PinFormat(one))
        provoked(module.encrypt_pin_block, pin + "1", card)
        provoked(module.encrypt_pin_block, pin + "x", card)
        provoked(module.encrypt_pin_block, pin, card + "12345")
        provoked(module.mac, pin)
        provoked(module.authorize, card + "x", "account", 1, "EUR")
        print("done", module.status(), flush=True)
"""


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A directory of what people bring."""
    directory = tmp_path / "brought"
    directory.mkdir()
    return directory


def components(brought: Path, key: bytes) -> tuple[list[str], list[bytes]]:
    """A key in two components, as options, and the components."""
    one = random.Random(1).randbytes(len(key))
    both = [one, bytes(a ^ b for a, b in zip(key, one, strict=True))]
    words = []
    for number, part in enumerate(both):
        text = f"{part.hex()} {check_value(SecretAlgorithm.AES, part)}"
        words += ["--component", str(write_secret(brought / f"component-{number}", text))]
    return words, both


def block(brought: Path, name: str, wrapping: bytes, usage: SecretUsage, key: bytes) -> list[str]:
    """A TDES key in a block of another system, as options."""
    text = write_block(wrapping, usage, SecretAlgorithm.TDES, key, secrets.token_bytes)
    protects = write_secret(brought / f"{name}.kbpk", wrapping.hex())
    return ["--block", str(write_secret(brought / f"{name}.block", text)), "--wrapping-key", str(protects)]


def sealed_keys(bank: Estate, brought: Path, party: str, when: str) -> Iterator[tuple[str, bytes]]:
    """Every key in a store now, by opening a copy."""
    copy = brought / f"{party} {when}"
    copy.write_bytes(bank.store(party).read_bytes())
    with SealedVault.open(copy, StoreKind(party), Secret(PASSPHRASES[party].encode()), entropy=bytes) as vault:
        for label in vault.labels():
            name = f"{party}: {label}, {when}"
            if vault.find(label) is not None:
                yield name, vault._keys.private_bytes_for_sealing(label)
            else:
                yield name, vault._keys.secret_bytes_for_sealing(label)


def load(bank: Estate, *words: str) -> None:
    about = ["--module", SERIAL, "--until", "2099-01-01T00:00:00Z", "--uses", "50"]
    done("central", "load-key", *bank.unsealed("central"), *about, *words)


def work(controller: Process, value: str, *wanted: object) -> None:
    """The controller waits for the key with this check value and uses it."""
    controller.write(f"{[value, *wanted]}\n".replace("'", '"').encode())
    controller.line(lambda line: line.startswith("done"), f"end of {wanted}")


def found_in(bank: Estate, known: dict[str, bytes], said: list[str]) -> list[str]:
    """Which of the secrets is where."""
    kept = {"said": "\n".join(said).encode()}
    for path in bank.directory.rglob("*"):
        if path.is_file() and path.suffix not in (".pin", ".passphrase"):
            kept[path.name] = path.read_bytes()
    assert {"central.store.db", "central.store.db-wal", "errors", "card.store", "module.store"} <= set(kept)
    return [
        f"{name} in {where}" for name, secret in known.items() for where, data in kept.items() if shows(secret, data)
    ]


def shows(secret: bytes, data: bytes) -> bool:
    return any(form in data for form in forms(secret))


def test_s9_a_life_with_a_pin_tells_no_secret(bank: Estate, brought: Path, monkeypatch: pytest.MonkeyPatch):
    (bank / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(bank / "temporary"))
    chance = random.Random(7)
    aes, tdes, retail, wrapping = (chance.randbytes(size) for size in (32, 24, 16, 32))
    said: list[str] = []
    known = {"PIN of a customer": PIN.encode(), "card number": CARD_NUMBER.encode()}
    known |= {f"PIN of {name}": pin.encode() for name, pin in PINS.items()}
    known |= {f"passphrase of {name}": text.encode() for name, text in PASSPHRASES.items()}
    known |= {"AES key": aes, "TDES key for PINs": tdes, "TDES key for MACs": retail, "protection key": wrapping}
    known["PIN field of format 4"] = bytes.fromhex(f"4C{PIN}AA")
    account = bytes.fromhex(CARD_NUMBER[-13:-1].rjust(16, "0"))
    known["PIN block of format 0"] = bytes(a ^ b for a, b in zip(bytes.fromhex(f"0C{PIN}FF"), account, strict=True))
    words, parts = components(brought, aes)
    known |= {f"component {number}": part for number, part in enumerate(parts)}

    with ExitStack() as stack:
        bank.approved("--module", SERIAL)
        with running(*bank.run_module("--once")) as module:
            said.append(done(*bank.personalize(module.note("Ready")["at"])).out)
            said += [(ran := module.wait()).out, ran.err]
        host = stack.enter_context(running(*bank.serve()))
        place = [str(bank.store("module")), str(bank / "module.passphrase"), host.note("Ready")["at"]]
        controller = stack.enter_context(running(*place, bank / "errors", program=("-c", CONTROLLER)))
        controller.write(f"{CARD_NUMBER} {PIN}\n".encode())
        controller.line(lambda line: line.startswith("said"), "first words")
        load(bank, "--usage", "pin", *words)
        work(controller, check_value(SecretAlgorithm.AES, aes), 4)
        load(bank, *block(brought, "retail", wrapping, SecretUsage.MAC, retail))
        work(controller, check_value(SecretAlgorithm.TDES, retail), "retail")
        load(bank, *block(brought, "pin", wrapping, SecretUsage.PIN, tdes))
        work(controller, check_value(SecretAlgorithm.TDES, tdes), 0, 3)
        load(bank, "--usage", "mac", "--bits", "256")
        for party in ("module", "central", "card", "manufacturer"):
            known |= dict(sealed_keys(bank, brought, party, "at work"))
        assert found_in(bank, known, [*said, controller.out, controller.err, host.out, host.err]) == []

        done("central", "reset", "--store", bank.store("central"), "--module", SERIAL, "--yes")
        controller.line(lambda line: "KeysErased" in line, "reset")
        host.note("ModuleReset")
        host.write(b'{"reset": "nobody"}\n')
        host.note("Error")
        controller.end(signal.SIGKILL)
        host.end(signal.SIGKILL)
        said += [controller.out, controller.err, host.out, host.err]
    for party in ("module", "central"):
        known |= dict(sealed_keys(bank, brought, party, "after the reset"))
    assert {"module: secret-3, at work", "central: storage, at work", "card: signing, at work"} <= set(known)
    assert "module: secret-3, after the reset" not in known
    assert "Traceback" in (bank / "errors").read_text()
    assert found_in(bank, known, said) == []
    for party in ("module", "central", "card"):
        for label in (b"operating-0", b"identity", b"secret-3", b"storage", b"signing"):
            assert label not in bank.store(party).read_bytes(), "labels are sealed, too"
    assert list((bank / "temporary").iterdir()) == []


@pytest.mark.parametrize("place", ["file", "words"])
def test_a_secret_would_be_found(bank: Estate, place: str):
    """In each form, wherever it is."""
    for name in ("central.store.db", "central.store.db-wal", "errors"):
        (bank / name).touch()
    secret = random.Random(3).randbytes(16)
    assert found_in(bank, {"key": secret}, []) == []
    for form in forms(secret):
        if place == "file":
            (bank / "errors").write_bytes(b"x" + form + b"y")
            assert found_in(bank, {"key": secret}, []) == ["key in errors"]
        else:
            text = [f"<{form.decode('latin-1')}>"]
            assert found_in(bank, {"key": secret}, text) == (["key in said"] if form.isascii() else [])
