"""`insitu fuzz module-under-test` against `insitu module run`, two processes and TCP between them."""

from __future__ import annotations

import json

from command_processes import running
from commands import SERIAL, Estate, insitu, unchanged


def words(bank: Estate, at: str, *more: str) -> list[str]:
    about = ["--link", at, "--serial", SERIAL, "--patience", "20", "--json", *more]
    return ["fuzz", "module-under-test", *bank.unsealed("card", "card"), *about]


def test_a_module_that_runs_is_fuzzed_from_outside_and_stands(bank: Estate):
    out = bank / "findings"
    with running(*bank.run_module()) as module:
        at = module.note("Ready")["at"]
        with unchanged(bank):
            ran = insitu(*words(bank, at, "--runs", "25", "--seed", "1", "--out", str(out)))
        assert (ran.code, ran.err) == (0, "")
        (facts,) = ran.json
        assert (facts["target"], facts["runs"], facts["findings"]) == ("module-under-test", 25, [])
        assert facts["outcomes"] >= 2
        file = bank / "session"
        file.write_bytes(b"\x00\x01\x00\x00\x04\xa1\x00\x18\x63")
        again = insitu(*words(bank, at, "--replay", str(file)))
        assert (again.code, json.loads(again.out)["broken"]) == (0, False)
        assert module.end().code == 0
    assert not out.exists()


def test_nobody_is_there(bank: Estate):
    ran = insitu(*words(bank, "tcp:127.0.0.1:1", "--runs", "1"))
    assert ran.code == 4
    assert "module-under-test: no good session" in ran.error
