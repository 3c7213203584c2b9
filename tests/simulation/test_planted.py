"""Faults that are planted in the product are found by simulated worlds, each by the invariant that it violates."""

from __future__ import annotations

import shlex

import pytest
from planted import FAULTS

from insitu.cli.simulate import simulate
from insitu.simulate.plan import Plan, Trouble
from insitu.simulate.run import run_world
from insitu.simulate.shrink import said, shrink

SLOW = {
    "a standing approval is never used up",
    "all modules are shown the first card's certificate",
    "the manufacturer's list counts for nothing",
    "a lost card certifies on",
    "a reset ends no certificate",
    "a revoked certificate counts",
    "a reset is acknowledged before it is done",
    "every number is new",
    "no key expires",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in FAULTS]
)
def test_a_fault_is_found(name):
    fault = FAULTS[name]
    found = next(verdict for verdict in map(fault.looked_for, range(1, 6)) if verdict.invariant)
    assert found.invariant == fault.invariant


@pytest.mark.long
def test_a_smaller_world_with_the_same_violation():
    told: list[str] = []
    fault = FAULTS["the salt determines the key"]
    with fault.planted():
        verdict = run_world(Plan.drawn(1, modules=4, hours=0.1, faults="all"))
        assert verdict.invariant == fault.invariant
        small = shrink(verdict, told.append)
        assert small.invariant == fault.invariant
        assert run_world(small.plan) == small
    assert small.plan.modules < verdict.plan.modules
    assert small.plan.without > verdict.plan.without
    assert Trouble.SAME_SALT not in small.plan.without  # it takes that one
    assert any(line.startswith("not with") for line in told)
    assert simulate.make_context("simulate", shlex.split(said(small.plan))).params["seed"] == 1
    assert run_world(small.plan).invariant == ""
