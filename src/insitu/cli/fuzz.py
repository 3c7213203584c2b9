"""insitu fuzz: give a target inputs, and say what broke its sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from ..fuzz import TARGETS, Finding, Report, Target, guided
from ..fuzz import fuzz as run_fuzz
from ..fuzz import replay as run_replay
from ..protocol.engine import UsageError
from .common import DIRECTORY, Group, say

BROKEN: Final = 1
"""Exit code: a fault of this program was found."""
ENGINES: Final = ("auto", "built-in", "atheris")


class Targets(Group):
    """One command for each target."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All targets, in the order of their declaration."""
        return list(TARGETS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command that fuzzes one target."""
        return _command(TARGETS[cmd_name]) if cmd_name in TARGETS else None


@click.group(cls=Targets, invoke_without_command=True, subcommand_metavar="TARGET [OPTIONS]")
@click.option("--list", "listed", is_flag=True, help="Say of each target what holds for every input.")
@click.option("--json", "as_json", is_flag=True, help="The list as JSON, one object a line.")
@click.pass_context
def fuzz(ctx: click.Context, listed: bool, as_json: bool) -> None:
    """Give inputs to the places that take bytes from others.

    Each target has one sentence that holds for every input; an input that breaks it is a finding, written to a file
    that --replay takes. Exit code 1: something was found.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not listed:
        click.echo(ctx.get_help())
        ctx.exit(2)
    for each in TARGETS.values():
        facts = {"target": each.name, "shape": each.shape.name.lower(), "invariant": each.invariant}
        say(json.dumps(facts) if as_json else f"{each.name}: {each.invariant}")


def _command(target: Target) -> click.Command:
    @click.option("--seconds", type=click.FloatRange(0.1), help="How long; 10 without --runs.")
    @click.option("--runs", type=click.IntRange(1), help="How many inputs.")
    @click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same inputs (built-in).")
    @click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="auto",
        show_default=True,
        help="Who chooses the inputs; auto: atheris where it is installed.",
    )
    @click.option("--corpus", type=DIRECTORY, help="Directory of further inputs to begin with; atheris adds to it.")
    @click.option(
        "--out",
        type=DIRECTORY,
        default=Path("fuzz-findings"),
        show_default=True,
        help="Directory for inputs that break it.",
    )
    @click.option("--replay", type=click.Path(path_type=Path, dir_okay=False), help="Take only the input in this file.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
    def command(
        seconds: float | None,
        runs: int | None,
        seed: int,
        engine: str,
        corpus: Path | None,
        out: Path,
        replay: Path | None,
        as_json: bool,
    ) -> None:
        if replay is not None:
            _replay(target, replay, as_json=as_json)
            return
        if seconds is None and runs is None:
            seconds = 10.0
        begin_with = target.seeds() if corpus is None else [*target.seeds(), *_inputs(corpus)]

        def found(finding: Finding) -> None:
            path = finding.write(out)
            if not as_json:
                say(f"found: {finding.what}; replay it with: {finding.replay(path)}")

        if engine == "built-in" or (engine == "auto" and not guided.is_there()):
            report = run_fuzz(target, seconds=seconds, runs=runs, seed=seed, corpus=begin_with, found=found)
        else:
            report = guided.fuzz_guided(
                target, seconds=seconds, runs=runs, seed=seed, corpus=begin_with, grows=corpus, found=found
            )
        say(json.dumps(report.facts()) if as_json else _told(report))
        if report.findings:
            raise click.exceptions.Exit(BROKEN)

    return click.command(target.name, help=target.invariant, short_help=_short(target))(command)


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
    outcome = run_replay(target, _input(file))
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
    return [_input(file) for file in sorted(directory.iterdir()) if file.is_file()]


def _input(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError("cannot be read", who=str(file), expected="an input", got=error.strerror) from error
