"""Whatever people propose, approve and have signed, in any order, with cuts between: what holds of lists (S5, S6)."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from lives import broken
from world import DAY, PINS, World

from insitu.protocol.engine import InsituError
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.messages import ListJob
from insitu.protocol.stores.card_log import ListIntent
from insitu.protocol.stores.log_lines import import_lines

WHAT = ("propose", "propose", "approve", "approve", "approve", "sign", "sign", "fail", "wait", "restart")
STEPS = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 3), st.sampled_from(sorted(PINS))),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=40)
def test_lists_never_go_back(steps: list[tuple[str, int, str]]):
    world = World()
    card = world.card
    numbers = [card.number_of(world.central_certificate), card.number_of(card.unit)]
    jobs: list[ListJob] = []
    signed: list[bytes] = []
    revoked: set[bytes] = set()
    for what, which, person in steps:
        with suppress(InsituError):
            match what:
                case "propose":
                    added = [number for place, number in enumerate(numbers) if which >> place & 1]
                    jobs.append(card.propose_list(added))
                case "approve" if jobs:
                    card.approve(jobs[which % len(jobs)], person, PINS[person])
                case "sign" if jobs:
                    signed.append(card.sign_list(jobs[which % len(jobs)].number))
                case "fail" if jobs:
                    with broken(world.vault("card"), "sign"):
                        card.sign_list(jobs[which % len(jobs)].number)
                case "wait":
                    world.clock.at += which * DAY // 2
                case "restart":
                    card = world.blank_card()
                case _:
                    pass
        assert revoked <= card.revoked.keys(), "nothing that was revoked comes back"
        revoked = set(card.revoked)
    lists = [read_crl(der, card.customer) for der in signed]
    intents = [entry.what for entry in import_lines(card.export_log()).log if isinstance(entry.what, ListIntent)]
    assert [intent.list_number for intent in intents] == list(range(1, len(intents) + 1))
    assert all(len(set(intent.approvers)) == 2 for intent in intents)
    assert [each.number for each in lists] == sorted({each.number for each in lists})
    for each in lists:
        until = {int.from_bytes(n, "big") for intent in intents[: each.number] for n in intent.added}
        assert each.revoked.keys() == until
        assert all(since <= each.this_update for since in each.revoked.values())
