"""Every invariant of simulated worlds can be violated: each is shown an event that must not happen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pump import contact, personalize
from world import DAY, NOW, SERIAL, World

from insitu.protocol.engine import given
from insitu.protocol.messages import Intent as ChannelIntent
from insitu.protocol.messages import ModuleCondition, ModuleRecord, Purpose, TrustOption
from insitu.protocol.progress import Secured
from insitu.protocol.stores.card_log import Intent, ListIntent, Result
from insitu.protocol.stores.registry import Change, Delivery, Standing, Transaction
from insitu.simulate import invariants
from insitu.simulate.history import (
    CardLogged,
    ChannelSecured,
    History,
    HostDecided,
    LineWritten,
    MessageSeen,
    ModuleAdmitted,
    ModuleReportedDone,
    ModuleWrote,
    PayloadSealed,
    PayOutShown,
    RegistryWrote,
    RemainsFound,
    SecretServed,
    StandingLeft,
    StoreFound,
    TanTried,
    Violation,
)

ROOT = Path(__file__).parents[2]


@dataclass
class Scene:
    """A module that operates, and what has happened so far.

    Attributes:
        fresh, record: its record before and after its personalization.
        intent: what the card announced.

    """

    world: World
    history: History
    fresh: ModuleRecord
    record: ModuleRecord
    intent: Intent

    def wrote(self, before: ModuleRecord | None, **changes: Any) -> ModuleWrote:
        return ModuleWrote(SERIAL, before, replace(self.record, **changes), self.world.module.keys)


@pytest.fixture
def scene(world: World) -> Scene:
    fresh = world.module.record
    personalize(world)
    record = world.module.record
    contact(world).start().finish()
    signed = given(record.module)[4:-80]
    history = History(lambda: NOW, words=("secret-word",))
    history.customers[given(record.customer)] = "bank"
    history.centrals[given(record.central)] = "bank"
    history.owners[SERIAL] = "bank"
    intent = Intent(b"job", "module", SERIAL, ("alice", "bob"), signed)
    history.approved[b"job"] = {"alice", "bob"}
    history.points[SERIAL] = {world.module.operating_key}
    return Scene(world, history, fresh, record, intent)


def good(scene: Scene) -> list[object]:
    """What may happen."""
    entry = scene.world.entry()
    channel = ChannelIntent(purpose=Purpose.PERSONALIZE, option=TrustOption.TAN)
    return [
        CardLogged("card", scene.intent),
        CardLogged("card", Result(b"job", b"", b"")),
        scene.wrote(scene.fresh),
        scene.wrote(scene.record, last=7),
        RegistryWrote("host", entry, entry, Change(entry)),
        ModuleAdmitted("host", entry),
        HostDecided(SERIAL, 1, 500),
        PayOutShown(SERIAL, 1, 500),
        SecretServed(SERIAL, NOW, NOW),
        ModuleReportedDone(SERIAL, given(scene.record.module)),
        TanTried(SERIAL, "tan-1"),
        PayloadSealed(bytes(100)),
        MessageSeen(bytes(100)),
        LineWritten("nothing to hide"),
        ChannelSecured(TrustOption.TAN, Secured("module", "unit", channel, 1, 3)),
        StoreFound(SERIAL, may_be=True),
    ]


def test_what_may_happen_may_happen(scene: Scene):
    for event in good(scene):
        invariants.check(scene.history, event)
    assert {type(event) for event in good(scene)} | {RemainsFound} == set(invariants.CHECKS)


def operating(scene: Scene) -> list[object]:
    return good(scene)[:4]


def of_another_key(scene: Scene) -> list[object]:
    return [*operating(scene), scene.wrote(scene.record, epoch=9)]


def at_the_registry(scene: Scene, **changes: Any) -> RegistryWrote:
    entry = scene.world.entry()
    return RegistryWrote("host", entry, replace(entry, **changes), Change(entry))


def delivered(scene: Scene, payload: bytes) -> RegistryWrote:
    entry = scene.world.entry()
    return RegistryWrote("host", entry, entry, Change(entry, delivery=Delivery(SERIAL, 1, payload, NOW)))


def of_business(scene: Scene) -> RegistryWrote:
    entry = scene.world.entry()
    scene.history.given[b"payload"] = SERIAL
    return RegistryWrote("host", entry, entry, Change(entry, delivery=Delivery(SERIAL, 1, b"payload", NOW)))


def too_late(scene: Scene) -> list[object]:
    entry = scene.world.entry()
    scene.history.revoked["host"] = {(entry.issuer, entry.certificate_number): NOW - 61}
    return [of_business(scene)]


def lost_too_long_ago(scene: Scene) -> list[object]:
    scene.history.lost["host"] = {scene.world.entry().issuer: NOW - 61}
    return [of_business(scene)]


def not_reset(scene: Scene) -> list[object]:
    entry = scene.world.entry()
    ordered, reset = (replace(entry, standing=each) for each in (Standing.RESET_ORDERED, Standing.RESET))
    return [*operating(scene), RegistryWrote("host", ordered, reset, Change(reset))]


def paid_by_nobody(scene: Scene) -> list[object]:
    entry = scene.world.entry()
    about = Transaction(SERIAL, 1, 0, "1234", "1234", 500, "EUR", NOW, paid=500, settled=NOW)
    return [RegistryWrote("host", entry, entry, Change(entry, transaction=about))]


def twice(event: object) -> list[object]:
    return [event, event]


def disabled(scene: Scene) -> RegistryWrote:
    entry = scene.world.entry()
    return RegistryWrote("host", replace(entry, standing=Standing.DISABLED), entry, Change(entry))


def reset_and_admitted(scene: Scene) -> RegistryWrote:
    entry = scene.world.entry()
    return RegistryWrote("host", replace(entry, standing=Standing.RESET), entry, Change(entry))


def retired(scene: Scene) -> list[object]:
    entry = scene.world.entry()
    other = replace(entry, fingerprint=bytes(32))
    displaced = RegistryWrote("host", entry, other, Change(other))
    return [displaced, RegistryWrote("host", other, entry, Change(entry))]


def lost(scene: Scene) -> list[object]:
    scene.history.lost["host"] = {scene.world.entry().issuer: NOW}
    return [ModuleAdmitted("host", scene.world.entry())]


def listed(scene: Scene) -> list[object]:
    entry = scene.world.entry()
    scene.history.revoked["host"] = {(entry.issuer, entry.certificate_number): NOW}
    return [ModuleAdmitted("host", entry)]


def by_standing(scene: Scene, serials: str, *, left: int) -> CardLogged:
    scene.history.approved[b"standing"] = {"alice", "bob"}
    scene.history.standing[b"standing"] = StandingLeft((serials,), left)
    scene.history.intents.clear()
    return CardLogged("card", replace(scene.intent, standing=b"standing"))


def list_by(*approvers: str) -> ListIntent:
    return ListIntent(b"list", 1, (bytes(16),), NOW + DAY, approvers, bytes(32))


def with_a_key_in_it(scene: Scene) -> list[object]:
    scene.history.keep_secret(scene.world.module.keys, given(scene.world.module.keys.find(given(scene.record.key))))
    private = scene.world.module.keys.storage.private_bytes_for_sealing(given(scene.record.key))
    return [*operating(scene), MessageSeen(b"..." + private)]


def told_in_a_channel(scene: Scene) -> list[object]:
    *before, message = with_a_key_in_it(scene)
    assert isinstance(message, MessageSeen)
    return [*before, PayloadSealed(message.frame)]


def shared(scene: Scene) -> list[object]:
    scene.history.operating[scene.world.module.operating_key] = "SN-other"
    return operating(scene)[:3]


def nobodys(scene: Scene) -> list[object]:
    scene.history.centrals.clear()
    return operating(scene)[:3]


def of_another_owner(scene: Scene) -> list[object]:
    scene.history.centrals[given(scene.record.central)] = "another bank"
    return operating(scene)[:3]


def withdrawn(scene: Scene) -> list[object]:
    scene.history.withdrawn["card"] = {SERIAL: NOW - 331}
    return operating(scene)[:1]


def not_logged(scene: Scene) -> list[object]:
    return [scene.wrote(scene.fresh)]


def not_own(scene: Scene) -> list[object]:
    scene.history.points[SERIAL] = {bytes(65)}
    return operating(scene)[:1]


def accepted_twice(scene: Scene) -> list[object]:
    scene.history.accepted[SERIAL, scene.record.epoch] = bytes(32)
    return operating(scene)[:3]


def kept_its_keys(scene: Scene) -> list[object]:
    return [scene.wrote(None, condition=ModuleCondition.RESET)]


Bad = Callable[[Scene], list[object]]
VIOLATIONS: list[tuple[str, Bad]] = [
    ("S1", of_another_key),
    ("S1", lambda scene: [scene.wrote(scene.record, condition=ModuleCondition.DELIVERED)]),
    ("S2", nobodys),
    ("S2", lambda scene: [scene.wrote(scene.fresh, module=scene.record.identity)]),
    ("S2", lambda scene: [ModuleReportedDone(SERIAL, given(scene.record.module))]),
    ("S2", of_another_owner),
    ("S3", kept_its_keys),
    ("S3", not_reset),
    ("S3", lambda scene: [StoreFound(SERIAL, may_be=False)]),
    ("S3", lambda scene: [RemainsFound(SERIAL)]),
    ("S4", retired),
    ("S4", lambda scene: [reset_and_admitted(scene)]),
    ("S4", lambda scene: [at_the_registry(scene, generation=0)]),
    ("S5", lambda scene: [disabled(scene)]),
    ("S5", lost),
    ("S5", listed),
    ("S5", withdrawn),
    ("S5", too_late),
    ("S5", lost_too_long_ago),
    ("S6", lambda scene: [CardLogged("card", replace(scene.intent, approvers=("alice", "mallory")))]),
    ("S6", lambda scene: [CardLogged("card", replace(scene.intent, approvers=("alice",)))]),
    ("S6", lambda scene: twice(CardLogged("card", scene.intent))),
    ("S6", lambda scene: [CardLogged("card", list_by("alice", "bob"))]),
    ("S6", lambda scene: [CardLogged("card", Result(b"job", b"", b""))]),
    ("S6", not_logged),
    ("S6", lambda scene: [by_standing(scene, SERIAL, left=0)]),
    ("S6", lambda scene: [by_standing(scene, "SX-", left=1)]),
    ("S7", shared),
    ("S8", lambda scene: [SecretServed(SERIAL, NOW, NOW + DAY)]),
    ("S9", with_a_key_in_it),
    ("S9", told_in_a_channel),
    ("S9", lambda scene: [LineWritten("it is secret-word-1")]),
    ("S10", lambda scene: twice(HostDecided(SERIAL, 1, 500))),
    ("S10", lambda scene: [HostDecided(SERIAL, 1, 500), *twice(PayOutShown(SERIAL, 1, 500))]),
    ("S10", lambda scene: [HostDecided(SERIAL, 1, 500), PayOutShown(SERIAL, 1, 501)]),
    ("S10", lambda scene: [delivered(scene, b"never sent")]),
    ("S10", paid_by_nobody),
    ("S10", lambda scene: twice(TanTried(SERIAL, "tan-1"))),
    ("S11", not_own),
    ("S12", accepted_twice),
    (
        "S13",
        lambda scene: [
            ChannelSecured(
                TrustOption.TAN,
                Secured("module", "unit", ChannelIntent(purpose=Purpose.STATUS, option=TrustOption.PHYSICAL), 1, 3),
            )
        ],
    ),
]


@pytest.mark.parametrize(
    ("invariant", "bad"), VIOLATIONS, ids=[f"{n}-{name}" for n, (name, _) in enumerate(VIOLATIONS)]
)
def test_what_must_not_happen_is_seen(scene: Scene, invariant: str, bad: Bad):
    *before, last = bad(scene)
    for event in before:
        invariants.check(scene.history, event)
    with pytest.raises(Violation) as raised:
        invariants.check(scene.history, last)
    assert raised.value.invariant == invariant


def test_a_list_that_two_approved_may_be(scene: Scene):
    scene.history.approved[b"list"] = {"alice", "bob"}
    for what in (list_by("alice", "bob"), Result(b"list", b"", b"")):
        invariants.check(scene.history, CardLogged("card", what))


def test_a_standing_approval_is_used_up(scene: Scene):
    first = by_standing(scene, "SN-", left=1)
    assert isinstance(first.what, Intent)
    invariants.check(scene.history, first)
    with pytest.raises(Violation, match="S6"):
        invariants.check(scene.history, CardLogged("card", replace(first.what, job=b"another job")))


def test_a_payload_is_taken_in_once(scene: Scene):
    scene.history.given[b"payload"] = SERIAL
    invariants.check(scene.history, delivered(scene, b"payload"))
    with pytest.raises(Violation, match="S10"):
        invariants.check(scene.history, delivered(scene, b"payload"))


def test_every_invariant_has_its_functions_and_each_says_what_it_means():
    checks = {check for checks in invariants.CHECKS.values() for check in checks}
    named = {name: what for name, what in vars(invariants).items() if re.match(r"s\d+_", name)}
    assert set(named.values()) == checks
    assert {name.partition("_")[0].upper() for name in named} == {f"S{number}" for number in range(1, 14)}
    assert {invariant for invariant, _ in VIOLATIONS} == {f"S{number}" for number in range(1, 14)}
    assert all(what.__doc__ for what in named.values())
