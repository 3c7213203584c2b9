"""The engine finds what is there to be found, reports it so that it can be replayed, and repeats itself."""

from __future__ import annotations

import time

import cbor2
import pytest

from insitu.fuzz import TARGETS, Finding, Shape, Target, check, fuzz, guided, replay
from insitu.protocol.engine import UsageError
from insitu.protocol.messages import DecodeError, decode, encode

SEEDS = [encode({0: 7, 1: b"payload", 2: [1, 2, 3]}), encode({0: 8, 1: "text"})]


def planted(run, *, shape=Shape.CBOR, seconds=0.05, seeds=SEEDS) -> Target:
    return Target("planted", "Nothing is planted.", shape, seconds, lambda: run, lambda: seeds)


def item_of(data: bytes) -> object:
    try:
        return decode(data)
    except DecodeError:
        return None


def boundary(data: bytes) -> str:
    item = item_of(data)
    if isinstance(item, dict) and type(item.get(0)) is int and 2**31 <= item[0] <= 2**33:
        raise IndexError("one too far")
    return type(item).__name__


def twice(data: bytes) -> str:
    check(item_of(data) is not None or len(data) < 2 or data[:1] != data[1:2], "the same byte twice")
    return "fine"


def lenient(data: bytes) -> str:
    """What reading with cbor2 alone would be: it takes what has another encoding."""
    try:
        item = cbor2.loads(data)
    except Exception:
        return "refused"
    check(cbor2.dumps(item, canonical=True) == data, "another encoding was accepted")
    return "accepted"


def slow(data: bytes) -> str:
    item = item_of(data)
    if isinstance(item, dict) and len(item) == 4:
        end = time.process_time() + 0.06
        while time.process_time() < end:
            pass
    return "fine"


def greedy(data: bytes) -> str:
    return f"{len(bytearray(17 << 20)) >> 20} MiB"


@pytest.mark.parametrize(
    ("run", "what", "where"),
    [
        (boundary, "IndexError: one too far", "test_engine"),
        (twice, "the same byte twice", ""),
        (lenient, "another encoding was accepted", ""),
        (slow, "took too long", ""),
        (greedy, "took too much memory: 17 MiB, at most 16 MiB", ""),
    ],
)
def test_what_is_planted_is_found(run, what, where):
    report = fuzz(planted(run), runs={greedy: 4, slow: 300}.get(run, 1_500), seed=3)
    assert [finding.what[: len(what)] for finding in report.findings] == [what]
    (finding,) = report.findings
    assert where in finding.trace
    assert isinstance(replay(planted(run), finding.data), Finding)


def test_an_input_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("insitu.fuzz.engine.HANGS_AFTER", 0.2)

    def endless(data: bytes) -> str:
        while True:
            pass

    report = fuzz(planted(endless), runs=2)
    assert [finding.what for finding in report.findings] == ["no end after 0.2 s"]


def test_the_same_seed_gives_the_same_inputs():
    taken: dict[str, list[bytes]] = {"one": [], "two": [], "other": []}

    def noting(name: str) -> Target:
        def run(data: bytes) -> str:
            taken[name].append(data)
            return str(len(data) % 5)

        return planted(run)

    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        fuzz(noting(name), runs=300, seed=seed)
    assert taken["one"] == taken["two"]
    assert taken["one"] != taken["other"]
    assert taken["one"][2 : 2 + len(SEEDS)] == SEEDS, "the first is taken three times: its memory is measured"


def test_a_report_compares_with_a_target_that_does_nothing():
    def costly(data: bytes) -> str:
        end = time.process_time() + 0.002
        while time.process_time() < end:
            pass
        return "fine"

    facts = fuzz(planted(costly), seconds=0.5, seed=1).facts()
    assert facts["engine"] == "built-in"
    assert facts["runs"] > 10
    assert facts["per_second"] == pytest.approx(facts["runs"] / facts["seconds"], rel=0.05)
    assert facts["empty_per_second"] > facts["per_second"]
    assert facts["ratio"] > 2
    assert facts["findings"] == []


def test_findings_are_files_that_say_how_to_replay_them(tmp_path):
    (finding,) = fuzz(planted(boundary), runs=1_500, seed=3).findings
    path = finding.write(tmp_path / "out")
    assert path.read_bytes() == finding.data
    told = path.with_suffix(".txt").read_text()
    assert told.startswith("IndexError: one too far\n")
    assert f"insitu fuzz planted --replay {path}" in told


def test_coverage_guides_where_atheris_is_and_is_not_claimed_elsewhere(monkeypatch):
    if guided.is_there():
        # to instrument the whole product takes long, and is not what this asks
        assert "include=['insitu']" in guided.LAUNCH
        monkeypatch.setattr(guided, "LAUNCH", guided.LAUNCH.replace("include=['insitu']", "include=['nothing']"))
        report = guided.fuzz_guided(TARGETS["cobs"], runs=400, seed=1)
        assert (report.engine, report.runs, report.findings) == ("atheris", 400, [])
        assert set(report.outcomes) == {"noise", "unstuffed"}
        assert report.empty_per_second > 0
        monkeypatch.setattr(guided, "is_there", lambda: False)
    with pytest.raises(UsageError, match="no atheris"):
        guided.fuzz_guided(TARGETS["cobs"], runs=400)
