"""Wrong attempts by link: fewer than lock a module, then a pause; whoever is elsewhere goes on (resource limits)."""

from __future__ import annotations

import pytest
from intruder import Intruder, Trap
from pump import NoStream, Side
from world import SERIAL, Clock, World

from insitu.protocol.channel.trust import BySecret
from insitu.protocol.engine import Fault, KeyKind
from insitu.protocol.messages import FaultNotice, PakeShare, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores.tans import MOST_WRONG
from insitu.shell.attempts import MOST_FROM_ONE, MOST_LINKS, PAUSE_SECONDS, LinkLimit, LinkPaused
from insitu.shell.module import Module


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


@pytest.fixture
def limit(clock: Clock) -> LinkLimit:
    return LinkLimit(clock)


def exhaust(limit: LinkLimit, origin: str = "10.0.0.1") -> None:
    for _ in range(MOST_FROM_ONE):
        limit.begin(origin)
    with pytest.raises(LinkPaused):
        limit.begin(origin)


def test_no_link_alone_locks_a_module():
    assert MOST_FROM_ONE < MOST_WRONG


def test_the_pause_is_said_and_ends(limit: LinkLimit, clock: Clock):
    exhaust(limit)
    clock.at += 60
    with pytest.raises(LinkPaused, match=f"another attempt in {PAUSE_SECONDS - 60} seconds, got 3 wrong ones"):
        limit.begin("10.0.0.1")
    clock.at += PAUSE_SECONDS - 60
    exhaust(limit)


def test_a_refused_attempt_does_not_lengthen_it(limit: LinkLimit, clock: Clock):
    exhaust(limit)
    clock.at += PAUSE_SECONDS - 1
    with pytest.raises(LinkPaused):
        limit.begin("10.0.0.1")
    clock.at += 1
    limit.begin("10.0.0.1")


def test_others_go_on_and_so_does_who_was_right(limit: LinkLimit):
    exhaust(limit)
    exhaust(limit, "10.0.0.2")
    limit.right("10.0.0.1")
    exhaust(limit)


def test_without_an_origin_nothing_is_counted(limit: LinkLimit):
    for _ in range(100):
        limit.begin("")


def test_memory_is_bounded_and_the_newest_are_remembered(limit: LinkLimit):
    for number in range(MOST_LINKS):
        limit.begin(f"other {number}")
    exhaust(limit)
    for number in range(MOST_LINKS - 1):
        limit.begin(f"another {number}")
    with pytest.raises(LinkPaused):
        limit.begin("10.0.0.1")
    assert len(limit._counts) == MOST_LINKS


# At a module -------------------------------------------------------------------------------------------------


def guess_over(world: World, module: Module, origin: str) -> list[object]:
    """Somebody tries a wrong secret over the link from there; what the module said."""
    vault = world.vault("mallory")
    vault.roll_back()
    key, password = vault.generate("k", KeyKind.P256, b""), vault.storage.share_password("guess", b"a wrong guess")
    terms = BySecret.unit("Bank", key, password, SERIAL, root=world.card.root)
    work = module.meet_unit(NoStream(), TrustOption.SECRET, origin=origin)  # type: ignore[arg-type]
    trap = Trap(Side("module", work), Intruder(terms, vault))
    share = vault.start_pake("x", password, (b"a", b"b"), begins=False)
    trap.say(PakeShare(share))
    trap.finish()
    return list(trap.intruder.got[1:])


def test_a_module_answers_no_fourth_guess_from_one_place(world: World, clock: Clock):
    world.equip(TrustOption.SECRET)
    module = Module(world.vault(SERIAL), steady=clock, now=world.module_clock)
    for _ in range(MOST_FROM_ONE):
        (proof,) = guess_over(world, module, "10.0.0.1")
        assert not isinstance(proof, FaultNotice)
    assert guess_over(world, module, "10.0.0.1") == [FaultNotice(Fault.UNAVAILABLE)]
    assert module.record.wrong == MOST_FROM_ONE  # the module is not locked by it
    assert not isinstance(guess_over(world, module, "10.0.0.2")[0], FaultNotice)
    clock.at += PAUSE_SECONDS
    assert not isinstance(guess_over(world, module, "10.0.0.1")[0], FaultNotice)
    assert module.record.wrong == MOST_WRONG
    assert module.state is ModuleState.DELIVERED


def test_without_the_limit_the_fourth_is_answered(world: World, monkeypatch):
    monkeypatch.setattr(LinkLimit, "begin", lambda *_: None)
    world.equip(TrustOption.SECRET)
    for _ in range(MOST_FROM_ONE):
        guess_over(world, world.module, "10.0.0.1")
    assert not isinstance(guess_over(world, world.module, "10.0.0.1")[0], FaultNotice)
