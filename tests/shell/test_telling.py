"""Notes in words: every kind of note is told, to programs as JSON and to people as one harmless line."""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from lives import new_host
from networked import call, service
from pump import Line, contact, enrollment, personalize, sent_to_reset, syncing
from world import CARD_NUMBER, DAY, NOW, SERIAL, World, wanted

from insitu.protocol.engine import PublicKey, SecretAlgorithm, Show
from insitu.protocol.messages import TrustOption
from insitu.protocol.parties.central_data import AttentionCalled, CommandConcluded
from insitu.protocol.parties.central_syncing import CardDoubted
from insitu.protocol.parties.keypad import KEYPAD, KeypadData, KeypadState, TanAsked
from insitu.protocol.parties.mobile import Conveyed
from insitu.protocol.parties.module_data import KeyMade
from insitu.protocol.parties.work_data import PayloadGiven, PayOutInstructed, TimePassed, TransactionSettled
from insitu.protocol.progress import KeysRefused, MobileHeard, SessionEnded
from insitu.protocol.stores.registry import CommandKind
from insitu.shell.telling import _LINES, facts_of, key_fingerprint, line_of


@pytest.fixture(scope="module")
def told() -> list[dict[str, object]]:
    """All notes of a whole life."""
    world = World()
    personalize(world, TrustOption.SHIPPED_KEY)
    line: Line = contact(world).start()
    line.module.order(wanted())
    world.module.at_work.remind()
    line.module.order(TransactionSettled(1, 5000))
    line.module.order(PayloadGiven(2, b"x"))
    world.command(CommandKind.INSTRUCT, b"x")
    for algorithm in (SecretAlgorithm.AES, SecretAlgorithm.TDES):
        world.load_key(algorithm=algorithm)
    line.peer.order(AttentionCalled())
    line.module.order(TimePassed(NOW + 9 * DAY, 0))
    line.finish()
    sent_to_reset(world).start().finish()
    personalize(world, TrustOption.CONVEYED)
    personalize(world)
    module = world.new_module("SN-9")
    for listed in ("SN-9", "SN-8"):
        call(world, service(world, jobs=[listed]), module=module).start().finish()
    enrollment(world, new_host(world)).start().finish()
    syncing(world).start().finish()
    world.shown.append(CardDoubted("Bank", world.card.customer.fingerprint, "forked\n"))
    world.close_circle("SN-circle")
    personalize(world, TrustOption.PHYSICAL)
    pad = KEYPAD.step(KeypadState.READY, KeypadData(), TanAsked("unit\n1"))
    world.shown += [effect.note for effect in pad.effects if isinstance(effect, Show)]
    world.shown.append(KeysRefused("module", "code: check symbol", 2))
    around = [MobileHeard("unit", SERIAL, "caller +4930123456", agrees=True), Conveyed(SERIAL, accepted=True)]
    return [facts for note in (*world.shown, *around) if (facts := facts_of(note)) is not None]


def test_every_kind_of_note_is_told(told):
    assert {facts["note"] for facts in told} == set(_LINES)


def test_notes_are_one_line_of_json_and_one_for_people(told):
    for facts in told:
        assert json.loads(json.dumps(facts)) == facts
        line = line_of(facts)
        assert line.isprintable()
        assert line.startswith(str(facts["party"]))
        assert "{" not in line, "a note without words of its own"


def test_no_card_number_is_told(told):
    text = json.dumps(told) + "".join(map(line_of, told))
    assert CARD_NUMBER not in text
    assert "Authorize" in text


def test_what_is_for_nobody_is_not_told():
    assert facts_of(object()) is None


@pytest.mark.parametrize("words", ["\x1b[2J\x1b[31m", "a\nb", "\r", "\u202e", "\x9b31m"])
def test_control_characters_of_a_peer_are_spelled_out(words):
    """A reference is the central system's, a name may be anybody's: neither moves the cursor of a terminal."""
    for note in (
        PayOutInstructed(1, approved=True, amount=1, reference=words),
        SessionEnded("module", words),
        CommandConcluded(words, 1, words),
    ):
        facts = facts_of(note)
        assert facts is not None
        assert line_of(facts).isprintable()


def test_fingerprints_are_those_that_openssl_shows():
    world = World()
    personalize(world)
    made = next(note for note in world.shown if isinstance(note, KeyMade))
    public: PublicKey = made.key.public
    assert key_fingerprint(public).replace(" ", "").lower() == hashlib.sha256(_spki(public)).hexdigest()


def _spki(public: PublicKey) -> bytes:
    der = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + public.data
    load_der_public_key(der)
    return der
