"""Trust options secret and tan (A6, A7): what crosses, what an intruder learns, what is counted and burnt, and when."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from intruder import Intruder, Trap
from pump import Line, NoStream, PowerCut, Side, meeting, personalize, sound
from world import DAY, SERIAL, World, shared_secret

from insitu.protocol.channel import proofs
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.proofs import Side as Role
from insitu.protocol.channel.trust import BySecret, ByTan, mutual
from insitu.protocol.channel.trust.pake import MODULE_PAKE, UNIT_PAKE, PakeData
from insitu.protocol.engine import EnvironmentFault, Fault, KeyKind, LookUp, ProtocolError, Send, StateError, UsageError
from insitu.protocol.keys.codes import DECIMAL, write_symbols
from insitu.protocol.messages import CardRole, FaultNotice, Intent, PakeShare, Proof, Purpose, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores import tans as rules
from insitu.protocol.stores.atomic import StoreFailed
from insitu.protocol.stores.tans import MOST_WRONG, Locked, TanGone, wrong_attempts
from insitu.shell.module import Module

OPTIONS = [TrustOption.SECRET, TrustOption.TAN]
by_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.text)
GUESS = b"a wrong guess"


def secret_of(world: World, option: TrustOption) -> bytes:
    if option is TrustOption.SECRET:
        return shared_secret(SERIAL)
    return world.envelopes[SERIAL].replace(" ", "")[:-1].encode()


def wrong_at_the_unit(world: World) -> int:
    return wrong_attempts(world.book().record(), SERIAL)


def intruder_as_unit(world: World, option: TrustOption, guess: bytes = GUESS) -> tuple[Intruder, BySecret]:
    """In the middle of the link before the module: it knows everything but the secret."""
    vault = world.vault("mallory")
    vault.roll_back()
    key, password = vault.generate("k", KeyKind.P256, b""), vault.storage.share_password("guess", guess)
    kind = ByTan if option is TrustOption.TAN else BySecret
    terms = kind.unit("Bank", key, password, SERIAL, root=world.card.root)
    return Intruder(terms, vault), terms


def trapped_module(world: World, option: TrustOption, guess: bytes = GUESS) -> tuple[Trap, Any]:
    world.equip(option)
    intruder, terms = intruder_as_unit(world, option, guess)
    trap = Trap(Side("module", world.module.meet_unit(NoStream(), option)), intruder)  # type: ignore[arg-type]
    return trap, played(world, trap, terms)


def trapped_unit(world: World, option: TrustOption, guess: bytes = GUESS) -> tuple[Trap, Any]:
    """The unit's end, with an intruder who has the module's identity key: so it gets further than anybody may."""
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    vault = world.vault(SERIAL)
    vault.roll_back()
    password = vault.storage.share_password("guess", guess)
    kind = ByTan if option is TrustOption.TAN else BySecret
    terms = kind.module(world.module.record, vault.find("identity"), password)  # type: ignore[arg-type]
    work = world.new_unit().personalize(NoStream(), SERIAL, option)  # type: ignore[arg-type]
    trap = Trap(Side("unit", work), Intruder(terms, vault, Purpose.PERSONALIZE))
    return trap, played(world, trap, terms)


class Played:
    """An intruder's half of exchange and proofs, step by step."""

    def __init__(self, trap: Trap, terms: BySecret, keys: Any) -> None:
        self._keys = keys
        opened = trap.intruder._handshake.opened
        self._data = PakeData(terms.side, terms.option, SERIAL, password=terms.password, opened=opened)
        begin = self._data.begin()
        self.share = keys.start_pake("x", begin.password, begin.identities, begins=begin.begins)

    def proof(self, theirs: bytes) -> tuple[Proof, bytes]:
        """Its proof, and the one that it would expect, with the key of its guess."""
        key = self._keys.finish_pake("x", theirs)
        data = replace(self._data, secret=key)
        own, other = (data.side, Role.UNIT if data.side is Role.MODULE else Role.MODULE)
        return Proof(self._keys.use(key, data.prove(own).operation)), self._keys.use(key, data.prove(other).operation)


def played(_world: World, trap: Trap, terms: BySecret) -> Played:
    return Played(trap, terms, trap.intruder._vault)


# What an intruder can try ------------------------------------------------------------------------------------


@by_option
def test_a_unit_that_does_not_know_the_secret_learns_but_that(world: World, option):
    """It gets one proof to try its one guess on; the module takes nothing of it, and has counted before it spoke."""
    trap, other = trapped_module(world, option)
    (share,) = trap.intruder.got
    assert isinstance(share, PakeShare)
    assert world.module.record.wrong is None
    trap.say(PakeShare(other.share))
    proof = trap.intruder.got[-1]
    own, expected = other.proof(share.share)
    assert isinstance(proof, Proof)
    assert proof.mac != expected  # all that it learns: this guess was wrong
    if option is TrustOption.SECRET:
        assert world.module.record.wrong == 1
    trap.say(own)
    assert trap.intruder.got[-1] == FaultNotice(Fault.UNTRUSTED)
    assert trap.finish().victim.error is not None
    assert world.module.state is ModuleState.DELIVERED


@by_option
def test_a_module_that_does_not_know_the_secret_gets_no_proof_at_all(world: World, option):
    trap, other = trapped_unit(world, option)
    assert trap.intruder.got == []  # the unit says nothing before the module's share
    trap.say(PakeShare(other.share))
    (share,) = trap.intruder.got
    assert isinstance(share, PakeShare)
    assert wrong_at_the_unit(world) == 1
    own, _ = other.proof(share.share)
    trap.say(own)
    assert trap.intruder.got[1:] == [FaultNotice(Fault.UNTRUSTED)]
    assert trap.finish().victim.error is not None
    assert wrong_at_the_unit(world) == 1


@by_option
def test_who_knows_the_secret_gets_through(world: World, option):
    """So that the tests above fail for the guess, and for nothing else."""
    world.equip(option)
    code = (
        shared_secret(SERIAL)
        if option is TrustOption.SECRET
        else world.envelopes[SERIAL].replace(" ", "")[:-1].encode()
    )
    trap, other = trapped_module(world, option, code)
    trap.say(PakeShare(other.share))
    own, expected = other.proof(trap.intruder.got[0].share)  # type: ignore[union-attr]
    assert trap.intruder.got[-1] == Proof(expected)
    trap.say(own)
    assert not trap.victim.session.closed
    assert world.module.record.wrong is None


@by_option
def test_relayed_messages_prove_nothing(world: World, option):
    """A man in the middle with two channels passes shares and proofs on; the exporter values differ, so it is seen."""
    for_unit, _ = trapped_unit(world, option)
    intruder, _ = intruder_as_unit(world, option)
    for_module = Trap(Side("module", world.module.meet_unit(NoStream(), option)), intruder)  # type: ignore[arg-type]
    for_unit.say(for_module.intruder.got[-1])
    for_module.say(for_unit.intruder.got[-1])
    proof = for_module.intruder.got[-1]
    assert isinstance(proof, Proof)
    for_unit.say(proof)
    assert for_unit.intruder.got[-1] == FaultNotice(Fault.UNTRUSTED)


@by_option
def test_a_share_that_comes_back_is_refused(world: World, option):
    trap, _ = trapped_module(world, option)
    trap.say(trap.intruder.got[0])
    assert trap.intruder.got[-1] == FaultNotice(Fault.UNAVAILABLE)
    trap, other = trapped_unit(World(), option)
    trap.say(PakeShare(other.share))
    trap.say(trap.intruder.got[0])
    assert trap.intruder.got[-1] == FaultNotice(Fault.UNEXPECTED)


@by_option
@pytest.mark.parametrize("share", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)], ids=["order 4", "no point", "zero"])
def test_a_share_that_is_no_element_is_refused_and_counts(world: World, option, share):
    trap, _ = trapped_unit(world, option)
    trap.say(PakeShare(share))
    assert trap.intruder.got == [FaultNotice(Fault.UNAVAILABLE)]
    assert wrong_at_the_unit(world) == 1


@by_option
def test_nobody_uses_up_attempts_without_the_modules_identity(world: World, option):
    """Another genuine module, and somebody with no identity at all, get nowhere near the count."""
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    kind = ByTan if option is TrustOption.TAN else BySecret
    other = world.new_module("SN-2")
    vault = world.vault("SN-2")
    password = vault.storage.share_password("guess", GUESS)
    bare = kind.bare_module(SERIAL, vault.generate("k", KeyKind.P256, b""), password)
    for terms in (kind.module(other.record, vault.find("identity"), password), bare):  # type: ignore[arg-type]
        work = world.new_unit().personalize(NoStream(), SERIAL, option)  # type: ignore[arg-type]
        trap = Trap(Side("unit", work), Intruder(terms, vault, Purpose.PERSONALIZE))
        assert not trap.intruder.is_in
        trap.finish()
    assert wrong_at_the_unit(world) == 0


def test_a_module_without_identity_is_met_where_the_unit_says_so(world: World):
    module = world.new_module("SN-3", identity=False)
    world.equip(TrustOption.SECRET, module)
    unit = world.new_unit()
    unit._means = lambda serial: replace(world.means_for(serial), identified=False)
    line = personalize(world, TrustOption.SECRET, module=module, unit=unit)
    assert line.peer.error is None
    assert module.state is ModuleState.OPERATING
    line = personalize(world, TrustOption.SECRET, unit=unit)
    assert world.module.state is ModuleState.DELIVERED


# What is counted, and when -----------------------------------------------------------------------------------


def with_wrong_secret(world: World, option: TrustOption) -> Line:
    """The honest module was told, or its operator keyed in, something else."""
    world.equip(option)
    if option is TrustOption.SECRET:
        world.module.agree_on(b"something else")
    else:
        world.envelopes[SERIAL] = write_symbols("2718281828459045", DECIMAL)
    return met_again(world, option)


def met_again(world: World, option: TrustOption) -> Line:
    """A meeting for which nobody issues or agrees on anything anew."""
    return (
        Line(
            Side("module", world.module.meet_unit(NoStream(), option)),  # type: ignore[arg-type]
            Side("unit", world.new_unit().personalize(NoStream(), SERIAL, option)),  # type: ignore[arg-type]
        )
        .start()
        .finish()
    )


@by_option
def test_five_wrong_ones_lock_the_unit_until_an_operator_unlocks(world: World, option):
    world.approved(CardRole.MODULE, SERIAL)
    for number in range(MOST_WRONG):
        assert wrong_at_the_unit(world) == number
        line = with_wrong_secret(world, option)
        assert isinstance(line.peer.error, ProtocolError)
        world.module.unlock()
        sound(world, line)
    world.equip(option)
    with pytest.raises(Locked):
        world.new_unit().personalize(NoStream(), SERIAL, option).send(None)  # type: ignore[arg-type]
    assert world.book().unlock(SERIAL) == MOST_WRONG
    if option is TrustOption.SECRET:
        world.module.agree_on(shared_secret(SERIAL))
    assert personalize(world, option).peer.error is None
    assert wrong_at_the_unit(world) == 0


def test_five_wrong_ones_lock_the_module_until_an_operator_unlocks(world: World):
    option = TrustOption.SECRET
    for number in range(MOST_WRONG):
        assert (world.module.record.wrong or 0) == number
        trap, other = trapped_module(world, option)
        trap.say(PakeShare(other.share))
        trap.finish()
    assert world.blank_module().record.wrong == MOST_WRONG  # after a restart, too
    with pytest.raises(StateError, match="locked"):
        world.module.meet_unit(NoStream(), option).send(None)  # type: ignore[arg-type]
    assert world.module.unlock() == MOST_WRONG
    assert world.module.unlock() == 0
    assert personalize(world, option).module.error is None
    assert world.module.record.wrong is None


def test_the_sixth_of_parallel_sessions_is_barred_at_the_unit(world: World):
    """All are in before the first one tries: each is counted on its own, and none is let past the limit."""
    trap, other = trapped_unit(world, TrustOption.SECRET)
    for _ in range(MOST_WRONG):
        world.book().begin_attempt(SERIAL, by_tan=False)
    trap.say(PakeShare(other.share))
    assert trap.intruder.got == [FaultNotice(Fault.UNAVAILABLE)]


@by_option
def test_a_count_that_cannot_be_written_says_nothing(world: World, option):
    trap, other = trapped_unit(world, option)

    def fail(effect: object) -> None:
        if isinstance(effect, LookUp):
            raise StoreFailed("disk full", who="store")

    trap.victim.before = fail
    trap.say(PakeShare(other.share))
    assert trap.intruder.got == [FaultNotice(Fault.UNAVAILABLE)]
    assert isinstance(trap.finish().victim.error, EnvironmentFault)


# TANs --------------------------------------------------------------------------------------------------------


def tans(world: World) -> int:
    return len(world.book().record().tans)


def test_a_tan_is_burnt_right_or_wrong_and_never_comes_back(world: World):
    option = TrustOption.TAN
    world.approved(CardRole.MODULE, SERIAL)
    with_wrong_secret(world, option)
    assert tans(world) == 0
    with pytest.raises(TanGone):
        world.new_unit().personalize(NoStream(), SERIAL, option).send(None)  # type: ignore[arg-type]
    line = personalize(world, option)
    assert line.peer.error is None
    assert tans(world) == 0
    assert not any(label.startswith("tan-") for label in world.vault("book").labels())


def test_power_goes_between_burning_and_answer(world: World):
    """At every effect of the unit: if anything that depends on the TAN went out, the TAN is gone."""
    option = TrustOption.TAN
    number = 0
    spoken = 0
    while True:
        world = World()
        world.equip(option)
        world.approved(CardRole.MODULE, SERIAL)
        line = meeting(world, option)
        left = number

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
        answered = [effect for effect in line.peer.performed if isinstance(effect, LookUp)]
        assert tans(world) == (0 if answered else 1)
        spoken += bool(answered)
        number += 1
    assert spoken > 3


def test_of_two_sessions_with_one_tan_one_wins(world: World):
    """Two programs share the book, and both have the TAN in key memory before either burns it."""
    option, twin = TrustOption.TAN, World()
    world.equip(option)
    twin.vaults["book"], twin.envelopes = world.vault("book"), world.envelopes
    for each in (world, twin):
        each.approved(CardRole.MODULE, SERIAL)
    first, second = meeting(world, option), meeting(twin, option)
    assert first.start().finish().peer.error is None
    assert second.start().finish().peer.error is not None
    assert (world.module.state, twin.module.state) == (ModuleState.OPERATING, ModuleState.DELIVERED)


def test_a_tan_is_for_its_module_and_its_term(world: World):
    option = TrustOption.TAN
    other = world.new_module("SN-2")
    world.issue_tan("SN-2")
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(TanGone, match=f"no TAN for {SERIAL}"):
        world.new_unit().personalize(NoStream(), SERIAL, option).send(None)  # type: ignore[arg-type]
    world.issue_tan(SERIAL)
    world.envelopes[SERIAL] = world.envelopes["SN-2"]  # the wrong envelope
    line = met_again(world, option)
    assert line.peer.error is not None
    assert world.module.state is ModuleState.DELIVERED
    assert [tan.serial for tan in world.book().record().tans] == ["SN-2"]
    world.clock.at += 2 * DAY
    with pytest.raises(TanGone, match="over"):
        world.book().usable("SN-2")
    assert other.state is ModuleState.DELIVERED


def test_a_term_that_ends_while_the_operator_looks_for_the_envelope(world: World):
    trap, other = trapped_unit(world, TrustOption.TAN)
    world.clock.at += 2 * DAY
    trap.say(PakeShare(other.share))
    assert trap.intruder.got == [FaultNotice(Fault.UNAVAILABLE)]


def test_a_revoked_tan_is_worth_nothing(world: World):
    trap, other = trapped_unit(world, TrustOption.TAN)
    world.book().revoke(SERIAL)
    trap.say(PakeShare(other.share))
    assert trap.intruder.got == [FaultNotice(Fault.UNAVAILABLE)]
    with pytest.raises(TanGone):
        world.book().revoke(SERIAL)


@pytest.mark.parametrize("typed", ["", "1234", "1111 1111 1111 1111 1", "2718 2818 2845 9045 1"])
def test_a_slip_at_the_keypad_costs_no_tan(world: World, typed):
    option = TrustOption.TAN
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, option)
    world.envelopes[SERIAL] = typed
    line.start().finish()
    assert isinstance(line.module.error, ProtocolError)
    assert tans(world) == 1
    assert not typed or typed not in str(line.module.error)


def test_without_a_keypad_nobody_is_asked(world: World):
    world.equip(TrustOption.TAN)
    world.approved(CardRole.MODULE, SERIAL)
    bare = Module(world.vault(SERIAL), now=world.module_clock)
    line = meeting(world, TrustOption.TAN, module=bare).start().finish()
    assert "nobody can key in a TAN" in str(line.module.error)
    assert tans(world) == 1


# Secrets show nowhere ----------------------------------------------------------------------------------------


@by_option
def test_s9_the_secret_is_in_no_note_frame_effect_or_repr(world: World, option):
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, option).start().finish()
    assert line.peer.error is None
    code = (
        shared_secret(SERIAL)
        if option is TrustOption.SECRET
        else world.envelopes[SERIAL].replace(" ", "")[:-1].encode()
    )
    said = b"".join(frame for _, frame in line.crossed)
    shown = repr((world.shown, line.module.performed, line.peer.performed))
    for form in (code, code.hex().encode(), sha256(code).digest()):
        assert form not in said
        assert form.decode("latin-1") not in shown
    handle = world.vault(SERIAL).find_secret("secret")
    assert handle is None or (handle.check_value, handle.bits) == ("", 0)


def test_the_unit_speaks_only_after_the_count_and_proves_only_after_the_check():
    """As the tables say it, row by row: no Send before COUNTING is left, no Proof before CHECKING is."""
    for row in UNIT_PAKE.rows:
        if any(state.name in ("OPENED", "AWAITING_SHARE") for state in row.sources):
            assert row.then.name in ("AWAITING_SHARE", "COUNTING")
    for table in (MODULE_PAKE, UNIT_PAKE):
        into = [row for row in table.rows if getattr(row.then, "name", "") == "SETTLING"]
        assert [row.when.__name__ for row in into if row.when] == ["the_mac_is_right"]
        assert Send not in {row.on for row in table.rows}


def test_what_a_secret_has_to_be(world: World):
    for secret in (b"", b"short", b"x" * 65):
        with pytest.raises(UsageError):
            world.module.agree_on(secret)
    world.module.agree_on(b"at first")
    world.module.agree_on(b"and then")
    assert world.module.record.shared == ("secret",)
    assert world.vault(SERIAL).labels() == {"identity", "secret"}


# Each check is missed when it is gone (formal/README.md) -----------------------------------------------------


def guess_as_a_unit(world: World) -> bool:
    """Through: the module takes orders of who does not know the secret."""
    trap, other = trapped_module(world, TrustOption.SECRET)
    trap.say(PakeShare(other.share))
    own, _ = other.proof(trap.intruder.got[0].share)  # type: ignore[union-attr]
    trap.say(own)
    return not trap.victim.session.closed


def guess_as_a_module(world: World) -> bool:
    """Through: the unit goes on with who does not know the secret."""
    trap, other = trapped_unit(world, TrustOption.SECRET)
    trap.say(PakeShare(other.share))
    own, _ = other.proof(trap.intruder.got[0].share)  # type: ignore[union-attr]
    trap.say(own)
    return not trap.victim.session.closed


def relay(world: World) -> bool:
    """Through: a man in the middle, in two channels, has both sides prove themselves to each other."""
    for_unit, _ = trapped_unit(world, TrustOption.SECRET)
    intruder, _ = intruder_as_unit(world, TrustOption.SECRET)
    work = world.module.meet_unit(NoStream(), TrustOption.SECRET)  # type: ignore[arg-type]
    for_module = Trap(Side("module", work), intruder)
    for source, target in ((for_module, for_unit), (for_unit, for_module)) * 2:
        if target.victim.session.closed:
            return False
        target.say(source.intruder.got[-1 if source is for_module else len(target.intruder.got) - 1])
    return not for_module.victim.session.closed and not for_unit.victim.session.closed


def use_a_tan_twice(world: World) -> bool:
    """Through: what was keyed in once opens a second session."""
    world.equip(TrustOption.TAN)
    for _ in range(2):
        world.approved(CardRole.MODULE, SERIAL)
        try:
            met_again(world, TrustOption.TAN)
        except TanGone:
            return False
        world.module.reset_by_hand()
    return True


def guess_six_times(world: World) -> bool:
    """Through: a sixth guess is answered."""
    for _ in range(MOST_WRONG + 1):
        try:
            trap, other = trapped_unit(world, TrustOption.SECRET)
        except Locked:
            return False
        trap.say(PakeShare(other.share))
        trap.finish()
    return isinstance(trap.intruder.got[0], PakeShare)


def believe_any_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mutual, "compare_digest", lambda *_: True)


def leave_the_exporter_out(patch: pytest.MonkeyPatch) -> None:
    identity, possession = proofs.exchange_identity, proofs.possession_of_secret
    patch.setattr(proofs, "exchange_identity", lambda _, *rest: identity(bytes(32), *rest))
    patch.setattr(proofs, "possession_of_secret", lambda _, *rest: possession(bytes(32), *rest))


def burn_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "revoked", lambda record, serial: record)


def count_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "attempted", lambda record, serial, at, by_tan: record)


CHECKS = {
    "the module checks the unit's proof": (guess_as_a_unit, believe_any_proof),
    "the unit checks the module's proof": (guess_as_a_module, believe_any_proof),
    "exchange and proofs are bound to their channel": (relay, leave_the_exporter_out),
    "a TAN is burnt": (use_a_tan_twice, burn_nothing),
    "attempts are counted": (guess_six_times, count_nothing),
}


@pytest.mark.parametrize(("attack", "_"), CHECKS.values(), ids=CHECKS.keys())
def test_the_attack_fails(world: World, attack, _):
    assert attack(world) is False


@pytest.mark.parametrize(("attack", "remove"), CHECKS.values(), ids=CHECKS.keys())
def test_without_the_check_it_gets_through(world: World, attack, remove, monkeypatch):
    remove(monkeypatch)
    assert attack(world) is True


@by_option
def test_the_module_is_side_a_of_the_exchange_and_the_unit_side_b(world: World, option: TrustOption):
    """specs/protocol.md: another make counts on it."""
    public = world.card.authentication.public
    opened = ChannelOpened(Peer(SERIAL, None, public), Intent(Purpose.PERSONALIZE, option), bytes(32), at=0)
    password = world.vault("any").storage.share_password("shared", GUESS)
    begun = {
        side: PakeData(side=side, option=option, serial=SERIAL, opened=opened, password=password).begin()
        for side in Role
    }
    assert {side: start.begins for side, start in begun.items()} == {Role.MODULE: True, Role.UNIT: False}
    assert begun[Role.MODULE].identities == begun[Role.UNIT].identities
