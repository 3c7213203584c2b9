"""Faults that are planted in the product are found by simulated worlds, each by the invariant that it violates."""

from __future__ import annotations

import shlex

import pytest
from planted import FAULTS

from insitu.cli.simulate import simulate
from insitu.simulate.plan import Plan
from insitu.simulate.run import run_world
from insitu.simulate.shrink import said, shrink

SLOW = {"money is paid before that is kept", "a lost card certifies on"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in FAULTS]
)
def test_a_fault_is_found(name):
    fault = FAULTS[name]
    found = next(verdict for verdict in map(fault.looked_for, range(1, 6)) if verdict.invariant)
    assert found.invariant == fault.invariant


def test_a_smaller_world_with_the_same_violation():
    told: list[str] = []
    fault = FAULTS["a module says that it operates before it does"]
    with fault.planted():
        verdict = run_world(Plan.drawn(2, modules=4, hours=0.1, faults="all"))
        assert verdict.invariant == fault.invariant
        small = shrink(verdict, told.append)
        assert small.invariant == fault.invariant
        assert run_world(small.plan) == small
    assert small.plan.modules < verdict.plan.modules
    assert small.plan.without > verdict.plan.without
    assert len(told) > 2
    assert simulate.make_context("simulate", shlex.split(said(small.plan))).params["seed"] == 2
    assert run_world(small.plan).invariant == ""
