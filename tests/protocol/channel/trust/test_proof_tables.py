"""The tables of the proofs in the channel, step by step with keys and ports that say what the test wants (A5-A9).

Both ends as they are, over a line, are in the files of each option; here are the answers that no good end gives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from world import NOW, SERIAL, World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.edhoc import Kccs, write_ccs
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.proofs import Side
from insitu.protocol.channel.trust.attempts import (
    ATTEMPT,
    AttemptAdmitted,
    AttemptBarred,
    AttemptBegun,
    AttemptRight,
    AttemptsForgotten,
)
from insitu.protocol.channel.trust.conveyed import (
    MOBILE_TIMER,
    MODULE_CONVEYED,
    UNIT_CONVEYED,
    ModuleConveyed,
    ModuleConveyedData,
    NumberConveyed,
    UnitConveyed,
    UnitConveyedData,
    WordCame,
)
from insitu.protocol.channel.trust.mutual import mutual_stage
from insitu.protocol.channel.trust.pake import MODULE_PAKE, UNIT_PAKE, ModulePakeState, PakeData, UnitPakeState
from insitu.protocol.channel.trust.shipped_key import ByShippedKey
from insitu.protocol.channel.trust.stage import ProofStage
from insitu.protocol.channel.trust.token import token_stage
from insitu.protocol.engine import (
    Close,
    Fault,
    Forward,
    KeyKind,
    KeyOperationFailed,
    LookUp,
    ProtocolError,
    Prove,
    Refused,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    SecretUsed,
    Send,
    Show,
    StartPake,
    StartTimer,
    StopTimer,
    UseSecret,
)
from insitu.protocol.messages import (
    Intent,
    Number,
    NumberMaker,
    NumberWanted,
    Proof,
    Purpose,
    TrustOption,
    Verdict,
)
from insitu.protocol.progress import PeerProved

KEY = SecretHandle("shipped", SecretUsage.PROOF, SecretAlgorithm.AES, 128, "")
OURS, THEIRS = bytes(32), bytes(range(32))
WAIT = StartTimer("proof", 30)
OPTIONS = (TrustOption.SHIPPED_KEY, TrustOption.TAN)
GONE = KeyOperationFailed("token gone")
UNAVAILABLE = [Close(Fault.UNAVAILABLE, "token gone")]


@pytest.fixture
def opened(world: World) -> ChannelOpened:
    public = world.vault("peer").generate("k", KeyKind.P256, b"").public
    return ChannelOpened(Peer("peer", None, public), Intent(Purpose.PERSONALIZE, OPTIONS[0]), bytes(32), at=0)


def took(stage: ProofStage, *events: object) -> list[Any]:
    """The effects of the last of these."""
    effects: list[Any] = []
    for event in events:
        effects = list(stage.step(event))
    return effects


def mac_of(stage: ProofStage, side: Side) -> UseSecret:
    binding = stage.data.opened.binding  # type: ignore[attr-defined]
    option = stage.data.option.text  # type: ignore[attr-defined]
    return UseSecret(KEY, Prove(proofs.possession_of_secret(binding, option, side, SERIAL)))


def begun(side: Side, opened: ChannelOpened) -> ProofStage:
    stage = mutual_stage(side, OPTIONS[0], SERIAL, KEY)
    stage.step(opened)
    return stage


# A key on both sides


def test_the_module_proves_itself_first_and_checks_before_it_believes(opened: ChannelOpened):
    stage = mutual_stage(Side.MODULE, OPTIONS[0], SERIAL, KEY)
    effects = took(stage, opened)
    assert effects == [mac_of(stage, Side.MODULE)]
    assert took(stage, SecretUsed(OURS)) == [Send(Proof(OURS)), WAIT]
    assert took(stage, Proof(THEIRS)) == [StopTimer("proof"), mac_of(stage, Side.UNIT)]
    assert stage.proved is None
    assert took(stage, SecretUsed(THEIRS)) == [Show(PeerProved("module", "peer", OPTIONS[0]))]
    assert stage.proved == replace(opened.peer, proved=OPTIONS[0])
    assert stage.accepts == ()


def test_the_unit_checks_before_it_proves_itself(opened: ChannelOpened):
    stage = mutual_stage(Side.UNIT, OPTIONS[0], SERIAL, KEY)
    assert took(stage, opened) == [WAIT]
    assert took(stage, Proof(THEIRS)) == [StopTimer("proof"), mac_of(stage, Side.MODULE)]
    assert took(stage, SecretUsed(THEIRS)) == [mac_of(stage, Side.UNIT)]
    assert stage.proved is None
    assert took(stage, SecretUsed(OURS)) == [Send(Proof(OURS)), Show(PeerProved("unit", "peer", OPTIONS[0]))]
    assert stage.proved is not None


@pytest.mark.parametrize("side", Side, ids=lambda side: side.value)
def test_another_key_proves_nothing(opened: ChannelOpened, side: Side):
    stage = begun(side, opened)
    if side is Side.MODULE:
        stage.step(SecretUsed(OURS))
    effects = took(stage, Proof(THEIRS), SecretUsed(OURS))
    assert effects == [Close(Fault.UNTRUSTED, "the other side does not hold what shipped-key asks for")]
    assert (stage.proved, stage.accepts) == (None, ())


def test_a_key_memory_that_fails_ends_it_wherever_it_is_asked(opened: ChannelOpened):
    before: dict[Side, list[list[object]]] = {
        Side.MODULE: [[], [SecretUsed(OURS), Proof(THEIRS)]],
        Side.UNIT: [[Proof(THEIRS)], [Proof(THEIRS), SecretUsed(THEIRS)]],
    }
    for side, ways in before.items():
        for way in ways:
            stage = begun(side, opened)
            took(stage, *way)
            assert took(stage, GONE) == UNAVAILABLE
            assert (stage.proved, stage.accepts) == (None, ())
    waiting = begun(Side.MODULE, opened)
    waiting.step(SecretUsed(OURS))
    with pytest.raises(Refused):
        waiting.step(GONE)


# A key in a token: attempts are counted


def at_token(opened: ChannelOpened, *events: object) -> ProofStage:
    stage = token_stage(Side.UNIT, TrustOption.TAN, SERIAL, KEY)
    took(stage, opened, Proof(THEIRS), *events)
    return stage


def test_an_attempt_counts_before_anything_comes_of_it(opened: ChannelOpened):
    stage = token_stage(Side.UNIT, TrustOption.TAN, SERIAL, KEY)
    assert took(stage, opened) == [WAIT]
    assert took(stage, Proof(THEIRS)) == [StopTimer("proof"), LookUp(ATTEMPT, AttemptBegun(TrustOption.TAN, SERIAL))]
    assert took(stage, AttemptAdmitted()) == [mac_of(stage, Side.MODULE)]
    assert took(stage, SecretUsed(THEIRS)) == [LookUp(ATTEMPT, AttemptRight(TrustOption.TAN, SERIAL))]
    assert took(stage, AttemptsForgotten()) == [mac_of(stage, Side.UNIT)]
    assert took(stage, SecretUsed(OURS)) == [
        Send(Proof(OURS)),
        Show(PeerProved("unit", "peer", TrustOption.TAN)),
    ]


def test_a_barred_attempt_is_not_even_looked_at(opened: ChannelOpened):
    stage = at_token(opened)
    assert took(stage, AttemptBarred("too many")) == [Close(Fault.UNAVAILABLE, "too many")]
    assert (stage.proved, stage.accepts) == (None, ())


def test_a_wrong_answer_to_a_token_leaves_the_attempt_counted(opened: ChannelOpened):
    stage = at_token(opened, AttemptAdmitted())
    assert [type(effect) for effect in took(stage, SecretUsed(OURS))] == [Close]
    for way in ([AttemptAdmitted()], [AttemptAdmitted(), SecretUsed(THEIRS), AttemptsForgotten()]):
        assert took(at_token(opened, *way), GONE) == UNAVAILABLE


# A password: the same at both sides


@pytest.mark.parametrize(("table", "state"), [(MODULE_PAKE, ModulePakeState), (UNIT_PAKE, UnitPakeState)])
def test_an_exchange_that_is_barred_ends(table: Any, state: Any):
    data = PakeData(Side.MODULE, TrustOption.TAN, SERIAL)
    step = table.step(state.COUNTING, data, AttemptBarred("too many"))
    assert (step.state, list(step.effects)) == (state.REFUSED, [Close(Fault.UNAVAILABLE, "too many")])
    with pytest.raises(Refused):
        table.step(state.REFUSED, step.data, AttemptAdmitted())


def test_a_secret_that_is_found_only_now_is_the_one_of_the_exchange(opened: ChannelOpened):
    """A TAN, which the unit's book has only for the attempt that it counts."""
    early, late = (replace(KEY, label=label) for label in ("early", "late"))
    data = PakeData(Side.UNIT, TrustOption.TAN, SERIAL, opened=opened, password=early)
    for admitted, begun_with in ((AttemptAdmitted(), early), (AttemptAdmitted(late), late)):
        step = UNIT_PAKE.step(UnitPakeState.COUNTING, data, admitted)
        assert [each.password for each in step.effects if isinstance(each, StartPake)] == [begun_with]


def test_whom_a_key_was_shipped_to_the_other_side_says_and_only_a_unit_knows_a_serial_number(world: World):
    key = world.vault("x").generate("k", KeyKind.P256, b"")
    own, other = (Kccs(write_ccs(key.public, subject=name)) for name in (SERIAL, "SN-2"))
    module, unit = ByShippedKey.module(SERIAL, key, KEY), ByShippedKey.unit("unit 1", key, KEY, SERIAL)
    assert [terms.judge(own, NOW)[1].name for terms in (module, unit)] == [SERIAL, SERIAL]
    assert module.judge(other, NOW)[1].name == "SN-2"
    with pytest.raises(ProtocolError, match="serial number"):
        unit.judge(other, NOW)


# A number on two ways, in whichever order it comes

MOBILE, NUMBER = "key 00", bytes(range(16))
SAID = NumberConveyed(SERIAL, bytes(32), NUMBER, MOBILE)
VOUCHED = [Forward(Verdict(serial=SERIAL, binding=bytes(32))), StopTimer(MOBILE_TIMER), WAIT]


def at_unit(opened: ChannelOpened, maker: NumberMaker) -> tuple[UnitConveyed, UnitConveyedData]:
    data = UnitConveyedData(SERIAL, frozenset({MOBILE}), maker, NUMBER)
    step = UNIT_CONVEYED.step(UnitConveyed.OPENED, data, opened)
    assert step.effects[0] == Send(NumberWanted(maker=maker, random=NUMBER if maker is NumberMaker.UNIT else None))
    return step.state, step.data


@pytest.mark.parametrize("maker", [NumberMaker.MODULE, NumberMaker.MOBILE], ids=lambda maker: maker.name)
@pytest.mark.parametrize("first", ["channel", "mobile"])
def test_whichever_way_is_faster(opened: ChannelOpened, maker: NumberMaker, first: str):
    ways: list[Any] = [Number(NUMBER), SAID]
    wrong: list[Any] = [Number(bytes(16)), replace(SAID, number=bytes(16))]
    order = (0, 1) if first == "channel" else (1, 0)
    state, data = at_unit(opened, maker)
    half = UNIT_CONVEYED.step(state, data, ways[order[0]])
    assert half.effects == ()
    whole = UNIT_CONVEYED.step(half.state, half.data, ways[order[1]])
    assert (whole.state, list(whole.effects)) == (UnitConveyed.AGREED, VOUCHED)
    refused = UNIT_CONVEYED.step(half.state, half.data, wrong[order[1]])
    assert (refused.state, list(refused.effects)) == (
        UnitConveyed.REFUSED,
        [
            Forward(Verdict(serial=SERIAL)),
            Close(Fault.UNTRUSTED, "what the mobile conveyed is not of this channel"),
        ],
    )


@pytest.mark.parametrize("changes", [{"binding": bytes(31) + b"1"}, {"serial": "SN-2"}])
@pytest.mark.parametrize("first", ["channel", "mobile"])
def test_the_number_alone_is_not_enough(opened: ChannelOpened, changes: dict[str, Any], first: str):
    """Formal: without the exporter value, whoever sits in the channel has the same number on both ways."""
    said = replace(SAID, **changes)
    state, data = at_unit(opened, NumberMaker.MODULE)
    for event in (Number(NUMBER), said) if first == "channel" else (said, Number(NUMBER)):
        step = UNIT_CONVEYED.step(state, data, event)
        state, data = step.state, step.data
    assert state is UnitConveyed.REFUSED


def test_a_strange_mobile_changes_nothing(opened: ChannelOpened):
    for maker in NumberMaker:
        state, data = at_unit(opened, maker)
        step = UNIT_CONVEYED.step(state, data, replace(SAID, mobile="key 11"))
        assert (step.state, step.data, list(step.effects)) == (state, data, [Forward(Verdict(serial=SERIAL))])


def test_a_word_counts_for_this_module_and_this_channel(opened: ChannelOpened):
    data = replace(ModuleConveyedData(SERIAL, NUMBER), opened=opened)
    right = WordCame(SERIAL, opened.binding)
    assert MODULE_CONVEYED.step(ModuleConveyed.CONVEYING, data, right).state is ModuleConveyed.PROVED
    for wrong in (WordCame(SERIAL, None), WordCame("SN-2", opened.binding), WordCame(SERIAL, bytes(31) + b"1")):
        step = MODULE_CONVEYED.step(ModuleConveyed.CONVEYING, data, wrong)
        assert step.state is ModuleConveyed.REFUSED
        assert [type(effect) for effect in step.effects] == [Close]
    early = MODULE_CONVEYED.step(ModuleConveyed.AWAITING_NUMBER, data, right)
    assert early.state is ModuleConveyed.REFUSED, "before the number was settled"
