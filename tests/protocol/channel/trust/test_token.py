"""A TAN that is a key in a token (A8): it never leaves it, is burnt before the answer, and proves nothing elsewhere."""

from __future__ import annotations

import pytest
from intruder import Intruder, Trap
from pump import NoStream, PowerCut, Side, personalize
from token_players import TAN, met, plug_in
from world import DAY, NOW, SERIAL, World, memory

from insitu.protocol.channel import proofs
from insitu.protocol.channel.proofs import Side as Role
from insitu.protocol.channel.trust import ByTan, mutual
from insitu.protocol.channel.trust.token import UNIT_TOKEN
from insitu.protocol.engine import (
    Fault,
    KeyKind,
    LookUp,
    Prove,
    SecretHandle,
    SecretUsage,
    Send,
    StateError,
    UsageError,
)
from insitu.protocol.keys.tans import TanForm
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import CardRole, FaultNotice, PakeShare, Proof, Purpose
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores import tans as rules
from insitu.protocol.stores.tans import TanGone, wrong_attempts
from insitu.shell.module import Module

GUESS = b"\x5a" * 32


def issued(world: World) -> int:
    return len(world.book().record().tans)


def key_of(token: MemoryVault) -> bytes:
    return token.storage.secret_bytes_for_sealing(SERIAL)


def intruder_at_unit(world: World, key: bytes = GUESS) -> tuple[Trap, SecretHandle]:
    """In the module's place before the unit; it even has the module's identity key, but not the token."""
    vault = world.vault(SERIAL)
    vault.roll_back()
    guess = vault.storage.share("guess", key)
    terms = ByTan.module(world.module.record, vault.find("identity"), guess)  # type: ignore[arg-type]
    work = world.new_unit().personalize(NoStream(), SERIAL, TAN)  # type: ignore[arg-type]
    return Trap(Side("unit", work), Intruder(terms, vault, Purpose.PERSONALIZE)), guess


def intruder_at_module(world: World) -> tuple[Trap, SecretHandle]:
    vault = world.vault("mallory")
    vault.roll_back()
    guess = vault.storage.share("guess", GUESS)
    terms = ByTan.unit("Bank", vault.generate("k", KeyKind.P256, b""), guess, SERIAL, root=world.card.root)
    module = Side("module", world.module.meet_unit(NoStream(), TAN))  # type: ignore[arg-type]
    return Trap(module, Intruder(terms, vault)), guess


def proof_by(trap: Trap, secret: SecretHandle, role: Role) -> Proof:
    opened = trap.intruder._handshake.opened
    assert opened is not None
    statement = proofs.possession_of_secret(opened.binding, TAN.text, role, SERIAL)
    return Proof(trap.intruder._vault.use(secret, Prove(statement)))


# How it goes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [None, TanForm()], ids=["a key", "a TAN as it is printed"])
def test_nobody_is_asked_and_nothing_leaves_the_token(world: World, form):
    token = plug_in(world, form=form)
    value = key_of(token)
    line = met(world).start().finish()
    assert line.peer.error is None
    assert world.module.state is ModuleState.OPERATING
    assert issued(world) == 0
    assert token.labels() == {SERIAL}  # what came of an exchange is gone
    shown = repr((world.shown, line.module.performed, line.peer.performed))
    assert all(value not in frame for _, frame in line.crossed)
    assert value.hex() not in shown
    assert not any(value == key for name, key in world.private_keys().items() if name.startswith(SERIAL))


def test_a_key_is_proved_without_an_exchange(world: World):
    plug_in(world)
    line = met(world).start().finish()
    assert sum(isinstance(effect, LookUp) for effect in line.peer.performed) >= 2
    states = [note.state for note in world.shown if getattr(note, "party", "") == "token-unit"]
    assert states == ["AWAITING_PROOF", "COUNTING", "CHECKING", "SETTLING", "PROVING", "PROVED"]


def test_after_a_reset_another_one_is_needed(world: World):
    plug_in(world)
    assert met(world).start().finish().peer.error is None
    world.module.reset_by_hand()
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(TanGone):
        world.new_unit().personalize(NoStream(), SERIAL, TAN).send(None)  # type: ignore[arg-type]


def test_a_token_without_a_tan_for_this_module(world: World):
    world.module = Module(world.vault(SERIAL), token=memory("token"), now=world.module_clock)
    with pytest.raises(UsageError, match="trust option tan"):
        world.module.check_option(TAN)


def test_one_for_a_token_is_not_printed_and_given_out_once(world: World):
    world.book().issue(SERIAL, None, not_after=NOW + DAY)
    with pytest.raises(StateError, match="for a token"):
        world.book().take_to_print(SERIAL)
    token = memory("token")
    world.book().take_to_seal(SERIAL, token)
    for take in (lambda: world.book().take_to_print(SERIAL), lambda: world.book().take_to_seal(SERIAL, token)):
        with pytest.raises(StateError, match="given out"):
            take()
    found = token.find_secret(SERIAL)
    assert found is not None
    assert (found.usage, found.bits) == (SecretUsage.PROOF, 256)


def test_a_later_one_takes_the_place_of_an_earlier_one(world: World):
    token = plug_in(world)
    first = key_of(token)
    world.book().revoke(SERIAL)
    world.book().issue(SERIAL, TanForm(), not_after=NOW + DAY)
    world.book().take_to_seal(SERIAL, token)
    assert key_of(token) != first
    assert met(world).start().finish().peer.error is None


# What an intruder can try ------------------------------------------------------------------------------------


def guess_as_a_module(world: World) -> bool:
    plug_in(world)
    trap, guess = intruder_at_unit(world)
    trap.say(proof_by(trap, guess, Role.MODULE))
    return not trap.victim.session.closed


def guess_as_a_unit(world: World) -> bool:
    plug_in(world)
    trap, guess = intruder_at_module(world)
    trap.say(proof_by(trap, guess, Role.UNIT))
    return not trap.victim.session.closed


def relay(world: World) -> bool:
    """In two channels, one on each side, and passes the proofs on."""
    plug_in(world)
    at_module, _ = intruder_at_module(world)
    at_unit, _ = intruder_at_unit(world)
    at_unit.say(at_module.intruder.got[-1])
    if at_unit.victim.session.closed:
        return False
    at_module.say(at_unit.intruder.got[0])
    return not at_module.victim.session.closed


def send_it_back(world: World) -> bool:
    """The module's own proof, in the same channel."""
    plug_in(world)
    trap, _ = intruder_at_module(world)
    trap.say(trap.intruder.got[-1])
    return not trap.victim.session.closed


def use_it_twice(world: World) -> bool:
    plug_in(world)
    for _ in range(2):
        try:
            if met(world).start().finish().peer.error is not None:
                return False
        except TanGone:
            return False
        world.module.reset_by_hand()
        world.approved(CardRole.MODULE, SERIAL)
    return True


def believe_any_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mutual, "compare_digest", lambda *_: True)


def leave_the_exporter_out(patch: pytest.MonkeyPatch) -> None:
    possession = proofs.possession_of_secret
    patch.setattr(proofs, "possession_of_secret", lambda _, *rest: possession(bytes(32), *rest))


def leave_the_role_out(patch: pytest.MonkeyPatch) -> None:
    possession = proofs.possession_of_secret
    patch.setattr(
        proofs, "possession_of_secret", lambda binding, text, _, serial: possession(binding, text, Role.UNIT, serial)
    )


def burn_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "revoked", lambda record, serial: record)


CHECKS = {
    "the unit checks the module's proof": (guess_as_a_module, believe_any_proof),
    "the module checks the unit's proof": (guess_as_a_unit, believe_any_proof),
    "proofs are bound to their channel": (relay, leave_the_exporter_out),
    "proofs are bound to their role": (send_it_back, leave_the_role_out),
    "it is burnt": (use_it_twice, burn_nothing),
}


@pytest.mark.parametrize(("attack", "_"), CHECKS.values(), ids=CHECKS.keys())
def test_the_attack_fails(world: World, attack, _):
    assert attack(world) is False


@pytest.mark.parametrize(("attack", "remove"), CHECKS.values(), ids=CHECKS.keys())
def test_without_the_check_it_gets_through(world: World, attack, remove, monkeypatch):
    remove(monkeypatch)
    assert attack(world) is True


def test_a_wrong_proof_is_counted_burnt_and_answered_with_nothing(world: World):
    plug_in(world)
    trap, guess = intruder_at_unit(world)
    assert trap.intruder.got == []
    trap.say(proof_by(trap, guess, Role.MODULE))
    assert trap.intruder.got == [FaultNotice(Fault.UNTRUSTED)]
    assert (issued(world), wrong_attempts(world.book().record(), SERIAL)) == (0, 1)


def test_nobody_burns_it_without_the_modules_identity(world: World):
    """Another genuine module, and somebody with no identity at all, get no channel in which a proof could be sent."""
    plug_in(world)
    other = world.new_module("SN-2")
    vault = world.vault("SN-2")
    guess = vault.storage.share("guess", GUESS)
    bare = ByTan.bare_module(SERIAL, vault.generate("k", KeyKind.P256, b""), guess)
    for terms in (ByTan.module(other.record, vault.find("identity"), guess), bare):  # type: ignore[arg-type]
        work = world.new_unit().personalize(NoStream(), SERIAL, TAN)  # type: ignore[arg-type]
        trap = Trap(Side("unit", work), Intruder(terms, vault, Purpose.PERSONALIZE))
        assert not trap.intruder.is_in
        trap.finish()
    assert (issued(world), wrong_attempts(world.book().record(), SERIAL)) == (1, 0)


def test_neither_side_is_brought_to_the_other_kind(world: World):
    """A unit that expects a proof takes no share of an exchange, and a module that brings a key begins none."""
    plug_in(world)
    trap, _ = intruder_at_unit(world)
    trap.say(PakeShare(bytes(32)))
    assert trap.intruder.got == [FaultNotice(Fault.UNEXPECTED)]
    assert issued(world) == 1
    trap, _ = intruder_at_module(world)
    trap.say(PakeShare(bytes(32)))
    assert trap.intruder.got[1:] == [FaultNotice(Fault.UNEXPECTED)]


def test_what_the_other_side_does_not_have_is_refused(world: World):
    """The unit revoked the key and issued a TAN to be keyed in: the token's key opens nothing, and costs no TAN."""
    plug_in(world)
    world.book().revoke(SERIAL)
    world.book().issue(SERIAL, TanForm(), not_after=NOW + DAY)
    line = met(world).start().finish()
    assert line.peer.error is not None
    assert world.module.state is ModuleState.DELIVERED
    assert issued(world) == 1


def test_power_goes_between_burning_and_answer(world: World):
    """At every effect of the unit: once a proof was weighed, the TAN is gone."""
    number, weighed = 0, 0
    while True:
        world = World()
        plug_in(world)
        line, left = met(world), number

        def cut(_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut

        line.peer.before = cut
        try:
            line.start()
        except PowerCut:
            line.peer.abandon()
            line.module.abandon()
        else:
            break
        asked = any(isinstance(effect, LookUp) for effect in line.peer.performed)
        assert issued(world) == (0 if asked else 1)
        weighed += asked
        number += 1
    assert weighed > 3


def test_the_table_counts_before_it_weighs_and_proves_only_after_the_check():
    by_target = {row.then.name: row for row in UNIT_TOKEN.rows if row.then.name not in ("REFUSED", "PROVED")}
    assert [state.name for state in by_target["CHECKING"].sources] == ["COUNTING"]
    assert by_target["SETTLING"].when is not None
    assert by_target["SETTLING"].when.__name__ == "the_mac_is_right"
    assert Send not in {row.on for row in UNIT_TOKEN.rows}


def test_a_tan_in_a_token_outlasts_a_session_that_fails(world: World):
    token = plug_in(world)
    line = met(world)
    line.cut_after = 5
    line.start().finish()
    assert token.labels() == {SERIAL}
    assert world.module.state is ModuleState.DELIVERED
    assert personalize(world, TAN).peer is not None
