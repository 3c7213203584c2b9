"""Commands of trust option conveyed that must not begin: what is wrong is said, and nothing is opened or made."""

from __future__ import annotations

from hashlib import sha256

import pytest
from commands import SERIAL, Estate, certificate, done, refused, unchanged, write_secret
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DEVICE = "bluetooth:AA:BB:CC:DD:EE:FF/1"


@pytest.fixture
def phone(bank: Estate) -> list[str]:
    """A mobile with a key; options that open it."""
    write_secret(bank / "phone.passphrase", "a phone opens with kWqZ81")
    words = bank.unsealed("phone")
    done("mobile", "init", *words, "--name", "phone")
    return words


def fingerprint_of(public: object) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, as another library makes it."""
    assert isinstance(public, EllipticCurvePublicKey)
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def test_its_key_is_shown_as_others_read_it(bank: Estate):
    write_secret(bank / "phone.passphrase", "a phone opens with kWqZ81")
    words = ["mobile", "init", *bank.unsealed("phone"), "--name", "phone", "--request", str(bank / "phone.pem")]
    shown = done(*words).out
    request = x509.load_pem_x509_csr((bank / "phone.pem").read_bytes())
    assert request.is_signature_valid
    assert shown.splitlines()[-1] == f"key {fingerprint_of(request.public_key())} phone"
    with unchanged(bank):
        refused(2, *words, says=("phone.store",))


def test_the_units_key_is_that_of_its_certificate(bank: Estate):
    shown = done("card", "status", *bank.unsealed("card"), "--json").json[0]["unit_key"]
    assert bytes.fromhex(shown).hex() == fingerprint_of(certificate(bank / "unit.pem").public_key())
    assert f"unit's key {shown}" in done("card", "status", *bank.unsealed("card")).out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--mobile", DEVICE], "--paired-by-comparison"),
        (["--mobile", "tcp:192.0.2.1:1"], "somebody else may be on this local link"),
        (["--mobile", "serial:socket://192.0.2.1:1"], "a network is never"),
        (["--mobile", "serial:/dev/ttyUSB0", "--paired-by-comparison"], "is for Bluetooth"),
        (["--mobile", "memory:x"], "a link within one program"),
        (["--mobile-through", "tcp:127.0.0.1:1"], "--mobile ADDRESS"),
        (["--mobile", "serial:/dev/ttyUSB0", "--mobile-through", "serial:/dev/ttyUSB1"], "tcp:HOST:PORT"),
        ([], "a local link to a mobile"),
        (["--mobile", "serial:/dev/ttyUSB0", "--trust", "certificates"], "--trust conveyed"),
    ],
)
def test_a_modules_local_port(bank: Estate, words, says):
    with unchanged(bank):
        refused(2, *bank.run_module("--trust", "conveyed", *words), says=(says,))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--mobiles FILE, and --calls or --gateway"),
        (["--mobiles", "mobiles"], "no mobile that could call"),
        (["--calls", "tcp:127.0.0.1:0"], "--mobiles FILE"),
        (["--mobiles", "empty", "--calls", "tcp:127.0.0.1:0"], "names no mobile"),
        (["--mobiles", "wrong", "--calls", "tcp:127.0.0.1:0"], "wrong, line 1"),
        (["--mobiles", "none", "--calls", "tcp:127.0.0.1:0"], "file of mobiles"),
        (["--mobiles", "mobiles", "--calls", "serial:/dev/ttyUSB0"], "where mobiles call"),
        (["--mobiles", "mobiles", "--calls", "here"], "not a link address"),
        (["--mobiles", "mobiles", "--gateway", "tcp:*:1"], "anybody could report numbers there"),
        (["--trust", "certificates", "--mobiles", "mobiles"], "--trust conveyed"),
        (["--trust", "certificates", "--calls", "tcp:127.0.0.1:0"], "--trust conveyed"),
    ],
)
def test_where_mobiles_call_a_unit(bank: Estate, words, says):
    bank.approved("--module", SERIAL)
    (bank / "mobiles").write_text("caller +4930123456\n")
    (bank / "empty").write_text("# nobody\n")
    (bank / "wrong").write_text("Alice\n")
    words = [str(bank / word) if word in ("mobiles", "empty", "wrong", "none") else word for word in words]
    with unchanged(bank):
        refused(2, *bank.personalize("tcp:127.0.0.1:9", "--trust", "conveyed", *words), says=(says,))


def test_a_unit_in_the_network_needs_mobiles(bank: Estate):
    (bank / "mobiles").write_text("caller +4930123456\n")
    serve = ["unit", "serve", *bank.unsealed("card", "card"), "--listen", "tcp:127.0.0.1:0"]
    serve += ["--central", str(bank / "central.pem")]
    within = bank.serve(*bank.unsealed("card", "with-unit", "unit-"), "--unit-listen", "tcp:127.0.0.1:0")
    calls = ["--mobiles", str(bank / "mobiles"), "--calls", "tcp:127.0.0.1:0"]
    with unchanged(bank):
        refused(2, *serve, "--trust", "conveyed", says=("--mobiles FILE",))
        refused(2, *serve, *calls, says=("--trust conveyed",))
        refused(2, *within, "--unit-trust", "conveyed", says=("--mobiles FILE",))
        refused(2, *within, "--unit-calls", "tcp:127.0.0.1:0", says=("--trust conveyed",))
        refused(2, *bank.serve("--unit-calls", "tcp:127.0.0.1:0"), says=("--with-unit",))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--module", DEVICE, "--unit", "tcp:127.0.0.1:9"], "--paired-by-comparison"),
        (["--module", "tcp:192.0.2.1:1", "--unit", "tcp:127.0.0.1:9"], "somebody else may be"),
        (["--module", "tcp:127.0.0.1:9"], "--unit or --operator"),
        (["--module", "tcp:127.0.0.1:9", "--unit", "tcp:127.0.0.1:9"], "--store and --unit-key"),
        (["--module", "tcp:127.0.0.1:9", "--unit", "tcp:127.0.0.1:9", "--unit-key", "0" * 64], "--store and"),
        (["--module", "tcp:127.0.0.1:9", "--unit", "serial:/dev/ttyUSB0"], "--unit tls:..."),
        (["--module", "tcp:127.0.0.1:9", "--operator", "tcp:127.0.0.1:9"], "--sim-file"),
        (
            ["--module", "tcp:127.0.0.1:9", "--operator", "tcp:127.0.0.1:9", "--unit", "tcp:127.0.0.1:9"],
            "--unit as well",
        ),
    ],
)
def test_a_mobiles_ways(bank: Estate, words, says):
    with unchanged(bank):
        refused(2, "mobile", "convey", "--serial", SERIAL, *words, says=(says,))


def test_a_units_key_that_is_none(bank: Estate, phone):
    words = ["--serial", SERIAL, "--module", "tcp:127.0.0.1:9", "--unit", "tcp:127.0.0.1:9", *phone]
    with unchanged(bank):
        refused(2, "mobile", "convey", *words, "--unit-key", "0" * 63, says=("64 hexadecimal digits",))
        refused(4, "mobile", "convey", *words, "--unit-key", "0" * 64, says=("nobody listens there",))


def test_a_simulated_operator(bank: Estate):
    sim = write_secret(bank / "sim", "what the SIM proves")
    words = ["mobile", "simulate-operator", "--listen", "tcp:127.0.0.1:0", "--unit", "tcp:127.0.0.1:9"]
    refused(2, *words, "--subscriber", f"030123456={sim}", says=("caller",))
    refused(2, *words, "--subscriber", "+4930123456=none", says=("file none",))
    words[3] = "tcp:*:0"
    refused(2, *words, "--subscriber", f"+4930123456={sim}", says=("a simulation",))
