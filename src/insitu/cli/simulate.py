"""insitu simulate: whole worlds of units, cards, central systems and modules, where all goes wrong by seed."""

from __future__ import annotations

import json
from itertools import count, islice
from math import inf
from typing import TYPE_CHECKING, Final

import click

from ..protocol.engine import UsageError
from ..simulate.plan import LEVELS, Plan, Trouble
from .common import Number, say

if TYPE_CHECKING:
    from ..simulate.many import Total
    from ..simulate.run import Verdict

HOURS: Final = Number(0, 10_000, min_open=True)
"""Of simulated time, up to more than a year: a world remembers what happened in it."""


@click.command()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the first world.")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=None,
    help="How many worlds, of as many seeds; one, unless something else ends it.",
)
@click.option("--modules", type=click.IntRange(1), default=25, show_default=True, help="In each world.")
@click.option("--hours", type=HOURS, default=1.0, show_default=True, help="With troubles.")
@click.option(
    "--faults",
    type=click.Choice(LEVELS),
    default="some",
    show_default=True,
    help="Which troubles there are; some: those that the seed picks.",
)
@click.option("--without", multiple=True, type=click.Choice([each.value for each in Trouble]), help="None of this one.")
@click.option("--lives", type=click.IntRange(1), help="Begin worlds until so many life cycles are over.")
@click.option("--seconds", type=click.IntRange(1), help="Begin no world after so many seconds.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes at work at once.")
@click.option("--trace", is_flag=True, help="Show each event as it happens, in a world of one seed.")
@click.option("--shrink", is_flag=True, help="Look for a smaller world with the same violation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: each world, then what all come to.")
def simulate(
    seed: int,
    seeds: int | None,
    modules: int,
    hours: float,
    faults: str,
    without: tuple[str, ...],
    lives: int | None,
    seconds: int | None,
    jobs: int,
    *,
    trace: bool,
    shrink: bool,
    as_json: bool,
) -> None:
    """Let simulated worlds live, by the parties of the field, and watch the invariants.

    Each seed is a world of its own, and always the same one. First everything may go wrong; then nothing does, and
    all modules must come to operate. A life cycle is a personalization and at least one transaction or a reset.

    Exit code 0: nothing forbidden happened, and all finished. Exit code 1: something did, a fault of this program; the
    command that shows it again is printed.
    """
    from ..simulate.many import Total, run_worlds, timed
    from ..simulate.shrink import shrink as shrunk

    if trace and (seeds, lives, seconds, jobs, as_json) != (None, None, None, 1, False):
        raise UsageError(
            "--trace shows one world",
            who="simulate",
            expected="no --seeds, --lives, --seconds, --jobs or --json with it",
        )
    left = frozenset(each for each in Trouble if each.value in without)
    first = 1 if seeds is None and lives is None and seconds is None else seeds
    plans = (Plan.drawn(each, modules=modules, hours=hours, faults=faults, without=left) for each in count(seed))
    total = Total()
    if trace:
        total.add(*timed(next(plans), say))
    else:
        wanted = run_worlds(islice(plans, first), total, jobs=jobs, lives=lives or inf, seconds=seconds or inf)
        for verdict, cpu in wanted:
            say(json.dumps(facts(verdict, cpu)) if as_json else line(verdict, cpu))
            if verdict.invariant and not as_json:
                _tell(verdict)
    if shrink:
        for verdict in total.violated:
            _tell(shrunk(verdict, say))
    say(json.dumps(sum_of(total)) if as_json else summary(total))
    if total.violated:
        raise click.exceptions.Exit(1)


def line(verdict: Verdict, cpu: float) -> str:
    """One world, for people."""
    return (
        f"seed {verdict.plan.seed}: {verdict.events} events, {verdict.lives} life cycles, {verdict.hours:.2f} h in "
        f"{cpu:.1f} s, all finished after {verdict.calm_seconds:.0f} s, trace {verdict.digest[:16]}"
        + (f", VIOLATED {verdict.invariant}" if verdict.invariant else "")
    )


def summary(total: Total) -> str:
    """All of them, for people."""
    troubles = ", ".join(f"{number} x {each.value}" for each, number in sorted(total.injected.items(), key=_name))
    pace = total.hours / total.cpu if total.cpu else 0.0
    return (
        f"{total.worlds} worlds: {total.events} events, {total.lives} life cycles, {len(total.violated)} violations; "
        f"{total.hours:.1f} simulated hours, {pace:.3f} for each processor second; troubles: {troubles or 'none'}"
    )


def facts(verdict: Verdict, cpu: float) -> dict[str, object]:
    """One world, for programs."""
    return {
        "seed": verdict.plan.seed,
        "options": [option.text for option in verdict.plan.options],
        "events": verdict.events,
        "lives": verdict.lives,
        "hours": round(verdict.hours, 3),
        "cpu_seconds": round(cpu, 2),
        "calm_seconds": round(verdict.calm_seconds, 1),
        "injected": {each.value: number for each, number in sorted(verdict.injected.items(), key=_name)},
        "trace": verdict.digest,
        "violation": verdict.violation or None,
        "again": _again(verdict),
    }


def sum_of(total: Total) -> dict[str, object]:
    """All of them, for programs."""
    return {
        "worlds": total.worlds,
        "events": total.events,
        "lives": total.lives,
        "hours": round(total.hours, 3),
        "cpu_seconds": round(total.cpu, 2),
        "hours_per_cpu_second": round(total.hours / total.cpu, 4) if total.cpu else None,
        "injected": {each.value: number for each, number in sorted(total.injected.items(), key=_name)},
        "violations": [verdict.violation for verdict in total.violated],
    }


def _name(item: tuple[Trouble, int]) -> str:
    return item[0].value


def _again(verdict: Verdict) -> str:
    from ..simulate.shrink import said

    return f"insitu simulate {said(verdict.plan)}"


def _tell(verdict: Verdict) -> None:
    for event in verdict.tail:
        say(event)
    say(f"VIOLATED {verdict.violation}")
    say(f"again: {_again(verdict)} --trace")
