"""The model checker where card and central system enrol each other: nobody else gets in, whoever asks (L14)."""

from __future__ import annotations

from dataclasses import replace

from insitu.check.enrolling import Enrolling, MutualEnrolling, Stolen
from insitu.check.mutants import Mutant, instead
from insitu.check.search import Search
from insitu.check.themes import ENROLLING
from insitu.check.trace import mermaid
from insitu.protocol.channel.trust import CentralEnrolling
from insitu.protocol.engine import given
from insitu.protocol.parties.card import CARD, two_people_approved_exactly_this
from insitu.protocol.parties.card_data import CardData, CertificateWanted
from insitu.protocol.parties.central_enrolling import CENTRAL_ENROLLING

E = Enrolling


def test_one_session_and_what_people_and_a_thief_do_then_to_the_end():
    scenario = MutualEnrolling({E.CRASHES: 1, E.PROPOSED: 1, E.OTHERS: 1}, runs=(1, 1, 0))
    report = Search(scenario).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.liveness == report.states - 1
    happened = set().union(*map(scenario.facts.__getitem__, range(len(scenario.facts))))
    assert {fact[0] for fact in happened} > {"said", "needed", "asked", "approved", "certified"}


def test_together_the_worlds_have_all_that_may_happen():
    worlds = [make() for make in ENROLLING.values()]
    assert {each for world in worlds for each in world.budget} == set(Enrolling)
    assert {each for world in worlds for each in world.stolen} == set(Stolen)
    assert all(place.runs for place in worlds[1].places)


def test_an_answer_that_leaves_before_the_key_is_entered_is_noticed():
    """The power fails between them: the card tells what is not so."""
    number = next(
        n for n, row in enumerate(CENTRAL_ENROLLING.rows) if row.do is not None and row.do.__name__ == "enter"
    )
    only = frozenset({"l14_who_is_told_that_it_is_enrolled_is"})
    with instead(CENTRAL_ENROLLING, Mutant("central-enrolling", number, "Persist last").rows()):
        report = Search(MutualEnrolling({E.CRASHES: 1}, runs=(1, 1, 0)), live=False, only=only).run()
    assert report.violation is not None
    assert any(move.kind == "crash" for move in report.trace)


def test_a_central_system_that_enters_any_card_of_the_manufacturers_is_noticed(monkeypatch):
    """The fingerprint that people compare keeps the rival out, whom the manufacturer certified like any other."""
    judge = CentralEnrolling.judge

    def any_card(self: CentralEnrolling, claim, at):
        monkeypatch.setattr("insitu.protocol.channel.trust.enrolling.sha256", lambda _: _Same(self.customer))
        return judge(self, claim, at)

    monkeypatch.setattr(CentralEnrolling, "judge", any_card)
    report = Search(MutualEnrolling({}, runs=(1, 1, 0)), live=False).run()
    assert report.violation is not None


def test_a_card_that_looks_at_the_names_only_is_noticed():
    """Two people approved the central system's key, and the thief has his own certified by that job."""

    def two_people_approved(data: CardData, event: CertificateWanted) -> bool:
        jobs = [job for job in given(data.held).jobs if job.number == event.number]
        return bool(jobs) and len(set(jobs[0].approvals)) >= 2

    rows = [
        replace(row, when=two_people_approved) if row.when is two_people_approved_exactly_this else row
        for row in CARD.rows
    ]
    only = frozenset({"s6_two_people_approved_each_certificate_for_a_central_system"})
    with instead(CARD, tuple(rows)):
        report = Search(MutualEnrolling({E.PROPOSED: 1}, runs=(1, 1, 0)), live=False, only=only).run()
    assert report.violation is not None
    assert report.violation.what == "a certificate for another key than people approved"


class _Same:
    """A digest that is what somebody wants it to be."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted

    def digest(self) -> bytes:
        return self._wanted
