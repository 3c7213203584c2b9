"""A card is lost, from the report to the last module that another card certified, without processes (S5, L12, L13)."""

from __future__ import annotations

import pytest
from pump import Line, contact, personalize
from world import SERIAL, Stored, World, wanted

from insitu.protocol.engine import InsituError, StateError
from insitu.protocol.messages import CardRole
from insitu.protocol.parties.central_data import AttentionCalled, CentralState
from insitu.protocol.parties.log_reading import made_in
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import PayOutInstructed
from insitu.protocol.stores.registry import Issuer, NotInRegistry, Standing
from insitu.shell.affected import AGAIN, Fate, affected_by, find_issuer, replacements
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.module import Module

HOUR = 3600
LATE, SILENT, STOLEN = "SN-2", "SN-3", "SN-4"
"""Came here after the loss; never came; personalized by whoever has the card."""


class Loss:
    """A bank with a card that is lost an hour after its first module came; another one was personalized before that.

    Attributes:
        lost: the card that is lost.
        log: that was exported before.
        modules: by serial number.
        at: when it was lost, unix seconds.

    """

    def __init__(self) -> None:
        self.world = world = World()
        self.lost = world.card
        self.modules = {SERIAL: world.module} | {each: world.new_module(each) for each in (LATE, SILENT, STOLEN)}
        for serial in (SERIAL, LATE, SILENT):
            personalize(world, module=self.modules[serial])
        self.log = tuple(made_in(self.lost.log.log, self.lost.customer))
        contact(world).start().finish()
        world.clock.at += HOUR
        self.at = world.clock.at
        world.clock.at += HOUR
        contact(world, module=self.modules[LATE]).start().finish()
        personalize(world, module=self.modules[STOLEN])

    @property
    def issuer(self) -> Issuer:
        return find_issuer(self.world.central.registry, self.lost.customer.fingerprint)

    def report(self, *, keep_known: bool = True) -> None:
        """The operator disables the key."""
        self.world.central.registry.disable_issuer(
            self.issuer.fingerprint, lost=self.at, keep_known=keep_known, actor="operator", at=self.world.clock()
        )

    def fates(self, *, with_log: bool = True) -> dict[str, Fate]:
        found = affected_by(self.world.central.registry, self.issuer, self.log if with_log else ())
        return {each.serial: each.fate for each in found}

    def comes(self, serial: str, central: Central | None = None) -> str:
        """Why the module is not let in; empty if it is."""
        line = contact(self.world, module=self.modules[serial], central=central).start()
        why = str(line.peer.session.error or "")
        assert why or line.peer.session.state in (CentralState.ONLINE, CentralState.ENDED)
        line.finish()
        return why

    def replace(self) -> tuple[Card, Central]:
        """A second card of the same customer, and the host with that card's certificate for it, at another port."""
        world, host = self.world, self.world.central
        second = world.new_card("Bank", "second card")
        host.trust(world.root, second.customer.der, actor="operator")
        world.central_certificate = world.certify(CardRole.CENTRAL, "Host", host.key.public, card=second)
        world.card = second
        return second, Central(
            world.vault("central Host"),
            host.registry,
            certificate=world.central_certificate,
            now=world.clock,
            blocking=False,
            entropy=host.entropy,
        )


@pytest.fixture
def loss() -> Loss:
    return Loss()


DISABLED = "the key that certified it is disabled"


def test_before_the_report_all_are_let_in(loss: Loss):
    assert loss.fates() == dict.fromkeys((SERIAL, LATE, SILENT), Fate.ADMITTED)
    assert loss.comes(SERIAL) == ""


def test_what_was_known_before_stays_and_all_else_is_refused(loss: Loss):
    """The stolen card's own module is not even in the log that was exported before."""
    loss.report()
    assert [loss.comes(each) for each in loss.modules] == ["", *[f"central: module refused ({_said})" for _ in "123"]]
    assert loss.fates() == {SERIAL: Fate.KEPT, LATE: Fate.REFUSED, SILENT: Fate.REFUSED}
    assert loss.fates(with_log=False) == {SERIAL: Fate.KEPT, LATE: Fate.REFUSED}


_said = f"expected one that may work, got {DISABLED}"


def test_without_the_policy_all_are_refused(loss: Loss):
    loss.report(keep_known=False)
    assert all(DISABLED in loss.comes(each) for each in loss.modules)
    assert set(loss.fates().values()) == {Fate.REFUSED}


def test_the_list_says_of_each_what_the_host_does(loss: Loss):
    """By one rule: whoever is kept is let in, whoever is refused is not."""
    for keep_known in (True, False):
        loss.report(keep_known=keep_known)
        for serial, fate in loss.fates().items():
            assert (loss.comes(serial) == "") is (fate is Fate.KEPT), serial


def test_open_sessions_end(loss: Loss):
    """Those that are not kept; the others pay out as before."""
    kept, refused = contact(loss.world).start(), contact(loss.world, module=loss.modules[LATE]).start()
    loss.report()
    for line in (kept, refused):
        line.peer.order(AttentionCalled())
    assert pays(loss.world, kept)
    assert DISABLED in str(refused.peer.session.error)
    assert not pays(loss.world, refused)
    kept.finish()
    refused.finish()


def pays(world: World, line: Line) -> bool:
    before = sum(isinstance(note, PayOutInstructed) for note in world.shown)
    try:
        line.module.order(wanted())
    except InsituError:
        return False
    return sum(isinstance(note, PayOutInstructed) for note in world.shown) == before + 1


def test_another_card_takes_the_place_of_the_lost_one(loss: Loss):
    """Resets by command or by hand, personalization by the second card; what the lost one makes is refused for good."""
    world, registry = loss.world, loss.world.central.registry
    loss.report()
    assert replacements(registry, loss.issuer) == ()
    second, host = loss.replace()
    assert [each.fingerprint for each in replacements(registry, loss.issuer)] == [second.customer.fingerprint]

    world.order_reset(LATE)
    assert loss.fates()[LATE] is Fate.RESET_ORDERED
    loss.comes(LATE)  # to the host that it knows: refused for everything else, it can still be reset
    assert loss.fates()[LATE] is Fate.RESET
    assert loss.modules[LATE].state is ModuleState.RESET
    with pytest.raises(StateError, match="not in the registry"):
        world.order_reset(SILENT)
    for serial in (SILENT, STOLEN):
        loss.modules[serial].reset_by_hand()
    for serial in (LATE, SILENT, STOLEN):
        personalize(world, module=loss.modules[serial])
        assert loss.comes(serial, host) == "", serial
        assert world.entry(serial).issuer == second.customer.fingerprint
    assert loss.fates() == {SERIAL: Fate.KEPT}
    assert loss.comes(SERIAL) == "", "at the port where the host shows the certificate that it pinned"

    world.card = loss.lost  # whoever has it certifies one more, with a later date
    stolen = world.new_module("SN-5")
    personalize(world, module=stolen, unit=world.new_unit(loss.lost, loss.world.central.record.certificate))
    loss.modules["SN-5"] = stolen
    assert DISABLED in loss.comes("SN-5")


def test_a_module_shows_the_host_of_another_card_nothing(loss: Loss):
    """It pinned the certificate by its own card."""
    _, host = loss.replace()
    line = contact(loss.world, central=host).start().finish()
    assert "expected the pinned central system" in str(line.module.error)


def test_a_certificate_that_the_lost_card_made_counts_no_more_once_another_did(loss: Loss):
    """A copy of the module from before, whose certificate was good until the loss."""
    world, late = loss.world, loss.modules[LATE]
    before = Stored.of(world.vault(LATE))
    loss.report()
    _, host = loss.replace()
    late.reset_by_hand()
    personalize(world, module=late)
    assert loss.comes(LATE, host) == ""
    loss.modules["copy"] = Module(before.restored("copy"), now=world.module_clock, steady=world.steady)
    assert DISABLED in loss.comes("copy")


def test_disabled_by_itself(loss: Loss):
    loss.report()
    registry = loss.world.central.registry
    registry.disable_module(SERIAL, actor="operator", at=loss.world.clock(), reason="stolen, too")
    assert loss.fates()[SERIAL] is Fate.DISABLED
    assert Fate.DISABLED not in AGAIN
    registry.enable_module(SERIAL, actor="operator", at=loss.world.clock())
    assert loss.fates()[SERIAL] is Fate.RESET
    assert loss.world.entry().standing is Standing.RESET


def test_nobody_knows_such_an_issuer(loss: Loss):
    with pytest.raises(NotInRegistry, match="no such issuer"):
        find_issuer(loss.world.central.registry, bytes(32))
