"""Suite negotiation by the error message, in both roles (RFC 9528 section 6.3), and other refusals of message_1."""

from __future__ import annotations

from itertools import permutations

import pytest
from edhoc_pair import Setting, ead, run

from insitu.protocol.channel.edhoc import ErrorCode, ErrorMessage, Method, PeerRefused, ResponderState
from insitu.protocol.channel.edhoc.messages import read_error, read_message_1, write_message_1
from insitu.protocol.engine import Fault, ProtocolError, Started

P256_SUITES = (2, 3)


@pytest.fixture
def setting():
    return Setting(Method.STATIC, 3, "kid", "kid")


def test_the_first_suite_of_the_initiator_that_both_support_is_run(setting):
    for preferences in permutations(P256_SUITES):
        for supported in [(2,), (3,), *permutations(P256_SUITES)]:
            initiator, responder = setting.initiator(suites=preferences), setting.responder(suites=supported)
            frames = run(initiator, responder)
            agreed = next(number for number in preferences if number in supported)
            assert initiator.data.facts.suite.number == responder.data.facts.suite.number == agreed
            tried = 1 if preferences[0] in supported else 2
            assert len(frames) == 4 + 2 * (tried - 1)
            assert read_message_1(frames[2 * (tried - 1)]).suites == preferences[: preferences.index(agreed) + 1]


def test_a_suite_can_be_offered_out_of_order_but_the_preferred_ones_are_named(setting):
    initiator, responder = setting.initiator(suites=(3, 2), selected=2), setting.responder(suites=(2,))
    frames = run(initiator, responder)
    assert len(frames) == 4
    assert read_message_1(frames[0]).suites == (3, 2)
    initiator, responder = setting.initiator(suites=(3, 2), selected=2), setting.responder(suites=(2, 3))
    frames = run(initiator, responder)
    assert initiator.data.facts.suite.number == 3, "the responder insists on what the initiator prefers"
    assert [read_message_1(frames[at]).suites for at in (0, 2)] == [(3, 2), (3,)]


def test_every_attempt_has_its_own_ephemeral_key(setting):
    initiator, responder = setting.initiator(suites=(3, 2)), setting.responder(suites=(2,))
    frames = run(initiator, responder)
    assert read_message_1(frames[0]).g_x != read_message_1(frames[2]).g_x


def test_no_suite_in_common(setting):
    initiator, responder = setting.initiator(suites=(3,)), setting.responder(suites=(2,))
    frames = run(initiator, responder)
    assert read_error(frames[1]) == ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2,))
    assert initiator.failed
    assert isinstance(initiator.error, PeerRefused)
    assert initiator.error.message.suites == (2,)
    assert "supports suites (2,)" in str(initiator.error)
    assert responder.state is ResponderState.LISTENING
    assert initiator.sent == frames[:1], "an error message is not answered"


def test_suites_that_this_library_does_not_know_are_skipped(setting):
    responder = setting.responder(suites=(2,))
    g_x = read_message_1(setting.initiator().feed(Started())[0]).g_x
    assert responder.receive(write_message_1(Method.STATIC, (5, -21, 99, 2), g_x, b"", b""))
    assert responder.state is ResponderState.APPROACHED or responder.state.name == "ANSWERED"


@pytest.mark.parametrize("suites", [(3,), (4, 3), (2, 3), (2, 2)])
def test_what_the_responder_refuses_for_its_suite(setting, suites):
    """Not supported, or one that the initiator itself prefers is."""
    responder = setting.responder(suites=(2,))
    g_x = read_message_1(setting.initiator().feed(Started())[0]).g_x
    (answer,) = responder.receive(write_message_1(Method.STATIC, suites, g_x, b"", b""))
    assert answer == bytes.fromhex("0202")
    assert responder.state is ResponderState.LISTENING


def test_a_responder_is_patient_as_often_as_it_has_suites(setting):
    responder = setting.responder(suites=(2,))
    (wrong,) = setting.initiator(suites=(3,)).feed(Started())
    assert read_error(responder.receive(wrong)[0]).code == ErrorCode.WRONG_SUITE
    assert responder.state is ResponderState.LISTENING
    (answer,) = responder.receive(wrong)
    assert read_error(answer) == ErrorMessage(ErrorCode.UNSPECIFIED, text="unsupported")
    assert responder.failed
    assert responder.closed.fault is Fault.UNSUPPORTED


def test_an_initiator_offers_each_suite_once(setting):
    initiator = setting.initiator(suites=(3, 2))
    initiator.feed(Started())
    endless = ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2, 3)).encode()
    assert len(initiator.receive(endless)) == 1
    assert initiator.receive(endless) == []
    assert initiator.failed


@pytest.mark.parametrize(
    "error",
    [
        ErrorMessage(ErrorCode.UNSPECIFIED, text="anything"),
        ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL),
        ErrorMessage(ErrorCode.WRONG_SUITE, suites=(99,)),
    ],
)
def test_other_errors_end_it_without_an_answer(setting, error):
    initiator = setting.initiator(suites=(3, 2))
    initiator.feed(Started())
    assert initiator.receive(error.encode()) == []
    assert initiator.failed
    assert initiator.error.message == error


def test_error_code_0_ends_it_without_an_answer(setting):
    """RFC 9528 section 6.1."""
    for end, start in ((setting.initiator(), True), (setting.responder(), False)):
        if start:
            end.feed(Started())
        assert end.receive(bytes.fromhex("0060")) == []
        assert end.failed


def test_a_method_that_is_not_admitted(setting):
    responder = setting.responder()
    (message_1,) = Setting(Method.SIGNATURES, 3).initiator().feed(Started())
    (answer,) = responder.receive(message_1)
    assert read_error(answer).text == "unsupported"
    assert "method (expected 3, got 0)" in str(responder.error)


@pytest.mark.parametrize("method", [-1, 4, 23, 1 << 40])
def test_a_method_that_does_not_exist(setting, method):
    responder = setting.responder()
    g_x = read_message_1(setting.initiator().feed(Started())[0]).g_x
    assert read_error(responder.receive(write_message_1(method, (3,), g_x, b"", b""))[0]).text == "unsupported"


def test_a_responder_for_several_methods():
    static = Setting(Method.STATIC, 3, "kid", "kid")
    both = frozenset({Method.STATIC, Method.SIGNATURE_THEN_STATIC})
    for setting in (static, Setting(Method.SIGNATURE_THEN_STATIC, 3, "kid", "kid")):
        initiator, responder = setting.initiator(), setting.responder(methods=both)
        run(initiator, responder)
        assert responder.data.facts.method is setting.method


@pytest.mark.parametrize("fault", [Fault.UNSUPPORTED, Fault.UNTRUSTED])
def test_ead_1_is_judged_before_anything_is_answered(setting, fault):
    """The application refuses, so no message_2 is made and the initiator learns one code."""
    seen = []

    def judge(items):
        seen.append(items)
        raise ProtocolError("not for this purpose", who="test", got="a secret detail", fault=fault)

    initiator = setting.initiator(ead_1=(ead(9, b"purpose", critical=True),))
    responder = setting.responder(admits_ead_1=judge, ead_labels=frozenset({9}))
    frames = run(initiator, responder)
    assert seen == [(ead(9, b"purpose", critical=True),)]
    assert len(frames) == 2
    assert read_error(frames[1]) == ErrorMessage(ErrorCode.UNSPECIFIED, text=fault.name.lower())
    assert responder.error.summary == "not for this purpose"
    assert responder.closed.fault is fault


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_critical_item_that_is_not_understood_ends_it(setting, number):
    """RFC 9528 section 3.8, in each of the four messages."""
    for labels, accepted in ((frozenset[int](), False), (frozenset({5}), True), (frozenset({6}), False)):
        items = {f"ead_{number}": (ead(5, b"value", critical=True),)}
        initiator = setting.initiator(**items if number % 2 else {}, ead_labels=labels)
        responder = setting.responder(**{} if number % 2 else items, ead_labels=labels)
        run(initiator, responder)
        assert initiator.established == accepted
        if not accepted:
            judge = responder if number % 2 else initiator
            assert judge.failed
            assert "critical EAD item that is not understood" in str(judge.error)


def test_items_that_are_not_critical_are_passed_on(setting):
    initiator, responder = setting.initiator(ead_1=(ead(5, b"value"), ead(5))), setting.responder()
    run(initiator, responder)
    assert responder.data.facts.ead_1 == (ead(5, b"value"), ead(5))
