"""The commands below insitu fuzz: one for each target, and one for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..fuzz import TARGETS, Finding, Report, Target, guided
from ..fuzz import fuzz as run_fuzz
from ..fuzz import replay as run_replay
from ..fuzz.totals import add_report, told_time, totals
from ..protocol.engine import UsageError
from .common import DIRECTORY, PATH, Number, say
from .fuzz_device import module_under_test, read_input

F = TypeVar("F", bound=Callable[..., Any])

BROKEN: Final = 1
"""Exit code: a fault of this program was found."""
ENGINES: Final = ("auto", "built-in", "atheris")


def names() -> list[str]:
    """All targets, in the order of their declaration, and what is no single target."""
    return [*TARGETS, *_OTHERS]


def command_of(name: str) -> click.Command | None:
    """The command that fuzzes one target."""
    return _command(TARGETS[name]) if name in TARGETS else _OTHERS.get(name)


def list_targets(*, as_json: bool) -> None:
    """Say of each target what holds."""
    for each in TARGETS.values():
        facts = {"target": each.name, "shape": each.shape.name.lower(), "invariant": each.invariant}
        say(json.dumps(facts) if as_json else f"{each.name}: {each.invariant}")


def _options(command: F) -> F:
    """What a run over any number of targets takes."""
    options = (
        click.option("--seconds", type=Number(0.1), help="How long for a target; 10 without --runs."),
        click.option("--runs", type=click.IntRange(1), help="How many inputs for a target."),
        click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same (built-in)."),
        click.option(
            "--engine",
            type=click.Choice(ENGINES),
            default="auto",
            show_default=True,
            help="Who chooses the inputs; auto: atheris where it is installed.",
        ),
        click.option(
            "--out",
            type=DIRECTORY,
            default=Path("fuzz-findings"),
            show_default=True,
            help="Directory for inputs that break a target.",
        ),
        click.option("--report", type=PATH, help="Add a line of JSON for each target to this file; --sum adds it up."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each target."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _command(target: Target) -> click.Command:
    @_options
    @click.option("--corpus", type=DIRECTORY, help="Directory of further inputs to begin with; atheris adds to it.")
    @click.option("--replay", type=click.Path(path_type=Path, dir_okay=False), help="Take only the input in this file.")
    def command(corpus: Path | None, replay: Path | None, as_json: bool, **about: Any) -> None:  # noqa: ANN401 - _options
        if replay is not None:
            _replay(target, replay, as_json=as_json)
        elif _run(target, corpus=corpus, as_json=as_json, **about).findings:
            raise click.exceptions.Exit(BROKEN)

    return click.command(target.name, help=target.invariant, short_help=_short(target))(command)


@click.command("all")
@_options
@click.option("--total", type=Number(1), help="How long for all of them together, instead of --seconds.")
def every(total: float | None, as_json: bool, **about: Any) -> None:  # noqa: ANN401 - _options
    """Give inputs to one target after the other."""
    if total is not None:
        if about["seconds"] is not None:
            raise UsageError("time", expected="--total, or --seconds for each target", got="both")
        about["seconds"] = total / len(TARGETS)
    reports = [_run(target, corpus=None, as_json=as_json, **about) for target in TARGETS.values()]
    if any(report.findings for report in reports):
        raise click.exceptions.Exit(BROKEN)


def _run(
    target: Target,
    *,
    seconds: float | None,
    runs: int | None,
    seed: int,
    engine: str,
    corpus: Path | None,
    out: Path,
    report: Path | None,
    as_json: bool,
) -> Report:
    if seconds is None and runs is None:
        seconds = 10.0
    begin_with = target.seeds() if corpus is None else [*target.seeds(), *_inputs(corpus)]

    def found(finding: Finding) -> None:
        path = finding.write(out)
        if not as_json:
            say(f"found: {finding.what}; replay it with: {finding.replay(path)}")

    if engine == "built-in" or (engine == "auto" and not guided.is_there()):
        ran = run_fuzz(target, seconds=seconds, runs=runs, seed=seed, corpus=begin_with, found=found)
    else:
        ran = guided.fuzz_guided(
            target, seconds=seconds, runs=runs, seed=seed, corpus=begin_with, grows=corpus, found=found
        )
    if report is not None:
        add_report(report, ran)
    say(json.dumps(ran.facts()) if as_json else _told(ran))
    return ran


def sum_up(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Say what the runs came to that these files report."""
    for each in totals(files):
        said = f"{each['target']}: {each['reports']} runs, {each['inputs']:,} inputs"
        time = told_time(each["processor_seconds"])
        say(json.dumps(each) if as_json else f"{said}, {time}, {each['findings']} found")


def _short(target: Target) -> str:
    """The beginning of its sentence."""
    return target.invariant if len(target.invariant) < 90 else f"{target.invariant[:86].rsplit(' ', 1)[0]} ..."


def _told(report: Report) -> str:
    found = "nothing found" if not report.findings else f"{len(report.findings)} found"
    return (
        f"{report.target}: {report.runs} runs in {report.seconds:.1f} s by the {report.engine} engine, "
        f"{report.per_second:.0f} a second (empty target {report.empty_per_second:.0f}, {report.ratio:.1f} times), "
        f"{len(report.outcomes)} outcomes, {found}"
    )


def _replay(target: Target, file: Path, *, as_json: bool) -> None:
    outcome = run_replay(target, read_input(file))
    broken = isinstance(outcome, Finding)
    what = outcome.what if isinstance(outcome, Finding) else outcome
    if as_json:
        say(json.dumps({"target": target.name, "file": str(file), "broken": broken, "outcome": what}))
    else:
        say(f"{target.name}: {'broken: ' if broken else ''}{what}")
    if isinstance(outcome, Finding):
        click.echo("\n".join(outcome.trace.splitlines()[1:]), err=True)
        raise click.exceptions.Exit(BROKEN)


def _inputs(directory: Path) -> list[bytes]:
    if not directory.is_dir():
        raise UsageError("not there", who=str(directory), expected="a directory of inputs")
    return [read_input(file) for file in sorted(directory.iterdir()) if file.is_file()]


_OTHERS: Final[dict[str, click.Command]] = {"all": every, "module-under-test": module_under_test}
