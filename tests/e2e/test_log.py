"""A card's log with processes: brought over a link, required by the central system, read again (L12, S6)."""

from __future__ import annotations

import time

from command_processes import running
from commands import SERIAL, Estate, done, fingerprint, insitu, refused

FILES = ("--customer", "customer.pem", "--root", "manufacturer.pem", "--central", "central.pem")


def files(bank: Estate) -> list[str]:
    return [word if word.startswith("--") else str(bank / word) for word in FILES]


def test_brought_required_and_read_again(bank: Estate):
    """A module waits until its card has brought its log; what was read outlives a card that is put back."""
    store = bank.store("card")
    bank.approved("--module", SERIAL)
    with running(*bank.serve("--card-listen", "tcp:127.0.0.1:0", "--require-logged")) as central:
        ports = {note["state"]: note["at"] for note in (central.note("Ready"), central.note("Ready"))}
        cards, at = ports["SERVING_CARDS"], ports["SERVING"]
        before = store.read_bytes()
        with running(*bank.run_module("--central", at)) as module:
            link = module.note("Ready")["at"]
            done(*bank.personalize(link, "--out", str(bank / "module.pem")))
            assert "waits for its card's log" in central.note("Error")["error"]
            brought = done("card", "sync", *bank.unsealed("card"), "--link", cards, "--json").json
            assert brought[-2] == {"note": "LogWasRead", "party": "card", "central": "First Host", "entries": 6}
            assert central.note("CardLogRead") == {
                "note": "CardLogRead",
                "party": "central",
                "owner": "First Bank",
                "entries": 6,
                "new": 6,
            }
            module.note("StateEntered", state="ONLINE")
        found = done("log", "verify", *bank.unsealed("card"), "--central", bank / "central.pem", "--json").json
        assert (found[0]["entries"], found[0]["read"], found[0]["unsigned"]) == (6, 6, 0)
        store.write_bytes(before)
        wait_for_another_second()
        sync = ["card", "sync", *bank.unsealed("card"), "--link", cards, "--central", fingerprint_of_key(bank)]
        refused_by(central, *sync)
    registry = ["--store", str(bank.store("central"))]
    (listed,) = done("central", "card-logs", *registry, "--json").json
    assert (listed["owner"], listed["entries"], listed["signatures"]) == ("First Bank", 6, 3)
    assert listed["card"].replace(" ", "") == fingerprint(bank / "customer.pem").replace(":", "")
    assert "the end of the log is cut off" in listed["doubt"]
    assert "IN DOUBT" in done("central", "card-logs", *registry).out
    actions = [line["action"] for line in done("central", "audit", *registry, "--json").json]
    assert [action for action in actions if action.startswith("log")] == ["log read", "log doubted"]
    done("central", "card-log", *registry, "--card", bank / "customer.pem", "--out", bank / "kept.jsonl")
    done("log", "verify", "--file", bank / "kept.jsonl", *files(bank))
    done("log", "reconstruct", "--file", bank / "kept.jsonl", *files(bank), SERIAL, "--out", bank / "x.pem")
    assert (bank / "x.pem").read_bytes() == (bank / "module.pem").read_bytes()
    cut = ["log", "verify", *bank.unsealed("card"), "--earlier", bank / "kept.jsonl"]
    refused(3, *cut, says=("the end of the log is cut off",))


def fingerprint_of_key(bank: Estate) -> str:
    """As `central init` told it."""
    import hashlib

    from commands import certificate
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate(bank / "central.pem").public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def wait_for_another_second() -> None:
    """A log that was read in the second in which a card comes could have been read before it: that is no doubt yet."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.02)


def refused_by(central: object, *words: object) -> None:
    """The card hears a code and no more; the operator hears which card and why."""
    ran = insitu(*[str(word) for word in words])
    assert (ran.code, "untrusted" in ran.error) == (3, True)
    doubted = central.note("CardDoubted")  # type: ignore[attr-defined]
    assert doubted["owner"] == "First Bank"
    assert "the end of the log is cut off" in doubted["reason"]


def test_within_the_central_system_it_is_read_after_each_personalization(bank: Estate):
    """No contact of the card is needed, and a module works at once."""
    bank.approved("--module", SERIAL)
    unit = ["--with-unit", str(bank.store("card")), "--unit-passphrase-file", str(bank / "card.passphrase")]
    with running(*bank.serve(*unit, "--unit-listen", "tcp:127.0.0.1:0", "--require-logged")) as central:
        ports = {note["state"]: note["at"] for note in (central.note("Ready"), central.note("Ready"))}
        words = ["module", "run", *bank.unsealed("module"), "--unit", ports["SERVING_UNIT"], "--json"]
        with running(*words, "--central", ports["SERVING"]) as module:
            assert central.note("CardLogRead", entries=6)["new"] in (2, 6)
            module.note("StateEntered", state="ONLINE")
    assert done("log", "show", *bank.unsealed("card"), "--json").json[-1]["read"] == 6


def test_a_grace_wants_the_policy(bank: Estate):
    refused(2, *bank.serve("--log-grace", "5"), says=("--log-grace",))
