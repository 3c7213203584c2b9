"""A smaller world with the same violation: fewer troubles, fewer modules, fewer hours, as far as one at a time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .plan import Plan, Trouble
from .run import Verdict, run_world


def shrink(verdict: Verdict, tell: Callable[[str], None]) -> Verdict:
    """Whatever can be left out of the world without the violation going away is left out; each is tried once.

    Args:
        verdict: with a violation.
        tell: gets a line for each attempt.

    """
    best, needed = verdict, set[str]()
    while (found := next((each for each in _smaller(best) if each[0] not in needed), None)) is not None:
        what, smaller = found
        tried = run_world(smaller)
        same = tried.invariant == verdict.invariant
        tell(f"{'still' if same else 'not'} with {said(smaller)}")
        if same:
            best = tried
        else:
            needed.add(what)
    return best


def _smaller(verdict: Verdict) -> Iterator[tuple[str, Plan]]:
    """What could be left out, and the world without it."""
    plan = verdict.plan
    if plan.modules > 1:
        yield "modules", _drawn(plan, modules=plan.modules // 2)
    if plan.hours > 0.1:
        yield "hours", _drawn(plan, hours=round(plan.hours / 2, 3))
    for trouble in sorted(verdict.injected, key=lambda each: (verdict.injected[each], each.value)):
        if trouble not in plan.without:
            yield trouble.value, _drawn(plan, without=plan.without | {trouble})


def _drawn(plan: Plan, **changes: object) -> Plan:
    """The world of the same seed with these changes."""
    changed = replace(plan, **changes)  # type: ignore[arg-type]
    return Plan.drawn(
        plan.seed, modules=changed.modules, hours=changed.hours, faults=plan.faults, without=changed.without
    )


def said(plan: Plan) -> str:
    """The options of the command that runs this world."""
    without = "".join(f" --without '{each.value}'" for each in Trouble if each in plan.without)
    return f"--seed {plan.seed} --modules {plan.modules} --hours {plan.hours:g} --faults {plan.faults}{without}"
