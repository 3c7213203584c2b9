"""Every command and every option says what it is for; what is not there is refused."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from commands import insitu

import insitu as package
from insitu.cli import NOUNS, main


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


ALL = list(commands(main))


def test_all_parties_are_there():
    assert {path[0] for path, _ in ALL if path} == set(NOUNS)
    assert {" ".join(path) for path, _ in ALL} >= {
        "manufacturer init",
        "manufacturer sign-customer",
        "manufacturer initialize-module",
        "card init",
        "card approve",
        "unit personalize",
        "module run",
        "module status",
        "module reset",
        "central init",
        "central serve",
    }


@pytest.mark.parametrize(
    ("path", "command"), ALL, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_a_command_says_what_it_is_for(path, command):
    ran = insitu(*path, "--help")
    assert ran.code == 0
    assert "\\b" not in ran.out, "a mark for the printer"
    assert command.get_short_help_str()
    for parameter in command.params:
        if isinstance(parameter, click.Argument):  # it has no help of its own
            assert parameter.human_readable_name.strip("[]") in command.help
            continue
        assert parameter.help, parameter.name
        assert parameter.help.endswith("."), parameter.help
        assert parameter.opts[0] in ran.out


def test_exit_codes_are_documented():
    helped = insitu("--help").out
    for code in (0, 2, 3, 4, 5, 130):
        assert any(line.split()[:1] == [str(code)] for line in helped.splitlines()), code


def test_version():
    ran = insitu("--version")
    assert (ran.code, ran.out) == (0, f"insitu, version {package.__version__}\n")


@pytest.mark.parametrize("words", [["nonsense"], ["card", "nonsense"], ["--nonsense"], ["demo"], ["module", "run"]])
def test_what_is_not_there_or_missing(words):
    ran = insitu(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err.splitlines()[-1]


@pytest.mark.parametrize("words", [[], ["card"]])
def test_a_noun_alone_lists_its_verbs(words):
    ran = insitu(*words)
    assert "Commands:" in ran.out + ran.err
