"""insitu check: the tables searched, with an intruder, for anything that must not be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from ..check.mutants import WORLDS as TABLES
from ..check.mutants import Fate, Tried, score
from ..check.report import LARGE, WORLDS, Finding, InvariantBroken, search, search_theme, summary
from ..check.state import Variant
from ..check.themes import THEMES
from ..check.trace import DIAGRAM
from ..protocol.engine import UsageError
from .common import OPTIONS, PATH, say


@click.command()
@click.option(
    "--option",
    type=click.Choice([*sorted(OPTIONS), *THEMES]),
    multiple=True,
    help="Only under this trust option; or only the worlds of a theme: " + ", ".join(THEMES) + ".",
)
@click.option(
    "--variant",
    type=click.Choice([variant.value for variant in Variant]),
    multiple=True,
    help="Only for a unit of this kind.",
)
@click.option(
    "--states",
    type=click.IntRange(1, 100_000_000),
    default=200_000,
    show_default=True,
    help="End each search after so many states, and say that there may be more.",
)
@click.option("--depth", type=click.IntRange(1, 1000), help="Go no further than so many moves.")
@click.option("--large", is_flag=True, help="Everything at once, more than can be searched to the end.")
@click.option("--mutants", is_flag=True, help="Plant faults in the tables instead, one by one, and see what notices.")
@click.option(
    "--table",
    type=click.Choice(list(TABLES)),
    multiple=True,
    help="Only faults in this table.",
)
@click.option("--trace", type=PATH, help="Write the way to the first thing found wrong, a Mermaid diagram.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one object a search.")
def check(
    option: tuple[str, ...],
    variant: tuple[str, ...],
    states: int,
    depth: int | None,
    large: bool,
    mutants: bool,
    table: tuple[str, ...],
    trace: Path | None,
    as_json: bool,
) -> None:
    """Search everything that may happen between the parties, an intruder included, for what must not.

    What runs are the tables and sessions of this program itself. Each line is a world: a few sessions, and so much of
    what may happen besides. States are different situations of that world, moves the steps between them, depth how many
    moves lead to the farthest. A world that was searched to the end has no other situations. Where an option is known
    not to withstand somebody, that must be found, too. Takes minutes, unless told to be less thorough.

    Exit code 1: an invariant does not hold, a known attack was not found, or a planted fault is not noticed and nobody
    has explained why it is harmless.
    """
    if mutants and (option or variant or large or trace is not None or depth is not None):
        raise UsageError("mutants have worlds of their own", who="check", expected="no more than --table and --json")
    if table and not mutants:
        raise UsageError("no mutants", who="check", expected="--mutants", got="--table")
    if mutants:
        _plant(list(table or TABLES), as_json=as_json)
        return
    if trace is not None and trace.is_file() and not trace.read_text(errors="replace").startswith(DIAGRAM):
        raise UsageError(f"{trace} is in use", expected="a new file, or an earlier diagram to replace", got="another")
    findings: list[Finding] = []
    for finding in _found(option, variant, states, depth, large=large):
        findings.append(finding)
        say(json.dumps(finding.facts()) if as_json else finding.line())
        if not finding.as_expected:
            if trace is not None:
                trace.write_text(finding.diagram, encoding="utf-8")
            raise InvariantBroken("the check found a fault", who="check", got=finding.line())
    if not findings:
        got = f"--option {', '.join(option)} --variant {', '.join(variant)}"
        raise UsageError("nobody has such worlds", who="check", expected="an option that these units have", got=got)
    if not as_json:
        say(summary(findings))


def _found(
    option: tuple[str, ...], variant: tuple[str, ...], states: int, depth: int | None, *, large: bool
) -> Iterator[Finding]:
    for name in option or (*sorted(OPTIONS), *THEMES):
        if name in THEMES:
            yield from search_theme(name, states=states, depth=depth)
            continue
        for kind in map(Variant, variant or [each.value for each in Variant]):
            if OPTIONS[name] in kind.options:
                worlds = LARGE if large else WORLDS
                yield from search(OPTIONS[name], kind, states=states, depth=depth, worlds=worlds)


def _plant(tables: list[str], *, as_json: bool) -> None:
    def tell(each: Tried) -> None:
        facts = {"mutant": each.mutant.name, "fate": each.fate.name.lower(), "by": each.by}
        told = f"{each.mutant.name}: {each.fate.value}{f' ({each.by})' if each.by else ''}"
        say(json.dumps(facts) if as_json else told)

    result = score(tables, told=tell)
    killed = sum(each.fate is not Fate.SURVIVED for each in result.outcomes)
    facts = {
        "mutants": len(result.outcomes),
        "killed": killed,
        **{fate.name.lower(): sum(each.fate is fate for each in result.outcomes) for fate in Fate},
        "explained": len(result.reasons),
        "survivors": result.reasons,
        "unexplained": result.unexplained,
        "beyond": result.beyond,
        "tables": result.by_table(),
        "seconds": round(time.process_time()),
    }
    if as_json:
        say(json.dumps(facts))
    else:
        for words in result.beyond:
            say(f"beyond these worlds: {words}")
        say(f"{facts['mutants']} mutants, {killed} killed; of those that survive {facts['explained']} are explained")
    if result.unexplained:
        raise InvariantBroken("a planted fault is not noticed", who="check", got="; ".join(result.unexplained))
