"""Trust option conveyed by the commands (A9): module, unit and mobile in processes of their own, over every way."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_processes import Process, running, serial_line
from commands import SERIAL, Estate, Words, done, insitu, write_secret
from soft_token import SoftTokens
from tls_files import Authority

from insitu.protocol.messages import NumberMaker

TRUST = ("--trust", "conveyed")
MAKERS = pytest.mark.parametrize("maker", [maker.name.lower() for maker in NumberMaker])


def phone(bank: Estate, name: str = "phone") -> str:
    """A mobile with a key of its own; the line by which a unit knows it."""
    write_secret(bank / f"{name}.passphrase", "a phone opens with kWqZ81")
    lines = done("mobile", "init", *bank.unsealed(name), "--name", name).out.splitlines()
    assert lines[-1].startswith("key ")
    return lines[-1]


def list_of(bank: Estate, *lines: str) -> Path:
    file = bank / "mobiles"
    file.write_text("# mobiles that may convey\n" + "".join(f"{line}\n" for line in lines))
    return file


def by_key(bank: Estate, name: str = "phone") -> Words:
    """How this mobile proves itself, and knows the unit."""
    unit = done("card", "status", *bank.unsealed("card"), "--json").json[0]["unit_key"]
    return [*bank.unsealed(name), "--unit-key", unit]


def at_module(bank: Estate, *options: str, mobile: str = "tcp:127.0.0.1:0", link: str = "tcp:127.0.0.1:0") -> Words:
    return bank.run_module(*TRUST, "--mobile", mobile, *options, link=link)


def at_unit(bank: Estate, link: str, *options: str) -> Words:
    return bank.personalize(link, *TRUST, "--mobiles", str(bank / "mobiles"), *options)


def convey(module: str, unit: str, *options: str, serial: str = SERIAL) -> Words:
    return ["mobile", "convey", "--serial", serial, "--module", module, "--unit", unit, "--json", *options]


def places(module: Process) -> tuple[str, str]:
    """Where mobiles and units come to."""
    mobile = str(module.note("MobilesMayCome")["at"])
    return mobile, str(module.note("Ready")["at"])


@MAKERS
def test_over_a_channel_of_ours_whoever_makes_the_number(bank: Estate, maker):
    list_of(bank, phone(bank))
    bank.approved("--module", SERIAL)
    proof = by_key(bank)
    with running(*at_module(bank, "--once")) as module:
        near, link = places(module)
        with running(*at_unit(bank, link, "--calls", "tcp:127.0.0.1:0", "--number-by", maker)) as unit:
            far = unit.note("MobilesMayCome")["at"]
            ran = insitu(*convey(near, far, *proof))
            assert ran.code == 0, ran.err
            assert unit.wait().code == 0
            assert module.wait().code == 0
    assert bank.status()["state"] == "operating"


def test_a_chip_card_holds_the_mobiles_key(bank: Estate, soft_tokens: SoftTokens):
    """A9: our own channel where the client key is on a card."""
    soft_tokens.clear()
    pin = write_secret(bank / "token.pin", soft_tokens.pin)
    token = ["--store", f"pkcs11:token=insitu?module-path={soft_tokens.library}&pin-source=file:{pin}"]
    list_of(bank, done("mobile", "init", *token, "--name", "phone").out.splitlines()[-1])
    bank.approved("--module", SERIAL)
    unit_key = by_key(bank)[-2:]
    with running(*at_module(bank, "--once")) as module:
        near, link = places(module)
        with running(*at_unit(bank, link, "--calls", "tcp:127.0.0.1:0")) as unit:
            far = unit.note("MobilesMayCome")["at"]
            ran = insitu(*convey(near, far, *token, *unit_key))
            assert ran.code == 0, ran.err
            assert unit.wait().code == 0
            assert module.wait().code == 0
    assert bank.status()["state"] == "operating"
    assert soft_tokens.labels("insitu") == {"insitu mobile mobile", "insitu mobile: seal"}


def test_over_serial_lines_the_mobiles_as_well(bank: Estate):
    list_of(bank, phone(bank))
    bank.approved("--module", SERIAL)
    proof = by_key(bank)
    with ExitStack() as stack:
        line, local = (stack.enter_context(serial_line()) for _ in range(2))
        module = stack.enter_context(running(*at_module(bank, "--once", mobile=local.right, link=line.right)))
        module.note("Ready")
        unit = stack.enter_context(running(*at_unit(bank, line.left, "--calls", "tcp:127.0.0.1:0")))
        far = unit.note("MobilesMayCome")["at"]
        ran = insitu(*convey(local.left, far, *proof))
        assert ran.code == 0, ran.err
        assert unit.wait().code == 0
        assert module.wait().code == 0
    assert bank.status()["state"] == "operating"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def tls(bank: Estate, name: str, port: int, *, authority: Authority) -> tuple[str, str]:
    """A TLS address with a certificate that is issued now, and the fingerprint of that."""
    certificate, key, fingerprint = authority.issue(name)
    options = f"ca={bank / 'authority.pem'}&certificate={certificate}&key={key}"
    return f"tls:127.0.0.1:{port}?{options}", fingerprint


@pytest.mark.parametrize("through", [(), ("--through-module",)], ids=["directly", "through the module"])
@pytest.mark.parametrize("way", ["tls", "a channel of ours"])
def test_every_way_to_the_unit(bank: Estate, way, through):
    port = free_port()
    if way == "tls":
        authority = Authority(bank.directory)
        at, _ = tls(bank, "unit", port, authority=authority)
        far, fingerprint = tls(bank, "phone", port, authority=authority)
        mobile, proof = f"certificate {fingerprint}", []
        list_of(bank, f"{mobile} Alice's")
    else:
        at = far = f"tcp:127.0.0.1:{port}"
        mobile, proof = phone(bank).removesuffix(" phone"), by_key(bank)
        list_of(bank, mobile)
    bank.approved("--module", SERIAL)
    tunnel = ("--mobile-through", f"tcp:127.0.0.1:{port}") if through else ()
    with running(*at_module(bank, "--once", *tunnel)) as module:
        near, link = places(module)
        with running(*at_unit(bank, link, "--calls", at)) as unit:
            unit.note("MobilesMayCome")
            ran = insitu(*convey(near, far, *proof, *through))
            assert ran.code == 0, ran.err
            assert ran.json[-1] == {"note": "Conveyed", "party": "mobile", "serial": SERIAL, "accepted": True}
            heard = unit.note("MobileHeard")
            assert (heard["mobile"], heard["agrees"]) == (mobile, True)
            assert unit.wait().code == 0
            assert module.wait().code == 0
    assert bank.status()["state"] == "operating"


def test_by_telephone(bank: Estate):
    """The network reports the caller number; a phone with another number is none that the unit believes."""
    gateway = f"tcp:127.0.0.1:{free_port()}"
    list_of(bank, "caller +4930123456 Alice's")
    bank.approved("--module", SERIAL)
    with ExitStack() as stack:
        operator_words: Words = [
            "mobile",
            "simulate-operator",
            "--listen",
            "tcp:127.0.0.1:0",
            "--unit",
            gateway,
            "--json",
        ]
        for name, number in (("alice", "+4930123456"), ("mallory", "+4930666666")):
            sim = write_secret(bank / f"{name}.sim", f"what {name}'s SIM proves")
            operator_words += ["--subscriber", f"{number}={sim}"]
        network = str(stack.enter_context(running(*operator_words)).note("Ready")["at"])
        module = stack.enter_context(running(*at_module(bank, "--once")))
        near, link = places(module)
        unit = stack.enter_context(running(*at_unit(bank, link, "--gateway", gateway)))
        unit.note("MobilesMayCome")
        words = [
            "mobile",
            "convey",
            "--serial",
            SERIAL,
            "--module",
            near,
            "--operator",
            network,
            "--json",
            "--sim-file",
        ]
        ran = insitu(*words, str(bank / "mallory.sim"))
        assert ran.code == 3
        assert "takes no mobile that it was not told of" in ran.err
        assert "caller +4930666666" in unit.note("Error")["error"]
        assert insitu(*words, str(bank / "alice.sim")).code == 0
        assert unit.wait().code == 0
        assert module.wait().code == 0


@pytest.mark.parametrize("where", ["alone", "within the central system"])
def test_a_unit_in_the_network_that_mobiles_call(bank: Estate, where):
    """One module after the other, each with the mobile; another mobile, that is none of the unit's, gets nowhere."""
    line = phone(bank)
    phone(bank, "strange")
    proofs = {name: by_key(bank, name) for name in ("phone", "strange")}
    mobiles = str(list_of(bank, line, line.replace(line.split()[1], "0" * 64)))
    if where == "alone":
        words = ["unit", "serve", *bank.unsealed("card", "card"), "--listen", "tcp:127.0.0.1:0", *TRUST, "--json"]
        words += [
            "--central",
            str(bank / "central.pem"),
            "--mobiles",
            mobiles,
            "--calls",
            "tcp:127.0.0.1:0",
        ]
    else:
        words = bank.serve(*bank.unsealed("card", "with-unit", "unit-"), "--unit-listen", "tcp:127.0.0.1:0")
        words += [
            "--unit-trust",
            "conveyed",
            "--unit-mobiles",
            str(bank / "mobiles"),
            "--unit-calls",
            "tcp:127.0.0.1:0",
        ]
    state = "SERVING" if where == "alone" else "SERVING_UNIT"
    names = ("module", "second")
    bank.deliver("SM-78", "second")
    for serial in (SERIAL, "SM-78"):
        bank.approved("--module", serial)
    with running(*words) as unit:
        far, at = str(unit.note("MobilesMayCome")["at"]), str(unit.note("Ready", state=state)["at"])
        for name, serial in zip(names, (SERIAL, "SM-78"), strict=True):
            called = ["module", "run", *bank.unsealed(name), "--unit", at, *TRUST, "--mobile", "tcp:127.0.0.1:0"]
            with running(*called, "--once", "--json") as module:
                near = str(module.note("MobilesMayCome")["at"])
                ran = insitu(*convey(near, far, *proofs["strange"], serial=serial))
                assert ran.code == 3, ran.err
                assert "the unit" in ran.err or "the other side refused" in ran.err
                ran = insitu(*convey(near, far, *proofs["phone"], serial=serial))
                assert ran.code == 0, ran.err
                assert module.wait().code == 0
            unit.note("ModulePersonalized", serial=serial)
        unit.end()
    assert [bank.status(name)["state"] for name in names] == ["operating"] * 2


def test_a_mobile_at_another_module_and_one_whose_unit_is_another(bank: Estate):
    """Neither shows anything to anybody, and the right one may still come."""
    list_of(bank, phone(bank))
    bank.approved("--module", SERIAL)
    proof = by_key(bank)
    with running(*at_module(bank, "--once")) as module:
        near, link = places(module)
        with running(*at_unit(bank, link, "--calls", "tcp:127.0.0.1:0")) as unit:
            far = str(unit.note("MobilesMayCome")["at"])
            ran = insitu(*convey(near, far, *proof, serial="SM-78"))
            assert (ran.code, "not 'SM-78'" in ran.error) == (3, True)
            ran = insitu(*convey(near, far, *proof[:-1], "0" * 64))
            assert (ran.code, "key at the other end" in ran.error) == (3, True)
            assert insitu(*convey(near, far, *proof)).code == 0
            assert unit.wait().code == 0
            assert module.wait().code == 0
            assert '"MobileHeard"' in unit.out
            assert unit.out.count('"MobileHeard"') == 1
