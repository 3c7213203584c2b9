"""What the card's jobs and log say of a module, after everything that can have happened to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from world import SERIAL, World

from insitu.protocol.messages import CardRole
from insitu.protocol.stores.card_log import Failure, Intent, LogEntry, Result
from insitu.shell.outlook import Outlook, Step, last_made

OTHER = "SN-2"
INTENT = Intent(b"j" * 16, "module", SERIAL, ("alice", "bob"), b"tbs")


def log(*whats: object) -> list[LogEntry]:
    return [LogEntry(number, bytes(32), 100 + number, what) for number, what in enumerate(whats)]  # type: ignore[arg-type]


def test_nothing_has_happened(world: World):
    outlook = Outlook.of(world.card, SERIAL)
    assert (outlook.job, outlook.made, outlook.is_approved) == (None, None, False)
    assert outlook.step(0) is Step.NOTHING
    assert outlook.job_text == "no job is open"


def test_approvals_come_one_by_one_and_go_with_time(world: World):
    since = len(world.card.record.log)
    job = world.card.propose(CardRole.MODULE, SERIAL)
    assert Outlook.of(world.card, SERIAL).job_text.startswith(
        f"job {job.number.hex()}, approved by nobody, 2 approvals"
    )
    world.approved(CardRole.MODULE, SERIAL)
    outlook = Outlook.of(world.card, SERIAL)
    assert (outlook.step(since), outlook.is_approved) == (Step.APPROVED, True)
    assert "the same command goes on with it" in outlook.next_text(Step.APPROVED)
    world.clock.at = job.expires + 1
    assert Outlook.of(world.card, SERIAL).job is None


def test_another_modules_job_and_key_are_not_this_ones(world: World):
    world.approved(CardRole.MODULE, OTHER)
    assert Outlook.of(world.card, SERIAL) == Outlook(SERIAL, None, None, len(world.card.record.log))


@pytest.mark.parametrize(
    ("whats", "fingerprint", "reason"),
    [
        ([INTENT], None, ""),
        ([INTENT, Result(INTENT.job, b"", b"f" * 32)], b"f" * 32, ""),
        ([INTENT, Failure(INTENT.job, "the token is gone")], None, "the token is gone"),
        ([INTENT, Result(b"x" * 16, b"", b"f" * 32)], None, ""),
    ],
)
def test_the_last_thing_counts(whats, fingerprint, reason):
    made = last_made(log(*whats), SERIAL)
    assert made is not None
    assert (made.fingerprint, made.reason) == (fingerprint, reason)


def test_an_intent_after_a_result_has_no_certificate():
    """Power failed the second time: what was made the first time is not this one's."""
    again = Intent(b"k" * 16, "module", SERIAL, ("alice", "bob"), b"tbs")
    made = last_made(log(INTENT, Result(INTENT.job, b"", b"f" * 32), again), SERIAL)
    assert made is not None
    assert (made.number, made.fingerprint) == (2, None)
    assert made.text.endswith("the log has no signature: it was cut off")
    outlook = Outlook(SERIAL, None, made)
    assert (outlook.step(2), outlook.step(3)) == (Step.SIGNING, Step.NOTHING)


def test_every_step_is_put_in_words():
    outlook = Outlook(SERIAL, None, last_made(log(INTENT, Result(INTENT.job, b"", b"f" * 32)), SERIAL))
    texts = {step: outlook.next_text(step) for step in Step}
    assert len(set(texts.values())) == len(Step) - 1, "approving and approved read alike"
    assert "66666 6666" not in texts[Step.CERTIFIED]
    assert "6666 6666" in texts[Step.CERTIFIED]


def test_approvals_that_do_not_last_are_not_promised(world: World):
    """With a signing token they end with the program."""
    world.approved(CardRole.MODULE, SERIAL)
    outlook = replace(Outlook.of(world.card, SERIAL), lasts=False)
    assert "asks for both again" in outlook.next_text(Step.APPROVED)
    assert "goes on with it" in replace(outlook, lasts=True).next_text(Step.APPROVED)
