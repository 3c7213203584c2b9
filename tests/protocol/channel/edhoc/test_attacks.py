"""What an attacker on the wire may try: no side accepts what the other one did not say to it (S10, S11, S13)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edhoc_pair import Key, Setting, ead, forge_message_2, run

from insitu.protocol.channel.edhoc import (
    Credential,
    CredentialFound,
    ErrorCode,
    InitiatorState,
    Method,
    ResponderState,
    advance,
    write_ccs,
)
from insitu.protocol.channel.edhoc.credentials import Kid
from insitu.protocol.channel.edhoc.events import Message2Received
from insitu.protocol.channel.edhoc.messages import read_error, write_message_1
from insitu.protocol.engine import Agreed, KeyKind, PublicKey, Refused, Signed, Started, UsageError
from insitu.protocol.messages.codec import decode_sequence, encode

NAMES = ("message_1", "message_2", "message_3", "message_4")
BOTH_WAYS = [(Method.SIGNATURES, 3, "x5chain"), (Method.STATIC, 2, "kid"), (Method.SIGNATURE_THEN_STATIC, 0, "kccs")]


@pytest.mark.parametrize(("method", "suite", "kind"), BOTH_WAYS)
@pytest.mark.parametrize("number", range(4), ids=NAMES)
def test_no_byte_can_be_changed(method, suite, kind, number):
    setting = Setting(method, suite, kind, kind)
    frames = run(setting.initiator(), setting.responder())
    for position in range(len(frames[number])):
        for bit in (0x01, 0x80):
            initiator, responder = setting.initiator(), setting.responder()

            def tamper(at, frame, position=position, bit=bit):
                if at != number:
                    return frame
                return frame[:position] + bytes((frame[position] ^ bit,)) + frame[position + 1 :]

            # randomized signatures: the lengths are the same, so every position exists
            run(initiator, responder, tamper=tamper)
            assert not initiator.established, position
            assert responder.established == (number == 3), position


@pytest.mark.parametrize("number", range(4), ids=NAMES)
def test_no_message_can_be_cut_or_lengthened(number):
    setting = Setting(Method.STATIC, 3, "kid", "kid")
    frame = run(setting.initiator(), setting.responder())[number]
    for changed in [frame[:size] for size in range(len(frame))] + [frame + b"\x00", frame + frame, b"\x00" + frame]:
        initiator, responder = setting.initiator(), setting.responder()
        run(initiator, responder, tamper=lambda at, frame, changed=changed: changed if at == number else frame)
        assert not initiator.established
        assert responder.established == (number == 3)


@pytest.mark.parametrize("size", [31, 32])
def test_message_2_without_a_ciphertext_is_refused_before_anything_is_computed(size):
    initiator = Setting(Method.STATIC, 3).initiator()
    initiator.feed(Started())
    initiator.feed(Message2Received(bytes(size)))
    assert initiator.failed
    assert initiator.error.expected == "more than 32 bytes"


@pytest.mark.parametrize("number", range(4), ids=NAMES)
def test_no_message_of_another_session_is_taken(number):
    """Replay from a session of the same parties: only message_1 finds a listener, and leads nowhere."""
    setting = Setting(Method.SIGNATURES, 3)
    old = run(setting.initiator("old initiator"), setting.responder("old responder"))
    initiator, responder = setting.initiator(), setting.responder()
    run(initiator, responder, tamper=lambda at, frame: old[number] if at == number else frame)
    assert not initiator.established
    assert responder.established == (number == 3)


def test_a_whole_session_cannot_be_replayed_to_a_responder():
    setting = Setting(Method.STATIC, 3)
    old = run(setting.initiator(), setting.responder("old responder"))
    responder = setting.responder("new responder")
    responder.receive(old[0])
    responder.receive(old[2])
    assert responder.failed
    assert "does not authenticate" in str(responder.error)


@pytest.mark.parametrize("number", range(4), ids=NAMES)
def test_no_message_is_taken_twice(number):
    setting = Setting(Method.SIGNATURES, 3)
    ends = {0: setting.responder(), 1: setting.initiator()}
    frames = ends[1].feed(Started())
    for at in range(number + 1):
        frame, receiver = frames[0], ends[at % 2]
        frames = receiver.receive(frame)
    if number < 2:
        receiver.receive(frame)
        assert receiver.failed
    else:
        with pytest.raises(Refused) as caught:  # established: no frame has a place in the table any more
            receiver.receive(frame)
        assert caught.value.event != "HandshakeFailed", "what is refused is what came"
        assert receiver.established


def test_every_message_in_every_wrong_state():
    """No order of messages but the right one leads anywhere; every wrong one ends the handshake."""
    setting = Setting(Method.STATIC, 3)
    frames = run(setting.initiator(), setting.responder())
    paths = {InitiatorState: [(), (1,)], ResponderState: [(), (0,)]}
    right = {InitiatorState: [1, 3], ResponderState: [0, 2]}
    for kind, taken in paths.items():
        for before, proper in zip(taken, right[kind], strict=True):
            for number in range(4):
                end = setting.initiator() if kind is InitiatorState else setting.responder()
                if kind is InitiatorState:
                    end.feed(Started())
                for each in before:
                    end.receive(frames[each])
                state = end.state
                end.receive(frames[number])
                if number == proper:
                    assert not end.failed, (state, number)
                else:
                    assert end.failed, (state, number)


def test_nothing_is_accepted_before_the_start():
    setting = Setting(Method.STATIC, 3)
    frames = run(setting.initiator(), setting.responder())
    for frame in frames:
        initiator = setting.initiator()
        initiator.receive(frame)
        assert initiator.failed


def test_the_initiators_own_ephemeral_key_comes_back():
    setting = Setting(Method.STATIC, 3, "kid", "kid")
    initiator = setting.initiator()
    (message_1,) = initiator.feed(Started())
    g_x = decode_sequence(message_1)[2]
    assert type(g_x) is bytes
    initiator.receive(encode(g_x + bytes(20)))
    assert initiator.failed
    assert "G_Y (expected another side's key, got this side's own)" in str(initiator.error)


def test_the_responders_own_ephemeral_key_comes_before_it():
    """It cannot, as long as entropy is fresh; where it is not, the responder notices."""
    setting = Setting(Method.STATIC, 3, "kid", "kid")
    frames = run(setting.initiator(), setting.responder("used twice"))
    g_y = decode_sequence(frames[1])[0]
    assert type(g_y) is bytes
    responder = setting.responder("used twice")
    responder.receive(write_message_1(Method.STATIC, (3,), g_y[:32], b"", b""))
    assert responder.failed
    assert "G_X (expected another side's key, got this side's own)" in str(responder.error)


@pytest.mark.parametrize("method", [Method.SIGNATURES, Method.STATIC])
def test_ones_own_credential_comes_back(method):
    """A party that plays both roles with one credential does not talk to itself (RFC 9528 section 9.2, D.5)."""
    setting = Setting(method, 3, "kid", "kid")
    own, key = setting.initiator_credential, setting.initiator_key
    initiator = setting.initiator()
    initiator.find = lambda _: CredentialFound(own)
    responder = setting.responder(credential=own, key=key.handle)
    responder.key = key
    run(initiator, responder)
    assert initiator.failed
    assert "expected another party's, got this side's own" in str(initiator.error)
    assert not responder.established


def test_ones_own_key_in_another_credential_comes_back():
    setting = Setting(Method.STATIC, 3, "kid", "kccs")
    disguise = Credential.kccs(write_ccs(setting.responder_key.public, subject="somebody else"))
    initiator = setting.initiator(credential=disguise, key=setting.responder_key.handle)
    initiator.key = setting.responder_key
    responder = setting.responder()
    responder.find = lambda _: CredentialFound(disguise)
    initiator.find = lambda _: CredentialFound(replace(setting.responder_credential))
    run(initiator, responder)
    assert initiator.failed
    assert "this side's own" in str(initiator.error)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_same_kid_and_same_key_are_not_enough(method, side):
    """S11: the whole credential counts, so another claims set with the same kid and even the same key is refused."""
    setting = Setting(method, 3, "kid", "kid")
    key = setting.initiator_key if side == "initiator" else setting.responder_key
    meant = setting.initiator_credential if side == "initiator" else setting.responder_credential
    other = Credential(meant.id_cred, write_ccs(key.public, subject="another name", kid=b"\x2b"), key.public)
    assert other.cred != meant.cred
    initiator, responder = setting.initiator(), setting.responder()
    (responder if side == "initiator" else initiator).find = lambda _: CredentialFound(other)
    run(initiator, responder)
    judge = responder if side == "initiator" else initiator
    assert judge.failed
    assert "does not hold" in str(judge.error)
    assert not initiator.established


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_the_holder_of_another_key_is_refused(method, side):
    setting = Setting(method, 3, "kid", "kid")
    impostor = Key(setting.initiator_key.kind, "impostor")
    initiator, responder = setting.initiator(), setting.responder()
    liar, judge = (initiator, responder) if side == "initiator" else (responder, initiator)
    liar.key = impostor if impostor.kind is liar.key.kind else Key(liar.key.kind, "impostor")
    run(initiator, responder)
    assert judge.failed
    assert "does not hold" in str(judge.error)
    assert not initiator.established


@pytest.mark.parametrize("kind", ["x5chain", "x5t", "kccs"])
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_a_look_up_that_finds_another_credential_is_refused(side, kind):
    setting = Setting(Method.SIGNATURES, 3, kind, kind)
    other = Setting(Method.SIGNATURES, 3, kind, kind, seed="other")
    initiator, responder = setting.initiator(), setting.responder()
    liar, judge = (initiator, responder) if side == "initiator" else (responder, initiator)
    found = other.initiator_credential if liar is initiator else other.responder_credential
    judge.find = lambda _: CredentialFound(found)
    run(initiator, responder)
    assert "expected the one that ID_CRED identifies" in str(judge.error)


@pytest.mark.parametrize("side", ["initiator", "responder"])
@pytest.mark.parametrize("method", [Method.SIGNATURES, Method.STATIC])
def test_a_key_of_the_wrong_kind_is_refused(method, side):
    setting = Setting(method, 3, "kid", "kid")
    wrong = Key(KeyKind.P384, "wrong")
    ends = {"initiator": setting.initiator(), "responder": setting.responder()}
    right = setting.responder_credential if side == "initiator" else setting.initiator_credential
    judge = ends[side]
    judge.find = lambda _: CredentialFound(Credential(right.id_cred, write_ccs(wrong.public), wrong.public))
    run(ends["initiator"], ends["responder"])
    assert judge.failed
    assert "authentication key (expected P-256, got P-384)" in str(judge.error)


def test_what_message_2_says_is_believed_only_with_its_proof():
    """Anybody can make a message_2; a look-up that always answers does not help him."""
    setting = Setting(Method.SIGNATURES, 3, "kid", "kid")
    for length in (63, 64, 65, 0):
        initiator = setting.initiator()
        initiator.feed(Started())
        plaintext = b"\x27" + Kid(b"x").compact + encode(b"\x01" * length)
        initiator.receive(forge_message_2(initiator, plaintext))
        assert initiator.queries
        assert initiator.failed
        reason = "signature does not hold" if length == 64 else "Signature_or_MAC (expected 64 bytes"
        assert reason in str(initiator.error)


def test_the_suite_cannot_be_talked_down():
    """S13: SUITES_I is bound, so passing [3, 2] on as 2 fails, and a forged error cannot change the order."""
    setting = Setting(Method.STATIC, 3)
    initiator, responder = setting.initiator(suites=(3, 2)), setting.responder(suites=(2, 3))

    def only_2(at, frame):
        if at != 0:
            return frame
        method, _, *rest = decode_sequence(frame)
        return b"".join(encode(item) for item in (method, 2, *rest))

    run(initiator, responder, tamper=only_2)
    assert initiator.failed
    assert not responder.established

    initiator, responder = setting.initiator(suites=(3, 2)), setting.responder(suites=(2, 3))
    initiator.feed(Started())
    (message_1,) = initiator.receive(bytes.fromhex("0202"))  # "I can do suite 2 only", by nobody knows whom
    assert decode_sequence(message_1)[1] == (3, 2)
    (answer,) = responder.receive(message_1)
    error = read_error(answer)
    assert error is not None
    assert error.code == ErrorCode.WRONG_SUITE, "the responder supports 3, which the initiator prefers"
    initiator.receive(answer)
    assert initiator.failed, "3 was offered before: no third attempt"


def test_ead_is_bound():
    """EAD_1 crosses in the clear; changing it changes the transcript."""
    setting = Setting(Method.SIGNATURES, 3)
    initiator, responder = setting.initiator(ead_1=(ead(1, b"operate"),)), setting.responder()
    run(initiator, responder, tamper=lambda at, frame: frame.replace(b"operate", b"install") if at == 0 else frame)
    assert initiator.failed
    assert initiator.queries == [], "message_2 does not even decrypt"
    assert not responder.established


def test_ones_own_key_with_the_other_y_comes_back():
    """In a claims set that leaves y out, so that it reads as the negative point."""
    setting = Setting(Method.STATIC, 3, "kid", "kccs")
    public = setting.initiator_key.public
    negated = PublicKey(
        public.kind, public.data[:33] + (P256_PRIME - int.from_bytes(public.data[33:], "big")).to_bytes(32, "big")
    )
    mirrored = Credential(Kid(b"x"), write_ccs(negated), negated)
    initiator = setting.initiator()
    initiator.feed(Started())
    initiator.find = lambda _: CredentialFound(mirrored)
    initiator.receive(forge_message_2(initiator, b"\x27" + Kid(b"x").compact + encode(bytes(16))))
    assert "got this side's own" in str(initiator.error)


P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1


@pytest.mark.parametrize(
    ("method", "wrong"), [(Method.STATIC, Signed(bytes(64))), (Method.SIGNATURES, Agreed(bytes(32)))]
)
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_the_wrong_answer_of_key_memory(method, wrong, side):
    """Signed where Agreed is due, and the other way round: the guard refuses."""
    end = waiting_for_key_memory(Setting(method, 3), side)
    end.feed(wrong)
    assert end.failed
    assert "was asked" in str(end.error)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (Method.STATIC, Agreed(b"")),
        (Method.STATIC, Agreed(bytes(33))),
        (Method.SIGNATURES, Signed(b"")),
        (Method.SIGNATURES, Signed(bytes(70))),
    ],
)
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_an_answer_of_the_wrong_length(method, wrong, side):
    """A signature in DER, for example: key memory that does not keep to its port."""
    end = waiting_for_key_memory(Setting(method, 3), side)
    with pytest.raises(UsageError, match="answer of key memory"):
        end.feed(wrong)


def waiting_for_key_memory(setting, side):
    initiator, responder = setting.initiator(), setting.responder()
    run(initiator, responder)
    end, again = (initiator, setting.initiator()) if side == "initiator" else (responder, setting.responder())
    for event in end.events:
        if isinstance(event, Signed | Agreed):
            return again
        step = advance(again.state, again.data, event)
        again.state, again.data = step.state, step.data
    raise AssertionError("key memory was not asked")
