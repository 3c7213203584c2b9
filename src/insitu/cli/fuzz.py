"""insitu fuzz: give a target inputs, and say what broke its sentence. The targets are read when one is asked for."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH, Group


class Targets(Group):
    """One command for each target."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All targets."""
        from .fuzz_targets import names

        return names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command that fuzzes one target."""
        from .fuzz_targets import command_of

        return command_of(cmd_name)


@click.group(cls=Targets, invoke_without_command=True, subcommand_metavar="TARGET [OPTIONS]")
@click.option("--list", "listed", is_flag=True, help="Say of each target what holds for every input.")
@click.option("--sum", "reports", type=PATH, multiple=True, help="Say what the runs in this file of --report came to.")
@click.option("--json", "as_json", is_flag=True, help="List or sum as JSON, one object a line.")
@click.pass_context
def fuzz(ctx: click.Context, listed: bool, reports: tuple[Path, ...], as_json: bool) -> None:
    """Give inputs to the places that take bytes from others.

    Each target has one sentence that holds for every input; an input that breaks it is a finding, written to a file
    that --replay takes. Exit code 1: something was found.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not listed and not reports:
        click.echo(ctx.get_help())
        ctx.exit(2)
    from .fuzz_targets import list_targets, sum_up

    if listed:
        list_targets(as_json=as_json)
    if reports:
        sum_up(reports, as_json=as_json)
