"""insitu fuzz: what it lists, reports, writes and replays, and how it exits."""

from __future__ import annotations

import json

import pytest
from commands import insitu

from insitu.fuzz import TARGETS, Shape, Target, check


@pytest.fixture
def planted(monkeypatch):
    """A target that breaks at once."""

    def run(data: bytes) -> str:
        check(len(data) < 2, "two bytes or more")
        return "fine"

    target = Target("planted", "There is one byte at most.", Shape.BYTES, 0.05, lambda: run, lambda: [b"x"])
    monkeypatch.setitem(TARGETS, "planted", target)


def test_a_run_that_finds_nothing(tmp_path):
    ran = insitu("fuzz", "cobs", "--runs", "200", "--engine", "built-in", "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("cobs: 200 runs in ")
    assert "by the built-in engine" in ran.out
    assert ran.out.endswith("2 outcomes, nothing found\n")
    assert not (tmp_path / "out").exists()


def test_a_run_for_programs():
    ran = insitu("fuzz", "cobs", "--runs", "200", "--engine", "built-in", "--seed", "3", "--json")
    (facts,) = ran.json
    assert (facts["target"], facts["seed"], facts["runs"], facts["findings"]) == ("cobs", 3, 200, [])
    assert facts["per_second"] > 0
    assert facts["empty_per_second"] > 0


def test_a_finding_is_written_and_replayed(planted, tmp_path):
    ran = insitu("fuzz", "planted", "--runs", "50", "--engine", "built-in", "--out", tmp_path)
    assert ran.code == 1
    (file,) = tmp_path.glob("*.bin")
    assert ran.out.startswith(f"found: two bytes or more; replay it with: insitu fuzz planted --replay {file}\n")
    again = insitu("fuzz", "planted", "--replay", file)
    assert (again.code, again.out) == (1, "planted: broken: two bytes or more\n")
    assert "Broken: two bytes or more" in again.err
    (facts,) = insitu("fuzz", "planted", "--replay", file, "--json").json
    assert (facts["broken"], facts["outcome"]) == (True, "two bytes or more")


def test_an_input_that_is_none_of_a_finding(tmp_path):
    file = tmp_path / "input"
    file.write_bytes(b"\x01")
    ran = insitu("fuzz", "cobs", "--replay", file)
    assert (ran.code, ran.out, ran.err) == (0, "cobs: unstuffed\n", "")


def test_further_inputs_to_begin_with(planted, tmp_path):
    (tmp_path / "long").write_bytes(b"xyz")
    ran = insitu(
        "fuzz", "planted", "--runs", "2", "--engine", "built-in", "--corpus", tmp_path, "--out", tmp_path / "o"
    )
    assert ran.code == 1
    assert [file.read_bytes() for file in (tmp_path / "o").glob("*.bin")] == [b"xyz"]


def test_the_list():
    ran = insitu("fuzz", "--list")
    assert ran.code == 0
    assert ran.out.splitlines() == [f"{each.name}: {each.invariant}" for each in TARGETS.values()]
    assert [facts["target"] for facts in insitu("fuzz", "--list", "--json").json] == list(TARGETS)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--replay", "nowhere"], "nowhere: cannot be read (expected an input, got No such file or directory)"),
        (["--corpus", "nowhere"], "nowhere: not there (expected a directory of inputs)"),
    ],
)
def test_what_is_not_there(words, error):
    ran = insitu("fuzz", "cobs", *words)
    assert (ran.code, ran.error) == (2, error)


def test_no_target():
    ran = insitu("fuzz")
    assert ran.code == 2
    assert "Commands:" in ran.out + ran.err


def test_all_targets_one_after_the_other(monkeypatch, planted, tmp_path):
    two = {name: TARGETS[name] for name in ("cobs", "planted")}
    monkeypatch.setattr("insitu.cli.fuzz_targets.TARGETS", two)
    ran = insitu("fuzz", "all", "--runs", "20", "--engine", "built-in", "--json", "--out", tmp_path)
    assert ran.code == 1
    assert [(facts["target"], facts["runs"], len(facts["findings"])) for facts in ran.json] == [
        ("cobs", 20, 0),
        ("planted", 20, 1),
    ]


def test_reports_gather_in_a_file_and_are_added_up(monkeypatch, planted, tmp_path):
    monkeypatch.setattr("insitu.cli.fuzz_targets.TARGETS", {name: TARGETS[name] for name in ("cobs", "planted")})
    runs = tmp_path / "runs.jsonl"
    for seed in (1, 2):
        about = ["--runs", "20", "--seed", seed, "--engine", "built-in", "--report", runs, "--out", tmp_path]
        assert insitu("fuzz", "all", *map(str, about)).code == 1
    reports = [json.loads(line) for line in runs.read_text().splitlines()]
    assert [(each["target"], each["seed"]) for each in reports] == [
        ("cobs", 1),
        ("planted", 1),
        ("cobs", 2),
        ("planted", 2),
    ]
    added = insitu("fuzz", "--sum", runs, "--json").json
    assert [(each["target"], each["reports"], each["inputs"], each["findings"]) for each in added] == [
        ("cobs", 2, 40, 0),
        ("planted", 2, 40, 2),
        ("all", 4, 80, 2),
    ]
    spent = sum(each["processor_seconds"] for each in reports)
    assert added[-1]["processor_seconds"] == pytest.approx(spent)
    sums = tmp_path / "sums.jsonl"
    sums.write_text("\n".join(map(json.dumps, added)))
    assert insitu("fuzz", "--sum", sums, "--sum", runs, "--json").json[-1]["inputs"] == 160
    told = insitu("fuzz", "--sum", runs).out.splitlines()[-1]
    assert told == "all: 4 runs, 80 inputs, 0.0 minutes of a processor, 2 found"


def test_time_for_all_of_them_is_shared(monkeypatch, tmp_path):
    monkeypatch.setattr("insitu.cli.fuzz_targets.TARGETS", {name: TARGETS[name] for name in ("cobs", "codes")})
    words = ["fuzz", "all", "--total", "1", "--engine", "built-in", "--json", "--out", str(tmp_path)]
    assert all(0.3 < facts["seconds"] < 0.9 for facts in insitu(*words).json)
    ran = insitu(*words, "--seconds", "1")
    assert (ran.code, ran.error) == (2, "time (expected --total, or --seconds for each target, got both)")


@pytest.mark.parametrize("content", [None, b"no report", b"\xff"])
def test_what_is_no_report(tmp_path, content):
    runs = tmp_path / "runs.jsonl"
    if content is not None:
        runs.write_bytes(content)
    ran = insitu("fuzz", "--sum", runs)
    assert ran.code == 2
    assert ran.error.startswith(f"{runs}: report (expected a JSON object a line")
    ran = insitu("fuzz", "cobs", "--runs", "1", "--engine", "built-in", "--report", tmp_path)
    assert ran.code == 2


def test_a_mobile_is_for_the_option_conveyed():
    words = ["fuzz", "module-under-test", "--card", "none", "--link", "tcp:127.0.0.1:1", "--serial", "SM-0001"]
    for more in (["--trust", "conveyed"], ["--mobile", "serial:/dev/none"]):
        ran = insitu(*words, *more)
        assert ran.code == 2
        assert "--mobile with --trust conveyed" in ran.error
