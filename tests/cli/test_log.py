"""insitu log: what it shows, verifies and puts together again, from the card and from files (L12)."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from commands import Estate, done, refused, unchanged

from insitu.shell import output

FILES = ("--customer", "customer.pem", "--root", "manufacturer.pem")


@pytest.fixture
def exported(bank: Estate) -> Estate:
    done("card", "revoke", *bank.unsealed("card"), "--certificate", bank / "unit.pem", *bank.people())
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    return bank


def source(bank: Estate, kind: str) -> list[str]:
    if kind == "card":
        return bank.unsealed("card")
    files = (word if word.startswith("--") else str(bank / word) for word in FILES)
    return ["--file", str(bank / "log.jsonl"), *files]


@pytest.mark.parametrize("kind", ["card", "file"])
def test_it_holds_and_what_was_signed_comes_back(exported, kind):
    told = done("log", "verify", *source(exported, kind), "--earlier", exported / "log.jsonl", "--json").json
    assert told == [
        {"entries": 6, "certificates": 2, "lists": 1, "open": 0, "unsigned": 0, "signatures": 3, "read": None}
    ]
    spoken = done("log", "verify", *source(exported, kind)).out.splitlines()
    assert spoken == [
        "6 entries hold: 2 certificates, 1 lists, each verified",
        "how far it was read was not asked for",
    ]
    for asked, file in ((("--unit", "unit-1"), "unit.pem"), (("--central-system", "First Host"), "central.pem")):
        again = exported / f"again-{file}"
        done("log", "reconstruct", *source(exported, kind), *asked, "--out", again)
        assert again.read_bytes() == (exported / file).read_bytes()
        printed = done("log", "reconstruct", *source(exported, kind), *asked)
        assert printed.out == (exported / file).read_text()
        assert "standard output; 1 in the log" in printed.err
    done("card", "crl", *exported.unsealed("card"), "--out", exported / "card.crl")
    done("log", "reconstruct", *source(exported, kind), "--list", "1", "--out", exported / "again.crl")
    assert (exported / "again.crl").read_bytes() == (exported / "card.crl").read_bytes()
    assert done("log", "reconstruct", *source(exported, kind), "--list", "1").out == (exported / "card.crl").read_text()


def test_it_is_shown_to_people_and_programs(exported):
    lines = done("log", "show", "--file", exported / "log.jsonl").out.splitlines()
    assert "about to certify unit unit-1, approved by alice and bob" in lines[0]
    assert lines[-2:] == ["6 entries, 6 of them under a head that the card signed", "read by no central system yet"]
    *entries, state = done("log", "show", *exported.unsealed("card"), "--json").json
    assert [entry["number"] for entry in entries] == list(range(6))
    assert state == {"entries": 6, "signed": 6, "signatures": 3, "read": 0, "reader": None, "open": 0}
    assert [json.loads(line) for line in (exported / "log.jsonl").read_text().splitlines()][:6] == entries


def test_which_certificate_of_several(exported):
    first = (exported / "unit.pem").read_bytes()
    exported.approved("--unit", "unit-1")
    words = [*exported.unsealed("card"), "--unit", "unit-1", "--out", str(exported / "again.pem")]
    assert done("log", "reconstruct", *words).out.rstrip().endswith("; 2 in the log")
    assert (exported / "again.pem").read_bytes() == (exported / "unit.pem").read_bytes() != first
    results = [
        entry for entry in done("log", "show", *exported.unsealed("card"), "--json").json if "signature" in entry
    ]
    prints = [entry["fingerprint"] for entry in results]
    done("log", "reconstruct", *words, "--fingerprint", prints[0])
    assert (exported / "again.pem").read_bytes() == first
    refused(2, "log", "reconstruct", *words, "--fingerprint", "00" * 32, says=("fingerprint",))


def test_what_was_cut_off_or_changed_has_an_exit_code(exported):
    words = source(exported, "file")
    whole = (exported / "log.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (exported / "whole.jsonl").write_bytes(whole)
    for content, code, says in (
        (lines[:2] + lines[3:], 4, "entry 2"),
        (lines[:4] + lines[6:], 3, "the end of the log is cut off"),
        (lines[:6], 3, "the card signed no head"),
        ([*lines[:2], lines[2].replace(b"alice", b"alicf"), *lines[3:]], 4, "entry 3"),
        ([*lines[:-1], lines[-1][:-1]], 4, "ends too early"),
    ):
        (exported / "log.jsonl").write_bytes(b"".join(content))
        refused(code, "log", "verify", *words, says=(says,))
    done("log", "export", *exported.unsealed("card"), "--out", exported / "log.jsonl")
    done("card", "revoke", *exported.unsealed("card"), "--certificate", exported / "central.pem", *exported.people())
    done("log", "export", *exported.unsealed("card"), "--out", exported / "grown.jsonl")
    refused(3, "log", "verify", *words, "--earlier", exported / "grown.jsonl", says=("the end of the log is cut off",))
    refused(3, "log", "verify", *words, "--central", exported / "central.pem", says=("nobody has read this log",))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show"], "which log"),
        (["verify", "--file", "log.jsonl"], "whose log"),
        (["verify", "--file", "none.jsonl"], "cannot read"),
        (["verify", "--file", "log.jsonl", "--customer", "customer.pem"], "the manufacturer's root"),
        (["reconstruct", "--file", "log.jsonl", "--out", "x.pem"], "what to reconstruct"),
        (["reconstruct", "--file", "log.jsonl", "--unit", "u", "m", "--out", "x.pem"], "not one"),
        (["reconstruct", "--file", "log.jsonl", "--unit", "unit-1", "--out", "bob.pin"], "in use"),
    ],
)
def test_what_a_caller_may_get_wrong(exported, monkeypatch, words, says):
    monkeypatch.chdir(exported.directory)
    with unchanged(exported):
        refused(2, "log", *words, says=(says,))


def test_a_card_needs_no_certificates_from_files_and_there_is_one_source(exported):
    card = exported.unsealed("card")
    refused(2, "log", "verify", *card, "--root", exported / "manufacturer.pem", says=("with --file only",))
    refused(2, "log", "show", *card, "--file", exported / "log.jsonl", says=("which log",))
    refused(5, "log", "reconstruct", *card, "SM-0", "--out", exported / "x.pem", says=("no module SM-0",))


# Files that are not what they were


def test_a_file_that_lost_everything_proves_nothing(bank: Estate) -> None:
    empty = bank / "empty.jsonl"
    empty.touch()
    anchors = ["--customer", bank / "customer.pem", "--root", bank / "manufacturer.pem"]
    refused(3, "log", "verify", "--file", empty, *anchors, says=("the card signed no head",))
    refused(2, "log", "verify", *bank.unsealed("card"), "--earlier", empty, says=("says nothing of this one",))
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    (bank / "head.jsonl").write_bytes((bank / "log.jsonl").read_bytes().splitlines(keepends=True)[-1])
    told = done("log", "show", "--file", bank / "head.jsonl").out
    assert "CUT OFF: 4 entries that the card has signed are not here" in told
    refused(3, "log", "verify", "--file", bank / "head.jsonl", *anchors)


def test_a_full_disk_leaves_the_export_that_was_there(bank: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the certificate: nothing is lost but what could not be written."""
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    (bank / "log.jsonl").chmod(0o640)
    words = ["log", "reconstruct", *bank.unsealed("card"), "--unit", "unit-1", "--out", bank / "unit.pem"]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, unchanged(bank):
        patch.setattr(output.os, "fsync", full)
        refused(4, "log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl", says=("No space left",))
        refused(4, *words, says=("No space left",))
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    done(*words)
    assert (bank / "log.jsonl").stat().st_mode & 0o777 == 0o640
    assert not [path for path in bank.directory.iterdir() if path.name.startswith(".")]


def test_what_is_no_file_is_written_as_it_is(bank: Estate, tmp_path: Path) -> None:
    """A pipe, say; and a link stays one."""
    done("log", "export", *bank.unsealed("card"), "--out", "/dev/null")
    refused(4, "log", "export", *bank.unsealed("card"), "--out", "/dev/full", says=("No space left",))
    (tmp_path / "link").symlink_to(bank / "log.jsonl")
    done("log", "export", *bank.unsealed("card"), "--out", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    done("log", "show", "--file", bank / "log.jsonl")


def test_a_file_in_a_directory_that_is_not_ours_is_written_in_place(tmp_path: Path, monkeypatch) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"old")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    real = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode="r": denied() if mode == "xb" else real(path, mode))
        output.write_whole(there, b"new")
    assert there.read_bytes() == b"new"
