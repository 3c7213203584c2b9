"""The commands below insitu fuzz: one for each target, and one for a module on a link."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio

from ..fuzz import TARGETS, Device, Finding, Report, Target, cast, drive, guided, replay_on
from ..fuzz import fuzz as run_fuzz
from ..fuzz import replay as run_replay
from ..fuzz.device import by_a_stranger
from ..fuzz.scene import scene
from ..protocol.engine import UsageError
from ..protocol.messages import TrustOption
from ..protocol.stores.sealed import StoreKind
from ..shell.card import Card
from ..shell.keeping import wall_clock
from ..shell.reaching import reach
from ..shell.trusting import NOTHING
from .common import DIRECTORY, OPTIONS, emit, open_store, parse_link, run_async, say, store_options

F = TypeVar("F", bound=Callable[..., Any])

BROKEN: Final = 1
"""Exit code: a fault of this program was found."""
BROKEN_DEVICE: Final = 3
"""Exit code: a fault of the other side was found."""
DRIVEN: Final = (TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY)
"""Options under which a unit needs nothing but its card to speak to a module."""
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
        click.option("--seconds", type=click.FloatRange(0.1), help="How long for a target; 10 without --runs."),
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
def every(as_json: bool, **about: Any) -> None:  # noqa: ANN401 - _options
    """Give inputs to one target after the other."""
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
        report = run_fuzz(target, seconds=seconds, runs=runs, seed=seed, corpus=begin_with, found=found)
    else:
        report = guided.fuzz_guided(
            target, seconds=seconds, runs=runs, seed=seed, corpus=begin_with, grows=corpus, found=found
        )
    say(json.dumps(report.facts()) if as_json else _told(report))
    return report


@click.command("module-under-test")
@store_options("card")
@click.option("--link", required=True, help="Where the module is: serial:/dev/ttyUSB0, tcp:HOST:PORT and so on.")
@click.option(
    "--trust",
    type=click.Choice(sorted(option.text for option in DRIVEN)),
    default=TrustOption.CERTIFICATES.text,
    show_default=True,
    help="The trust option that the module expects.",
)
@click.option("--serial", required=True, help="The module's serial number.")
@click.option("--seconds", type=click.FloatRange(0.1), help="How long; 60 without --runs.")
@click.option("--runs", type=click.IntRange(1), help="How many sessions.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same changes to messages.")
@click.option("--patience", type=click.FloatRange(1), default=40.0, show_default=True, help="Seconds for one session.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0.0, help="Seconds to go on trying for the module.")
@click.option(
    "--out",
    type=DIRECTORY,
    default=Path("fuzz-findings"),
    show_default=True,
    help="Directory for sessions that break it.",
)
@click.option("--replay", type=click.Path(path_type=Path, dir_okay=False), help="Hold only the session in this file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def module_under_test(
    card: Path,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    link: str,
    trust: str,
    serial: str,
    seconds: float | None,
    runs: int | None,
    seed: int,
    patience: float,
    wait: float,
    out: Path,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Play the unit to a module on a link, of whatever make, and see what it does with messages that are wrong.

    The module is one that waits for its personalization; it is never personalized by this, and the card signs
    nothing. Exit code 3: the module did something that it must not.
    """
    where, option = parse_link(link, trust), OPTIONS[trust]

    def found(finding: Finding) -> None:
        path = finding.write(out)
        if not as_json:
            say(f"found: {finding.what}; it is in {path}")

    with open_store(card, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)

        async def connect() -> trio.abc.Stream:
            return (await reach(where, seconds=wait)).stream

        def play() -> cast.Cast:
            owner.keys.roll_back()
            certify, central = by_a_stranger(serial), scene().central
            return cast.unit(owner, central, serial, option, NOTHING, wired=False, certify=certify, now=wall_clock)

        device = Device("module-under-test", connect, play, reach=1, now=wall_clock, patience=patience)
        found_any = False

        async def run() -> None:
            nonlocal found_any
            if replay is not None:
                outcome = await replay_on(device, _input(replay))
                found_any = isinstance(outcome, Finding)
                what = outcome.what if isinstance(outcome, Finding) else outcome
                facts = {"target": device.name, "file": str(replay), "broken": found_any, "outcome": what}
                emit(as_json, facts, f"{device.name}: {'broken: ' if found_any else ''}{what}")
                return
            until = 60.0 if seconds is None and runs is None else seconds
            report = await drive(device, seconds=until, runs=runs, seed=seed, found=found)
            found_any = bool(report.findings)
            emit(as_json, report.facts(), _told_of_device(report))

        run_async(run)
    if found_any:
        raise click.exceptions.Exit(BROKEN_DEVICE)


def _told_of_device(report: Report) -> str:
    found = "nothing found" if not report.findings else f"{len(report.findings)} found"
    return (
        f"{report.target}: {report.runs} sessions in {report.seconds:.1f} s, {len(report.outcomes)} outcomes, {found}"
    )


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


_OTHERS: Final[dict[str, click.Command]] = {"all": every, "module-under-test": module_under_test}
