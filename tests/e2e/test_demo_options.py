"""The demonstration by every trust option, over the links that allow it; over others it is refused, with the reason.

`make test` has each option once; `make check` has them over other links as well.
"""

from __future__ import annotations

import json

import pytest
from commands import insitu

from insitu.demo.story import OPTIONS
from insitu.protocol.channel.trust.options import DESCRIPTIONS

ELSEWHERE = [("tcp", "certificates"), ("tcp", "tan"), ("serial", "certificates"), ("serial", "physical")]
"""Looked at closely in test_demo.py."""


FIRST = {trust: "serial" if trust == "physical" else "tcp" for trust in OPTIONS}
"""The link of each option that `make test` looks at."""
SERIAL = ("secret", "conveyed")
"""What is looked at over a serial line besides: options with the most messages, and the most links."""
ALL = [
    (link, trust)
    for link in ("memory", "tcp", "serial")
    for trust in (SERIAL if link == "serial" else OPTIONS)
    if (link, trust) not in ELSEWHERE
]


def is_long(link: str, trust: str) -> bool:
    return link in DESCRIPTIONS[OPTIONS[trust]].links and link != FIRST[trust]


@pytest.mark.parametrize(
    ("link", "trust"), [pytest.param(*one, marks=[pytest.mark.long] if is_long(*one) else []) for one in ALL]
)
def test_every_option_over_the_links_that_allow_it(tmp_path, link, trust):
    ran = insitu("demo", "--link", link, "--trust", trust, "--out", tmp_path / "out", "--json", "--baud", "0")
    if link in DESCRIPTIONS[OPTIONS[trust]].links:
        assert ran.code == 0, ran.err
        report = json.loads(ran.out.splitlines()[-1])
        assert (report["ok"], report["link"], report["trust"]) == (True, link, trust)
    else:
        assert (ran.code, ran.out) == (2, "")
        assert ran.error.startswith(f"trust option {trust} is for a wired local link only")
        assert not (tmp_path / "out").exists()
