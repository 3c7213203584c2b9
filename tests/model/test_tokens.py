"""The model checker where TANs are keys in tokens (A8)."""

from __future__ import annotations

from dataclasses import replace

from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.state import Limits
from insitu.check.tokens import ByToken, sealed
from insitu.check.trace import mermaid
from insitu.check.world import BANKS
from insitu.protocol.channel.trust.token import UNIT_TOKEN
from insitu.protocol.messages import TrustOption

ONE = Limits(module=1, first=1, second=0, crashes=0)


def test_one_session_to_the_end_while_the_tan_may_be_revoked():
    report = Search(ByToken(limits=ONE, revoked=1)).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.liveness == report.states - 1


def test_it_is_a_key_in_a_token_and_the_other_banks_is_another():
    one, other = map(sealed, BANKS)
    assert one.token.labels() == other.token.labels() == {"SN-1"}
    assert one.token.secrets() != other.token.secrets()
    world = ByToken(limits=ONE)
    joined = world.joined(world.initial(), 1)
    assert joined is not None
    unit = world.ends[joined.slots[1].end].session
    assert (world.option, unit.handshake.terms.option) == (TrustOption.TAN, TrustOption.TAN)


def test_a_tan_that_is_counted_without_an_answer_is_noticed():
    """The unit waits for ever, and with it the module."""
    rows = [
        replace(row, do=None) if row.do is not None and row.do.__name__ == "check" else row for row in UNIT_TOKEN.rows
    ]
    with instead(UNIT_TOKEN, tuple(rows)):
        report = Search(ByToken(limits=ONE)).run()
    assert report.violation is not None
