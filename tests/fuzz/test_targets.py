"""Every target: its sentence holds for the corpus, for what once broke it, and for a slice from one seed."""

from __future__ import annotations

import re

import pytest
from fuzz_corpus import CORPUS, FOUND, REGRESSIONS, files_of

from insitu.fuzz import TARGETS, Target, fuzz, replay
from insitu.fuzz.targets.parties import OPTIONS

SLICE = 0.25
"""Seconds of an average machine that a target may take here, about; how many inputs that is, is fixed below."""
RUNS = {
    "codec": 300,
    "codec-sequence": 300,
    "codec-items": 300,
    "messages": 500,
    "durable-records": 300,
    "framing": 150,
    "edhoc-1-at-responder": 100,
    "edhoc-2-at-initiator": 100,
    "edhoc-2-plaintext": 150,
    "edhoc-3-at-responder": 60,
    "edhoc-4-at-initiator": 60,
    "certificates": 100,
    "signed-certificates": 150,
    "revocation-lists": 300,
    "requests": 300,
    "key-blocks": 400,
    "codes": 300,
    "pkcs11-uris": 500,
    "mobile": 200,
    "local-port": 30,
    "local-link": 40,
    "calls": 30,
    "unit-called": 20,
    "mobile-calling": 20,
    "gateway-reports": 200,
    "mobile-lists": 60,
    "log-statements": 150,
    "signed-log-statements": 150,
    "verified-logs": 60,
    "tokens": 80,
    "token-answers": 60,
    "registry-files": 8,
    "registry-calls": 8,
    "counters": 300,
    "records": 200,
    "record-payloads": 100,
    "cobs": 1_000,
    "serial-frames": 300,
    "serial-line": 40,
    "manufacturer-desk": 100,
    "card-desk": 100,
    "module-lists": 10,
    "unit-lists": 60,
    "tls-server": 80,
    "tls-client": 30,
    "tls-records": 15,
    "module-at-work": 25,
    "module-in-reset": 25,
    "central-at-work": 25,
    "central-in-reset": 25,
    "central-enrolling": 25,
    "card-enrolling": 25,
    **{f"{party}-by-{option}": 15 for party in ("module", "unit") for option in OPTIONS.values()},
    **{f"{party}-by-{option}": 6 for party in ("module", "unit") for option in ("secret", "tan")},
    "sealed-stores": 300,
    "card-logs": 200,
    "job-lists": 500,
    "addresses": 500,
}
PARTIES = [name for name in RUNS if re.match("(module|unit|central)-(by|at|in|enrolling|called)", name)]


def inputs(name: str) -> dict[str, bytes]:
    directories = (CORPUS / name, REGRESSIONS / name)
    files = [file for directory in directories if directory.is_dir() for file in sorted(directory.iterdir())]
    return {f"{file.parent.parent.name}/{file.name}": file.read_bytes() for file in files}


def test_every_target_has_its_slice():
    assert set(RUNS) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_target_says_in_one_sentence_what_holds(target: Target):
    assert re.fullmatch(r"[A-Z].*\w\.", target.invariant)
    assert re.fullmatch(r"[a-z0-9-]+", target.name)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_corpus_and_what_once_broke_it(target: Target):
    files = inputs(target.name)
    names = {data: name for name, data in files.items()}
    report = fuzz(target, runs=len(files), corpus=list(files.values()))
    assert report.runs == len(files) > 0
    assert {names[finding.data]: finding.what for finding in report.findings} == {}


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_slice_from_one_seed(target: Target):
    report = fuzz(target, runs=RUNS[target.name], seed=1)
    assert [finding.trace for finding in report.findings] == []
    assert report.runs == RUNS[target.name]
    assert len(report.outcomes) >= 2, "an input that is always treated alike says nothing"


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_corpus_is_written_from_the_seeds(target: Target):
    """`make specs` writes it anew."""
    files = {path.name: path.read_bytes() for path in (CORPUS / target.name).iterdir()}
    assert {name: data for name, data in files.items() if not name.startswith(FOUND)} == files_of(target)


def test_the_corpus_is_small_and_of_targets_that_there_are():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert {path.name for path in REGRESSIONS.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("name", PARTIES)
def test_what_the_peer_really_says_leads_to_the_end(name: str):
    """Else a target of a party would fuzz its handshake only."""
    outcome = replay(TARGETS[name], TARGETS[name].seeds()[0])
    assert isinstance(outcome, str)
    assert outcome.endswith("link lost" if name.endswith("at-work") else "good end")
