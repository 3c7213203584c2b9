"""The people of a card by the commands: who may approve, with which PIN, and what they are shown (L13)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import SERIAL, SHOWN, Estate, done, insitu, new, refused, unchanged, write_secret

from insitu.cli import people as cli_people
from insitu.protocol.stores.card_log import PeopleChanged
from insitu.protocol.stores.log_lines import import_lines
from insitu.protocol.stores.secret import Secret
from insitu.shell.peopled_card import tries_text

DAY = 24 * 3600


def card(bank: Estate, *words: str | Path) -> list[str | Path]:
    """A command on the bank's card: `people add` say, and its options."""
    verbs = [word for word in words[:2] if word in ("people", "add", "remove", "replace", "new-pin", "unlock", "list")]
    rest = words[max(1, len(verbs)) :]
    return ["card", *(verbs or words[:1]), *bank.unsealed("card"), *rest]


@pytest.fixture
def carol(bank: Estate) -> Path:
    return write_secret(bank / "carol.pin", "61523874")


def people(bank: Estate) -> dict[str, int]:
    lines = done(*card(bank, "people", "list", "--json")).json
    return {line["person"]: line["tries_left"] for line in lines if "tries_left" in line}


def changes(bank: Estate) -> list[PeopleChanged]:
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    entries = import_lines((bank / "log.jsonl").read_bytes()).log
    return [entry.what for entry in entries if isinstance(entry.what, PeopleChanged)]


def pin(bank: Estate, person: str) -> list[str]:
    return ["--pin-file", f"{person}={bank / f'{person}.pin'}"]


def lock(bank: Estate, person: str, wrong: Path) -> None:
    for _ in range(5):
        insitu("card", "approve", *bank.unsealed("card"), *bank.people(person, **{person: wrong}), "--module", "SM-9")


def test_two_people_let_a_third_one_approve(bank: Estate, carol: Path) -> None:
    told = done(*card(bank, "people", "add", "--name", "carol", *pin(bank, "carol"), *bank.people("alice"))).out
    number = told.split("job ")[1][:32]
    assert "carol may approve, too" in told
    assert told.endswith(f"job {number}: approved by alice, 1 approval missing\n")
    waits = done(*card(bank, "people", "list", "--json")).json[-1]
    assert (waits["job"], DAY - 60 < waits["seconds_left"] <= DAY) == (number, True)
    assert people(bank) == {"alice": 5, "bob": 5}, "not yet"
    with unchanged(bank, "card.store"):
        refused(5, *approval(bank, "carol"), says=("nobody of that name approves here",))
    waits = done(*card(bank, "people", "list")).out
    assert f"job {number}: carol may approve, too, approved by alice" in waits
    told = done("card", "people", "approve", *bank.unsealed("card"), "--job", number, *bank.people("bob")).out
    assert told.endswith(f"job {number}: approved by alice and bob, in force\n")
    assert people(bank) == {"alice": 5, "bob": 5, "carol": 5}
    assert insitu(*approval(bank, "carol", "bob")).code == 0
    assert [(each.change, each.person, each.approvers) for each in changes(bank)] == [
        ("add", "carol", ("alice", "bob"))
    ]


def approval(bank: Estate, *who: str, **pins: Path) -> list[str | Path]:
    return ["card", "approve", *bank.unsealed("card"), *bank.people(*who, **pins), "--module", SERIAL]


def test_somebody_hands_over(bank: Estate, carol: Path) -> None:
    words = ["--name", "bob", "--by", "carol", *pin(bank, "carol"), *bank.people()]
    assert "carol may approve instead of bob" in done(*card(bank, "people", "replace", *words)).out
    assert people(bank) == {"alice": 5, "carol": 5}
    refused(5, *approval(bank, "bob"), says=("nobody of that name",))
    (entry,) = changes(bank)
    assert (entry.change, entry.person, entry.comes) == ("replace", "bob", "carol")
    assert "people: replace bob by carol, approved by alice and bob" in done("log", "show", *bank.unsealed("card")).out
    assert insitu("log", "verify", *bank.unsealed("card")).code == 0


def test_a_locked_person_is_unlocked_by_two_others(bank: Estate, carol: Path, wrong: Path) -> None:
    done(*card(bank, "people", "add", "--name", "carol", *pin(bank, "carol"), *bank.people()))
    lock(bank, "bob", wrong)
    assert people(bank) == {"alice": 5, "bob": 0, "carol": 5}
    assert "bob: locked by wrong PINs" in done(*card(bank, "people", "list")).out
    refused(5, *card(bank, "people", "unlock", "--name", "bob", *bank.people("bob")), says=("locked",))
    done(*card(bank, "people", "unlock", "--name", "bob", *bank.people("alice", "carol")))
    assert people(bank) == {"alice": 5, "bob": 5, "carol": 5}
    assert insitu(*approval(bank, "bob")).code == 0, "with the PIN of before"


def test_who_forgot_the_pin_gets_another(bank: Estate, carol: Path) -> None:
    done(*card(bank, "people", "add", "--name", "carol", *pin(bank, "carol"), *bank.people()))
    write_secret(bank / "new.pin", "24681357")
    words = ["--name", "bob", "--pin-file", f"bob={bank / 'new.pin'}", *bank.people("alice", "carol")]
    done(*card(bank, "people", "new-pin", *words))
    refused(2, *approval(bank, "bob"), says=("wrong PIN of bob",), shown=True)
    assert insitu(*approval(bank, "bob", bob=bank / "new.pin")).code == 0


def test_there_are_always_two_who_can_approve(bank: Estate, wrong: Path) -> None:
    """Whatever could help the one who is left could help a thief: there is no way back, and that is said."""
    with unchanged(bank):
        refused(5, *card(bank, "people", "remove", "--name", "bob", *bank.people()), says=("two who are not locked",))
    lock(bank, "bob", wrong)
    with unchanged(bank, "card.store"):
        for words in (("unlock", "--name", "bob"), ("new-pin", "--name", "bob", "--pin-file", f"bob={wrong}")):
            ran = insitu(*card(bank, "people", *words, *bank.people("alice")))
            assert ran.out.endswith("approved by alice, 1 approval missing\n")
    assert done("card", "status", *bank.unsealed("card"), "--json").json[0]["state"] == "locked"
    assert "First Bank, locked" in done("card", "status", *bank.unsealed("card")).out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("add", "--name", "bob", "--pin-file", "bob=carol.pin"), 5, "somebody of that name is there"),
        (("add", "--name", "B-o B", "--pin-file", "B-o B=carol.pin"), 5, "somebody of that name is there"),
        (("remove", "--name", "mallory"), 5, "expected alice or bob"),
        (("unlock", "--name", "mallory"), 5, "expected alice or bob"),
        (("replace", "--name", "alice", "--by", "bob", "--pin-file", "bob=carol.pin"), 5, "expected another name"),
        (("add", "--name", "short", "--pin-file", "short=short.pin"), 2, "at least 4"),
        (("add", "--name", "a\nb", "--pin-file", "a\nb=carol.pin"), 2, "expected 1 to 64"),
        (("add", "--name", "carol", "--pin-file", "dave=carol.pin"), 2, "PIN of nobody"),
        (
            ("new-pin", "--name", "bob", "--person", "bob", "--pin-file", "bob=carol.pin"),
            2,
            "others than who gets a PIN",
        ),
    ],
)
def test_what_is_no_change(bank: Estate, carol: Path, monkeypatch: pytest.MonkeyPatch, words, code, says) -> None:
    write_secret(bank / "short.pin", "123")
    monkeypatch.chdir(bank.directory)
    with unchanged(bank):
        refused(code, *card(bank, "people", *words), says=(says,))


def test_who_knows_the_pin_changes_it_alone(bank: Estate, wrong: Path) -> None:
    write_secret(bank / "new.pin", "24681357")
    words = ["card", "change-pin", *bank.unsealed("card"), "--person", "alice", "--new-pin-file", bank / "new.pin"]
    for left in (4, 3):
        refused(2, *words, "--pin-file", wrong, says=(f"wrong PIN of alice, {tries_text(left)}",))
    assert done(*words, "--pin-file", bank / "alice.pin").out == "the new PIN of alice counts\n"
    assert people(bank) == {"alice": 5, "bob": 5}
    refused(2, *approval(bank, "alice"), says=("wrong PIN of alice",), shown=True)
    assert insitu(*approval(bank, "alice", alice=bank / "new.pin")).code == 0
    write_secret(bank / "short.pin", "123")
    words[-1] = bank / "short.pin"
    with unchanged(bank):
        refused(2, *words, "--pin-file", bank / "new.pin", says=("at least 4 characters",))


def test_an_approval_is_withdrawn_before_it_is_used(bank: Estate) -> None:
    bank.approved("--module", SERIAL)
    (job,) = done("card", "status", *bank.unsealed("card"), "--json").json[0]["jobs"]
    words = ["card", "withdraw", *bank.unsealed("card"), "--job", job["job"], "--person", "alice"]
    assert "1 approval missing" in done(*words).out
    with unchanged(bank):
        refused(5, *words, says=("no approval to withdraw", "expected bob", "got alice"))
        refused(5, *bank.personalize("tcp:127.0.0.1:1"), says=("two different people", "got bob"))
    done(*words[:-1], "bob")
    assert insitu(*approval(bank, "alice")).out.endswith("1 approval missing\n")


# What is shown


def test_all_of_a_job_is_shown_before_a_pin_is_asked_for(bank: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is that job: who changes it while people type gets nothing."""
    asked: list[str] = []

    def typed(prompt: str, **_: object) -> Secret:
        asked.append(prompt)
        others = Estate(bank.directory)
        monkeypatch.undo()
        (job,) = done("card", "status", *others.unsealed("card"), "--json").json[0]["jobs"]
        assert job["approvals"] == []
        done(*approval(others, "bob"), "--days", "7")
        return Secret((bank / "alice.pin").read_bytes().strip())

    monkeypatch.setattr(cli_people, "passphrase", typed)
    ran = insitu("card", "approve", *bank.unsealed("card"), "--person", "alice", "--module", SERIAL)
    assert asked == ["PIN of alice: "]
    assert (ran.code, ran.error[:16]) == (5, "card: no such jo")
    import re

    assert re.fullmatch(SHOWN, ran.out)
    for shown in (f"module {SERIAL} for 365 days", "key       none yet", "salt      ", "open until", "digest    "):
        assert shown in ran.out


def test_status_says_all(bank: Estate, later) -> None:
    done(*approval(bank, "alice"))
    facts = done("card", "status", *bank.unsealed("card"), "--json").json[0]
    (job,) = facts["jobs"]
    assert (job["approvals"], job["subject"], job["seconds_left"] > DAY - 60) == (["alice"], SERIAL, True)
    assert facts["state"] == "ready"
    assert facts["people"] == [{"person": name, "tries_left": 5, "locked": False} for name in ("alice", "bob")]
    assert facts["unit"]["name"] == "unit-1"
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    log = import_lines((bank / "log.jsonl").read_bytes()).log
    assert (facts["log_entries"], facts["log_head"]) == (len(log), log[-1].digest.hex())
    assert facts["room"]["bytes"] > 1 << 20
    assert (facts["room"]["certificates"] > 9_000, facts["room"]["short"]) == (True, False)
    text = done("card", "status", *bank.unsealed("card")).out
    for line in (
        "alice: 5 tries left",
        "approved by alice, 1 approval missing; 2",
        f"head {facts['log_head']}",
        "unit unit-1",
    ):
        assert line in text
    later(2 * DAY)
    assert "out of date" in done("card", "status", *bank.unsealed("card")).out
    assert json.dumps(facts)


def test_a_card_that_fills_up_says_so_before_it_is_full(bank: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    from insitu.protocol.parties import card_room

    sized = done("card", "status", *bank.unsealed("card"), "--json").json[0]["room"]["bytes"]
    for left, said, who in (
        (7, "room for 7 more certificates", "alice"),
        (0, "no room for another certificate", "bob"),
    ):
        monkeypatch.setattr(card_room, "LARGEST", (1 << 24) - sized + (left + 1) * card_room.CERTIFICATE_BYTES - 1)
        told = done("card", "status", *bank.unsealed("card")).out
        assert f"at least {left} more certificates\n  the card has {said}: take another one into use" in told
        assert done("card", "status", *bank.unsealed("card"), "--json").json[0]["room"]["short"] is True
        shown = done("card", "revoke", *bank.unsealed("card"), "--certificate", bank / "unit.pem", *bank.people(who))
        assert f"the card has {said}" in shown.out
    ran = insitu(*approval(bank, "alice"))
    assert (ran.code, ran.error.split(" (")[0]) == (5, "card: the card is full")


def test_status_of_a_card_that_waits_for_its_certificate(bank: Estate) -> None:
    words = [*new(bank, "second"), "--name", "Second Bank", *bank.people(), "--request", bank / "second.pem"]
    done("card", "init", *words)
    facts = done("card", "status", *new(bank, "second"), "--json").json[0]
    assert (facts["state"], facts["certificate"], facts["unit"], facts["log_entries"]) == ("requested", None, None, 0)
    assert "Second Bank, requested, certificate none yet" in done("card", "status", *new(bank, "second")).out


# A card that is taken away


def test_the_card_is_gone_between_approval_and_signature(bank: Estate) -> None:
    """Nothing is signed, and nothing puts the file back: approvals of a card that is away count for nobody."""
    from insitu.protocol.engine import EnvironmentFault
    from insitu.protocol.keys.vault import SealedVault
    from insitu.protocol.messages import CardRole
    from insitu.protocol.stores.sealed import StoreKind
    from insitu.shell.card import Card

    bank.approved("--module", SERIAL)
    passphrase = Secret((bank / "card.passphrase").read_bytes().strip())
    import secrets

    with SealedVault.open(bank.store("card"), StoreKind.CARD, passphrase, entropy=secrets.token_bytes) as vault:
        owner = Card(vault)
        job = owner.approved_job(CardRole.MODULE, SERIAL)
        bank.store("card").unlink()
        with pytest.raises(EnvironmentFault, match="store is gone"):
            owner.certify(job.number, owner.authentication.public)
    assert not bank.store("card").exists()
