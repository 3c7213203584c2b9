"""insitu demo: one module's life, told as it happens."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..demo import Report, Stage, check, tell
from .common import DIRECTORY, OPTIONS, run_async, say


@click.command()
@click.option(
    "--link",
    type=click.Choice(["memory", "tcp", "serial"]),
    default="tcp",
    show_default=True,
    help="What joins module and unit.",
)
@click.option(
    "--trust",
    type=click.Choice(sorted(OPTIONS)),
    default="certificates",
    show_default=True,
    help="How they trust each other; physical not over tcp.",
)
@click.option(
    "--card",
    type=click.Choice(["file", "pkcs11"]),
    default="file",
    show_default=True,
    help="Where the card is: in a sealed file, or in a token of SoftHSM that the demonstration makes.",
)
@click.option("--out", type=DIRECTORY, required=True, help="Directory to fill; new, or an earlier demo's.")
@click.option(
    "--baud",
    type=click.IntRange(0, 4_000_000),
    default=115200,
    show_default=True,
    help="Pace of the serial line; 0: as fast as it goes.",
)
@click.option("--json", "as_json", is_flag=True, help="End with the report as one JSON object on a line.")
def demo(link: str, trust: str, card: str, out: Path, baud: int, as_json: bool) -> None:
    """Show a module's life: made, used, reset, made anew.

    Over tcp and serial, manufacturer, card, unit, module and central system are processes of their own; the serial
    line is a pair of pseudo-terminals.
    """
    check(link, trust, card)
    with Stage(out) as stage:
        report = Report(link, trust, say)
        ok = False
        try:
            run_async(lambda: tell(stage, report, baud=baud, card=card))
            ok = True
        finally:
            if as_json:
                say(json.dumps(report.facts(stage.files(), ok=ok)))
        if not as_json:
            say(f"{report.seconds:6.2f}s  done over {link}: {report.flights} flights, look into {out}")
