"""The README's table of trust options is what the command says and what a personalization costs today."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from insitu.protocol.channel.trust.options import DESCRIPTIONS
from insitu.protocol.messages import TrustOption

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def options() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "specs"))
        import options

        return options


@pytest.fixture(scope="module")
def counted(options: ModuleType) -> dict[TrustOption, Any]:
    return {option: options.costs(option) for option in DESCRIPTIONS}


def test_the_readme_is_up_to_date(options: ModuleType):
    written = {}
    options.main(lambda path, text: written.__setitem__(path, text))
    assert written == {ROOT / "README.md": README}, "run `make specs`"


def test_every_option_has_a_row(options: ModuleType):
    rows = options.table().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| `{option.text}`" for option in TrustOption]
    assert {len(row.split(" | ")) for row in rows} == {7}


def test_what_is_counted_repeats(options: ModuleType, counted: dict[TrustOption, Any]):
    assert options.costs.__wrapped__(TrustOption.TAN) == counted[TrustOption.TAN]


def test_what_a_proof_adds(counted: dict[TrustOption, Any]):
    """Two MACs and nothing else; an exchange adds two shares."""
    plain = counted[TrustOption.PHYSICAL].messages
    assert counted[TrustOption.SHIPPED_KEY].messages == plain + 2
    assert counted[TrustOption.SECRET].messages == counted[TrustOption.TAN].messages == plain + 4


def test_the_line_takes_what_a_line_takes(options: ModuleType, counted: dict[TrustOption, Any]):
    """At least ten bits a byte; what the serial link adds and waits is less than half as much again."""
    for cost in counted.values():
        least = cost.size * 10 / options.BAUD
        assert least < cost.seconds < 1.5 * least
