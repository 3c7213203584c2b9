"""The model checker at the manufacturer's bench: a module is delivered whole or not at all, and no other is like it."""

from __future__ import annotations

from guards import unguarded

from insitu.check.delivering import Bench, ByMadeKey, Delivering
from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.state import Limits
from insitu.check.trace import mermaid
from insitu.protocol.messages import IDENTITY, ModuleRecord, TrustOption
from insitu.protocol.parties.manufacturer import MANUFACTURER, IdentityRequested
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.module_data import MANUFACTURED
from insitu.shell.manufacturer import Manufacturer

B = Bench


def test_two_modules_to_the_end():
    report = Search(Delivering({B.CRASHES: 1, B.TRIES: 3, B.SWAPPED: 1})).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.states > 200
    assert report.liveness == report.states - 1


def test_modules_without_identity_or_key_and_key_memory_that_fails_to_the_end():
    world = Delivering({B.TRIES: 2, B.PLAIN: 1, B.FAILURES: 1})
    report = Search(world).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    vaults = [world.stores[number].vault for number in range(len(world.stores))]
    delivered = {vault.durable & {IDENTITY, MANUFACTURED} for vault in vaults if vault.record is not None}
    assert delivered == {frozenset(), frozenset({IDENTITY}), frozenset({IDENTITY, MANUFACTURED})}


def test_an_identity_that_nobody_wanted_or_that_is_missing_is_noticed():
    with instead(MODULE, unguarded(MODULE, "identity_is_wanted")):
        report = Search(Delivering({B.TRIES: 1, B.PLAIN: 1})).run()
    assert report.violation is not None
    assert report.violation.what == "a blank module cannot be delivered any more, with no identity"


def test_a_certificate_of_somebody_else_that_passes_is_noticed():
    with instead(MODULE, unguarded(MODULE, "identity_is_ours")):
        report = Search(Delivering({B.TRIES: 1, B.PRESENTED: 1}), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "l1_a_module_is_delivered_whole_or_blank"


def test_a_serial_number_that_is_given_twice_is_noticed(monkeypatch):
    def certify(office: Manufacturer, serial: str, public: object) -> bytes:
        return office._issue(IdentityRequested(serial, public, office._entropy(16), office._now()))  # type: ignore[arg-type]

    monkeypatch.setattr(Manufacturer, "certify_identity", certify)
    Delivering({})  # how it begins is not part of it
    with instead(MANUFACTURER, unguarded(MANUFACTURER, "serial_is_unused")):
        report = Search(Delivering({B.TRIES: 2}), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "s7_no_two_modules_have_a_number_or_a_key_in_common"


def test_a_key_made_at_manufacture_that_outlives_a_reset_is_noticed(monkeypatch):
    world = ByMadeKey(TrustOption.CERTIFICATES, limits=Limits(module=1, first=1, second=0, crashes=0, jobs=0))
    begin = world.initial()
    monkeypatch.setattr(ModuleRecord, "lasting", property(lambda record: frozenset({IDENTITY, MANUFACTURED})))
    report = Search(world, live=False, begin=begin).run()
    assert report.violation is not None
    assert report.violation.invariant == "l3_a_key_made_at_manufacture_serves_until_the_first_reset"
