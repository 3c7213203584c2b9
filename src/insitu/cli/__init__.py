"""The command line: nouns with verbs under them. Each noun's file is read when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from .. import __version__
from .common import Group

NOUNS: Final = (
    *("manufacturer", "module", "card", "log", "unit", "mobile", "tan", "central"),
    *("trust", "demo", "simulate", "ports", "check", "fuzz"),
)
HELP: Final = """Personalize the security modules of ATMs where they stand.

\b
Exit codes:
  0    done; for programs that run on: ended by SIGTERM
  2    your mistake: an option, file, PIN or passphrase
  3    the other side's: what it sent, or its certificate or request
  4    port, disk, token or hook command
  5    not in this state, or not approved
  130  interrupted
1 is a fault of this program: please report it, with what it wrote.
check, fuzz and simulate end with 1 where they find something.
"""


class Nouns(Group):
    """Loads a noun's commands when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All nouns, in the order of a module's life."""
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The commands of one noun."""
        if cmd_name not in NOUNS:
            return None
        command = getattr(import_module(f".{cmd_name}", __name__), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - our own modules
        return command


@click.group(cls=Nouns, help=HELP)
@click.version_option(__version__, prog_name="insitu")
def main() -> None:
    """The command `insitu`."""
