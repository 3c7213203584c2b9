from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pump import contact, personalize
from recorder import Recorder, classified, one_of_each
from world import DAY, NOW, YEAR, World, authorization

from insitu.protocol.channel import proofs
from insitu.protocol.channel.cose import ES256, verify_signature
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Fault,
    KeyOperationFailed,
    LookUp,
    Persist,
    ProtocolError,
    Refused,
    Send,
    StartTimer,
    given,
)
from insitu.protocol.keys.certificates import Role
from insitu.protocol.messages import (
    Beat,
    Declined,
    Greeting,
    Intent,
    KeyLoaded,
    KeyOrder,
    Outcome,
    Payload,
    PayOut,
    Purpose,
    Received,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    TrustOption,
    Welcome,
)
from insitu.protocol.parties.central import CENTRAL, OPEN
from insitu.protocol.parties.central_data import (
    CentralData,
    CentralState,
    CommandFound,
    Decided,
    ModuleFound,
    Question,
    TransactionFound,
)
from insitu.protocol.parties.central_logs import objection_to_log
from insitu.protocol.stores.card_logs import LogDoubt, Logged
from insitu.protocol.stores.registry import (
    Command,
    CommandKind,
    CommandState,
    Issuer,
    Known,
    ModuleEntry,
    Standing,
    Transaction,
)

S = CentralState


@pytest.fixture
def central(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["central"]


def sent(step: Any) -> list[object]:
    return [effect.message for effect in step.effects if isinstance(effect, Send)]


def written(step: Any) -> Any:
    """The one change that the step commits."""
    (persist,) = [effect for effect in step.effects if isinstance(effect, Persist)]
    return persist.record


# All rows and all events


def test_every_row_is_taken(central: Recorder, online: CentralData):
    waiting = replace(online, command=Command("SN-1", 4, CommandKind.INSTRUCT, b"x", NOW))
    with central.watching():
        for state in OPEN:
            CENTRAL.step(state, online, ChannelLost("while others work"))
        CENTRAL.step(S.ONLINE, waiting, Declined(4, Fault.UNAVAILABLE))
        CENTRAL.step(S.ONLINE, online, Payload(7, b"again"))
        CENTRAL.step(S.ONLINE, online, Outcome(7, 1, 0))
        CENTRAL.step(S.ONLINE, online.at_time(NOW + 10 * YEAR), Beat(8))
    assert central.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], central: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(central, events)) == len(list(S)) * len(events)


@pytest.mark.parametrize("state", [S.LISTENING, *OPEN], ids=lambda state: state.name)
def test_a_lost_channel_ends_it_and_writes_nothing(online: CentralData, state):
    step = CENTRAL.step(state, online, ChannelLost("gone"))
    assert step.state is S.ENDED
    assert step.effects[-1] == Close(None, "gone")
    assert not [effect for effect in step.effects if isinstance(effect, Persist)]


def test_every_wait_for_the_module_has_a_deadline(central: Recorder):
    for moment in central.moments:
        waits = (S.GREETING, S.RESETTING, S.COMMANDED)
        entered = moment.step.state is not moment.state
        begins = moment.state is S.RECOGNIZING and moment.step.state is S.ONLINE
        if (moment.step.state in waits and entered) or begins:
            assert any(isinstance(effect, StartTimer) for effect in moment.step.effects)
            assert DeadlinePassed in CENTRAL.accepts(moment.step.state)


def test_an_entry_is_written_in_the_version_that_was_read(central: Recorder):
    """One change a step, and before whatever it promises."""
    for moment in central.moments:
        kinds = [type(effect) for effect in moment.step.effects]
        assert kinds.count(Persist) <= 1
        if Persist in kinds:
            change = written(moment.step)
            if isinstance(change, LogDoubt):
                assert moment.step.state is S.ENDED
                continue
            assert moment.step.data.entry == replace(change.entry, version=change.entry.version + 1)
            if Send in kinds:
                assert kinds.index(Persist) < kinds.index(Send)


# Who is there (L9)


@pytest.mark.parametrize("role", [*Role, None], ids=str)
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_only_a_certified_module_that_wants_to_operate_is_let_in(world: World, central: Recorder, purpose, role):
    peer = Peer("SN-1", role, world.card.authentication.public)
    event = ChannelOpened(peer, Intent(purpose=purpose, option=TrustOption.CERTIFICATES), bytes(32), NOW)
    if (purpose, role) == (Purpose.OPERATE, Role.MODULE):
        assert CENTRAL.step(S.LISTENING, central.data_in(S.LISTENING)[0], event).state is S.GREETING
    else:
        with pytest.raises(Refused):
            CENTRAL.step(S.LISTENING, central.data_in(S.LISTENING)[0], event)


# What the registry knows (S4, S5)

OURS, OLD, FOREIGN = b"n" * 32, b"o" * 32, b"f" * 32
OTHER_CARD = b"c" * 32


@pytest.fixture
def greeted(central: Recorder) -> CentralData:
    """A module whose certificate has the fingerprint OURS is there, in epoch 2, generation 9, last message 7."""
    data = central.data_in(S.RECOGNIZING)[0]
    certificate, issuer = data.peer.chain
    peer = replace(data.peer, chain=(replace(certificate, fingerprint=OURS), issuer))
    return replace(data, entry=None, peer=peer, greeting=Greeting(2, OURS, 9, 7))


@pytest.fixture
def issuer(greeted: CentralData) -> Issuer:
    by = greeted.peer.chain[1]  # type: ignore[union-attr]
    return Issuer(by.fingerprint, by.der, by.subject, by.serial_number, by.issuer_fingerprint, b"")


@pytest.fixture
def entry(greeted: CentralData, issuer: Issuer) -> ModuleEntry:
    """As the registry would hold it after the last contact."""
    shown = greeted.peer.chain[0]  # type: ignore[union-attr]
    return ModuleEntry(
        serial=shown.subject,
        owner=issuer.owner,
        issuer=issuer.fingerprint,
        epoch=2,
        fingerprint=OURS,
        certificate_number=shown.serial_number,
        issued=shown.not_before,
        first_seen=NOW - 9,
        standing=Standing.OPERATING,
        last_contact=NOW - 9,
        last_number=7,
        generation=8,
        version=3,
    )


@pytest.fixture
def online(greeted: CentralData, entry: ModuleEntry) -> CentralData:
    return replace(greeted, entry=entry)


def found(entry: ModuleEntry | None, issuer: Issuer | None, **about: Any) -> ModuleFound:
    return ModuleFound(Known(**{"entry": entry, "retired": False, "revoked": False, "issuer": issuer, **about}))


@pytest.mark.parametrize(
    ("before", "epoch", "accepted"),
    [
        ({}, 2, True),
        ({"standing": Standing.RESET}, 3, False),  # and the certificate is still the old one
        ({"standing": Standing.DISABLED}, 2, False),
        ({}, 1, False),  # an old store
        ({}, 3, False),  # a new epoch without a new certificate
        ({"generation": 9}, 2, False),  # S4: the module has written at least once since then
        ({"generation": 10}, 2, False),
        ({"last_number": 8}, 2, False),  # S4: the store is from before that message
        ({"fingerprint": FOREIGN}, 2, False),  # S12: another certificate of the same epoch was first
        ({"fingerprint": OLD, "epoch": 1}, 2, True),  # personalized again after a reset by hand
        ({"fingerprint": OLD, "epoch": 1, "generation": 99}, 2, True),
        ({"fingerprint": OLD, "epoch": 1, "issued": -9}, 2, True),
        ({"fingerprint": OLD, "epoch": (1 << 63) - 1, "issued": -9}, 2, True),  # it lied: the card's word counts
        ({"fingerprint": OLD, "epoch": 1, "issued": 1}, 2, False),  # older than the one that we know
        ({"fingerprint": OLD, "epoch": 1, "standing": Standing.RESET_ORDERED}, 2, True),  # or by command
        ({"fingerprint": OLD, "epoch": 2, "standing": Standing.RESET}, 2, False),
        ({"fingerprint": OLD, "epoch": 1, "standing": Standing.RESET}, 2, True),
        ({"fingerprint": OLD, "epoch": 1, "last_number": 8}, 2, True),  # it is told where to go on
        ({"fingerprint": OLD, "epoch": 1, "owner": "Another bank"}, 2, False),  # nobody takes another's module away
        ({"fingerprint": OLD, "epoch": 1, "owner": "Another bank", "standing": Standing.RESET}, 2, True),
    ],
)
def test_s4_nothing_from_before_a_reset_is_accepted(greeted: CentralData, issuer, entry, before, epoch, accepted):
    before = dict(before)
    if "issued" in before:
        before["issued"] += entry.issued
    known = replace(entry, **before)
    data = replace(greeted, greeting=replace(greeted.greeting, epoch=epoch))  # type: ignore[type-var]
    if accepted:
        step = CENTRAL.step(S.RECOGNIZING, data, found(known, issuer))
        change = written(step)
        assert (change.entry.epoch, change.entry.fingerprint, change.entry.standing) == (
            epoch,
            OURS,
            Standing.OPERATING,
        )
        assert (change.entry.version, change.entry.last_number, change.entry.generation) == (3, known.last_number, 9)
        assert (change.note is None) == (known.fingerprint == OURS)
        assert sent(step) == [Welcome(data.at, known.last_number)]
    else:
        with pytest.raises(ProtocolError):
            CENTRAL.step(S.RECOGNIZING, data, found(known, issuer))


# The log of the card that certified it (L12)


@pytest.mark.parametrize(
    ("logged", "grace", "since", "objection"),
    [
        (Logged(holds=False), None, None, ""),
        (Logged(holds=True), 0, None, ""),
        (Logged(holds=True, doubt="forked"), 0, None, ""),  # what it has was read before there was a doubt
        (Logged(holds=False, doubt="forked"), 999, None, "its card's log, which is in doubt: forked"),
        (Logged(holds=False, through=1), 999, None, "made outside its card's log"),
        (Logged(holds=False, through=0), 999, None, ""),  # no entry came after it: it may be the next
        (Logged(holds=False), 0, None, "waits for its card's log"),
        (Logged(holds=False), 1, None, ""),
        (Logged(holds=False), 600, -600, "waits for its card's log"),
        (Logged(holds=False), 600, -599, ""),
        (Logged(holds=False, through=1, doubt="forked"), 999, None, "which is in doubt"),
    ],
)
def test_what_no_log_has_counts_for_so_long_and_not_at_all_if_a_log_should_have_it(
    greeted: CentralData, issuer, entry, logged, grace, since, objection
):
    """`through` counts from when the certificate begins, `since` from now."""
    shown = given(greeted.peer).chain[0]
    logged = replace(logged, through=shown.not_before + logged.through if logged.through else shown.not_before)
    known = found(None if since is None else replace(entry, first_seen=greeted.at + since), issuer, logged=logged).known
    said = objection_to_log(replace(greeted, grace=grace), known)
    assert objection in said
    assert bool(said) == bool(objection)


def test_another_certificate_does_not_begin_to_wait_when_the_first_did(greeted: CentralData, issuer, entry):
    known = found(replace(entry, fingerprint=OLD, first_seen=greeted.at - 600), issuer, logged=Logged(holds=False))
    assert objection_to_log(replace(greeted, grace=600), known.known) == ""


def test_a_card_is_doubted_for_what_it_cannot_have_made_and_for_nothing_else(greeted: CentralData, issuer):
    """Not where nobody asks for logs, where its owner gave the card up, and not a second time."""
    later = Logged(holds=False, through=given(greeted.peer).chain[0].not_before + 1)
    data = replace(greeted, grace=0)
    step = CENTRAL.step(S.RECOGNIZING, data, found(None, issuer, logged=later))
    assert [type(effect) for effect in step.effects] == [Persist, Close]
    doubt: Any = step.effects[0].record  # type: ignore[union-attr]
    assert doubt.issuer == issuer.fingerprint
    assert f"certificate {OURS.hex()} of " in doubt.reason
    assert CENTRAL.step(S.RECOGNIZING, greeted, found(None, issuer, logged=later)).state is S.ONLINE
    for by, about in (
        (issuer, {"logged": replace(later, doubt="forked")}),
        (issuer, {"logged": replace(later, through=later.through - 1)}),
        (issuer, {"logged": later, "revoked": True}),
        (replace(issuer, lost=1), {"logged": later}),
        (None, {"logged": later}),
    ):
        with pytest.raises(ProtocolError, match="module refused"):
            CENTRAL.step(S.RECOGNIZING, data, found(None, by, **about))


def test_a_module_that_was_never_here_is_registered(greeted: CentralData, issuer):
    step = CENTRAL.step(S.RECOGNIZING, greeted, found(None, issuer))
    entry = written(step).entry
    assert (entry.version, entry.first_seen, entry.owner) == (0, greeted.at, issuer.owner)
    with pytest.raises(ProtocolError, match="before a reset"):
        CENTRAL.step(S.RECOGNIZING, greeted, found(replace(entry, fingerprint=OLD), issuer, retired=True))


@pytest.mark.parametrize(
    ("issuer_is", "known_is", "accepted"),
    [
        ({}, {}, True),
        (None, {}, False),
        ({"lost": NOW}, {}, False),
        ({"lost": NOW, "keep_known": True}, {}, True),  # it was here before the loss
        ({"lost": NOW - 9, "keep_known": True}, {}, False),  # it came in the second of the loss
        ({"lost": NOW, "keep_known": True}, {"fingerprint": OLD, "epoch": 1}, False),  # back-dating does not help
        ({"lost": NOW, "keep_known": True}, None, False),
        ({"lost": NOW}, None, False),
    ],
)
def test_s5_what_a_lost_key_certified(greeted: CentralData, issuer, entry, issuer_is, known_is, accepted):
    by = None if issuer_is is None else replace(issuer, **issuer_is)
    known = None if known_is is None else replace(entry, **known_is)
    for revoked in (False, True):
        event = found(known, by, revoked=revoked)
        if accepted and not revoked:
            assert CENTRAL.step(S.RECOGNIZING, greeted, event).state is S.ONLINE
        else:
            with pytest.raises(ProtocolError):
                CENTRAL.step(S.RECOGNIZING, greeted, event)
        if known is not None and known.fingerprint == OURS:  # the same holds for a session that is open
            online = replace(greeted, entry=known)
            if accepted and not revoked:
                assert CENTRAL.step(S.ONLINE, online, event).state is S.ONLINE
            else:
                with pytest.raises(ProtocolError):
                    CENTRAL.step(S.ONLINE, online, event)


def test_s5_a_disabled_module_is_sent_away(online: CentralData, issuer):
    disabled = replace(online.held, standing=Standing.DISABLED, version=4)
    with pytest.raises(ProtocolError, match="disabled"):
        CENTRAL.step(S.ONLINE, online, found(disabled, issuer))
    moved = replace(online.held, fingerprint=FOREIGN, version=4)
    with pytest.raises(ProtocolError, match="another certificate"):
        CENTRAL.step(S.ONLINE, online, found(moved, issuer))


def test_s4_a_module_whose_reset_was_ordered_may_only_be_reset(greeted: CentralData, issuer, entry):
    ordered = replace(entry, standing=Standing.RESET_ORDERED)
    copied = CENTRAL.step(S.RECOGNIZING, greeted, found(replace(entry, standing=Standing.RESET), issuer))
    assert copied.state is S.RESETTING  # a copy of a module that is reset is good for nothing else either
    step = CENTRAL.step(S.RECOGNIZING, greeted, found(ordered, issuer))
    assert (step.state, sent(step)) == (S.RESETTING, [ResetRequest(2)])
    assert not [effect for effect in step.effects if isinstance(effect, Persist)]
    for greeting in (Greeting(1, OURS, 9, 7), Greeting(2, FOREIGN, 9, 7)):
        with pytest.raises(ProtocolError):
            CENTRAL.step(S.RECOGNIZING, replace(greeted, greeting=greeting), found(ordered, issuer))
    open_one = CENTRAL.step(S.ONLINE, replace(greeted, entry=entry), found(ordered, issuer))
    assert (open_one.state, open_one.effects) == (S.ENDED, (Close(),))


def test_the_modules_word_agrees_with_its_certificate(greeted: CentralData, issuer):
    data = replace(greeted, greeting=Greeting(2, FOREIGN, 9, 7))
    with pytest.raises(ProtocolError, match="another certificate"):
        CENTRAL.step(S.RECOGNIZING, data, found(None, issuer))


def test_a_beat_says_how_far_the_store_is(online: CentralData):
    assert not [each for each in CENTRAL.step(S.ONLINE, online, Beat(8)).effects if isinstance(each, Persist)]
    assert written(CENTRAL.step(S.ONLINE, online, Beat(9))).entry.generation == 9


@pytest.mark.parametrize("which", [0, 1], ids=["module", "issuer"])
def test_no_session_outlives_the_certificates_that_opened_it(online: CentralData, which):
    """By the next beat, without which a session ends anyway."""
    peer = online.peer
    assert peer is not None
    forever = [replace(each, not_after=NOW + 90 * YEAR) for each in peer.chain]
    forever[which] = replace(forever[which], not_after=NOW)
    there = replace(online, peer=replace(peer, chain=tuple(forever)))
    assert CENTRAL.step(S.ONLINE, there.at_time(NOW), Beat(9)).state is S.ONLINE
    step = CENTRAL.step(S.ONLINE, there.at_time(NOW + 1), Beat(9))
    assert (step.state, sent(step)) == (S.ENDED, [])
    (close,) = step.effects
    assert isinstance(close, Close)
    assert close.fault is Fault.UNTRUSTED


# Authorizations (L10, S10)


def transaction(**about: Any) -> Transaction:
    asked = authorization(8)
    made = Transaction("SN-1", 8, 2, asked.card[-4:], asked.account[-4:], asked.amount, asked.currency, NOW)
    return replace(made, **about)


def test_a_number_counts_once_and_from_before_the_host_decides(online: CentralData):
    step = CENTRAL.step(S.ONLINE, online, authorization(8))
    change = written(step)
    assert step.state is S.DECIDING
    assert (change.entry.last_number, change.transaction.approved) == (8, None)
    assert step.effects[-1] == LookUp("decision", Question("SN-1", authorization(8)))
    kept = repr(change)
    assert authorization(8).card not in kept
    assert authorization(8).account not in kept
    for number in (0, 6, 7):  # used for something else
        used = CENTRAL.step(S.ONLINE, online, authorization(number))
        assert used.effects == (LookUp("transaction", ("SN-1", number)),)
        with pytest.raises(Refused):
            CENTRAL.step(S.CHECKING, used.data, TransactionFound(None))


def test_what_was_decided_is_answered_again_and_the_host_is_not_asked_twice(online: CentralData):
    before = replace(online, entry=replace(online.held, last_number=8))
    asked = CENTRAL.step(S.ONLINE, before, authorization(8)).data
    decided = transaction(approved=True, instructed=5000, reference="r")
    step = CENTRAL.step(S.CHECKING, asked, TransactionFound(decided))
    assert (step.state, sent(step)) == (S.ONLINE, [PayOut(8, approved=True, amount=5000, reference="r")])
    assert written(step).transaction is None
    undecided = CENTRAL.step(S.CHECKING, asked, TransactionFound(transaction()))
    assert sent(undecided) == [PayOut(8, approved=False, amount=0, reference="")]
    assert written(undecided).transaction.approved is False
    for other in ({"amount": 1}, {"currency": "USD"}, {"card": "0000"}, {"account": "0000"}):
        with pytest.raises(Refused):
            CENTRAL.step(S.CHECKING, asked, TransactionFound(transaction(approved=True, **other)))


def test_the_decision_is_about_what_was_asked(online: CentralData):
    deciding = CENTRAL.step(S.ONLINE, online, authorization(8)).data
    yes = PayOut(number=8, approved=True, amount=5000, reference="r")
    step = CENTRAL.step(S.DECIDING, deciding, Decided(yes))
    assert (step.state, sent(step)) == (S.ONLINE, [yes])
    assert written(step).transaction == transaction(approved=True, instructed=5000, reference="r", asked=deciding.at)
    with pytest.raises(Refused):
        CENTRAL.step(S.DECIDING, deciding, Decided(replace(yes, number=9)))


def test_an_outcome_is_entered_once(online: CentralData):
    told = CENTRAL.step(S.ONLINE, online, Outcome(9, 8, 4000))
    step = CENTRAL.step(S.SETTLING, told.data, TransactionFound(transaction(approved=True, instructed=5000)))
    change = written(step)
    assert (change.entry.last_number, change.transaction.paid) == (9, 4000)
    assert sent(step) == [Received(9)]
    settled = change.transaction
    later = CENTRAL.step(S.ONLINE, step.data, Outcome(10, 8, 1)).data
    assert written(CENTRAL.step(S.SETTLING, later, TransactionFound(settled))).transaction == settled
    nothing = CENTRAL.step(S.SETTLING, told.data, TransactionFound(None))
    assert (written(nothing).transaction, sent(nothing)) == (None, [Received(9)])
    assert CENTRAL.step(S.ONLINE, step.data, Outcome(9, 8, 4000)).effects == (Send(Received(9)),)


def test_a_payload_is_taken_in_once(online: CentralData):
    step = CENTRAL.step(S.ONLINE, online, Payload(8, b"x"))
    assert (written(step).delivery.payload, sent(step)) == (b"x", [Received(8)])
    assert CENTRAL.step(S.ONLINE, step.data, Payload(8, b"x")).effects == (Send(Received(8)),)


# Commands (L10, L11)


def waiting(kind: CommandKind = CommandKind.INSTRUCT) -> Command:
    return Command("SN-1", 4, kind, b"content", NOW)


def test_one_command_at_a_time_until_it_is_acknowledged(online: CentralData):
    step = CENTRAL.step(S.ONLINE, online, CommandFound(waiting()))
    assert CENTRAL.step(S.ONLINE, step.data, CommandFound(waiting())).effects == ()
    with pytest.raises(Refused):
        CENTRAL.step(S.ONLINE, step.data, Received(5))
    done = CENTRAL.step(S.ONLINE, step.data, Received(4))
    assert written(done).concluded == (4, CommandState.DONE, "received")
    assert done.effects[-1] == LookUp("command", "SN-1")
    busy = CENTRAL.step(S.ONLINE, step.data, Declined(4, Fault.UNAVAILABLE))
    assert (busy.data.command, [each for each in busy.effects if isinstance(each, Persist)]) == (None, [])
    declined = CENTRAL.step(S.ONLINE, step.data, Declined(4, Fault.UNSUPPORTED))
    assert written(declined).concluded == (4, CommandState.REFUSED, "unsupported")
    late = CENTRAL.step(S.ONLINE, step.data, DeadlinePassed("command"))
    assert late.effects[-1].fault is Fault.TIMEOUT  # type: ignore[union-attr]


def test_a_key_that_came_as_another_is_noticed(online: CentralData):
    order = KeyOrder("D" * 16, NOW + DAY, 3, "KCV(CMAC)=0011223344")
    step = CENTRAL.step(S.ONLINE, online, CommandFound(waiting(CommandKind.LOAD_KEY), order))
    assert step.state is S.WRAPPING
    sent_key = replace(step.data)
    assert written(CENTRAL.step(S.ONLINE, sent_key, KeyLoaded(4, order.check_value))).concluded[2] == order.check_value
    for other in (KeyLoaded(4, "KCV(CMAC)=0011223345"), KeyLoaded(5, order.check_value)):
        with pytest.raises(Refused):
            CENTRAL.step(S.ONLINE, sent_key, other)


# Reset (L8, S4)


def test_the_command_is_signed_for_serial_epoch_and_challenge(online: CentralData):
    challenge = bytes(range(32))
    with pytest.raises(Refused):
        CENTRAL.step(S.RESETTING, online, ResetChallenge(1, challenge))
    sign = CENTRAL.step(S.RESETTING, online, ResetChallenge(2, challenge)).effects[-1]
    assert sign.message == proofs.reset_command("SN-1", 2, challenge)  # type: ignore[union-attr]
    assert sign.key == online.key  # type: ignore[union-attr]


def test_the_old_certificate_is_worthless_from_the_order_on(world: World):
    """Whatever the session does: the order is in the registry before anything is asked of the module."""
    personalize(world)
    contact(world).start().finish()
    world.order_reset()
    assert world.central.registry.module("SN-1").standing is Standing.RESET_ORDERED  # type: ignore[union-attr]
    line = contact(world, cut_after=5).start().finish()
    assert line.peer.session.state is S.ENDED
    assert world.central.registry.module("SN-1").standing is Standing.RESET_ORDERED  # type: ignore[union-attr]


def test_the_command_answers_no_other_challenge(central: Recorder):
    moment = next(each for each in central.moments if each.state is S.COMMANDING and each.step.state is S.COMMANDED)
    send, timer = moment.step.effects
    assert isinstance(send.message, ResetCommand)
    assert isinstance(timer, StartTimer)
    statement = proofs.reset_command(moment.data.entry.serial, moment.data.entry.epoch, bytes(32))
    assert verify_signature(ES256, moment.data.key.public, statement, send.message.signature) is False


@pytest.mark.parametrize(("epoch", "accepted"), [(0, False), (2, False), (3, True), (4, False)])
def test_the_module_counts_exactly_one_reset(online: CentralData, epoch, accepted):
    if accepted:
        step = CENTRAL.step(S.COMMANDED, online, ResetDone(epoch))
        assert step.state is S.ENDED
        assert (written(step).entry.standing, written(step).entry.epoch) == (Standing.RESET, 2)
    else:
        with pytest.raises(Refused):
            CENTRAL.step(S.COMMANDED, online, ResetDone(epoch))


def test_a_key_that_does_not_sign_ends_the_session_with_nothing_changed(online: CentralData):
    step = CENTRAL.step(S.COMMANDING, online, KeyOperationFailed("gone"))
    assert step.effects[-1] == Close(Fault.UNAVAILABLE, "gone")
    assert not [effect for effect in step.effects if isinstance(effect, Persist)]
