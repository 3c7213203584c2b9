"""insitu demo: one module's life, told as it happens."""

from __future__ import annotations

import json
from pathlib import Path

import click
import trio

from ..demo import Report, Stage, tell
from .common import DIRECTORY, OPTIONS


@click.command()
@click.option("--link", type=click.Choice(["memory", "tcp", "serial"]), default="tcp", show_default=True)
@click.option("--trust", type=click.Choice(sorted(OPTIONS)), default="certificates", show_default=True)
@click.option("--out", type=DIRECTORY, required=True, help="Directory to fill; new, or an earlier demo's.")
@click.option("--baud", default=115200, show_default=True, help="Pace of the serial line; 0: as fast as it goes.")
@click.option("--json", "as_json", is_flag=True, help="End with the report as one JSON object on a line.")
def demo(link: str, trust: str, out: Path, baud: int, as_json: bool) -> None:
    """Personalize a module, use it, reset it and personalize it again.

    Over tcp and serial, manufacturer, card, unit, module and central system are processes of their own; the serial
    line is a pair of pseudo-terminals.
    """
    stage = Stage(out)
    report = Report(link, trust, click.echo)
    trio.run(lambda: tell(stage, report, baud=baud))
    if as_json:
        click.echo(json.dumps(report.facts(stage.files())))
    else:
        click.echo(f"{report.seconds:6.2f}s  done over {link}: {report.flights} flights, look into {out}")
