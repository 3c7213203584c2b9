from __future__ import annotations

import pytest
from edhoc_pair import Setting, run

from insitu.protocol.channel.edhoc import SUITES, Established, Method
from insitu.protocol.engine import UsageError


@pytest.fixture(params=SUITES)
def pair(request):
    setting = Setting(Method.SIGNATURES, request.param)
    initiator, responder = setting.initiator(), setting.responder()
    run(initiator, responder)
    return initiator.data, responder.data


def test_exporter_separates_labels_contexts_and_lengths(pair):
    one, other = pair
    asked = [
        (0, b"", 16),
        (1, b"", 16),
        (23, b"", 16),
        (24, b"", 16),
        (0xFFFF, b"", 16),
        (0, b"x", 16),
        (0, b"", 32),
        (0, b"", 300),
    ]
    keys = [one.exporter(*each) for each in asked]
    assert keys == [other.exporter(*each) for each in asked]
    assert [len(key) for key in keys] == [length for _, _, length in asked]
    assert len({key[:16] for key in keys}) == len(asked)
    assert one.exporter(0, b"", 16) == keys[0], "the same again as often as wanted"


def test_exporter_bounds(pair):
    session = pair[0]
    longest = 255 * session.facts.suite.hash.size
    lengths = [1, 255, 256, 257, longest]
    assert [len(session.exporter(0, b"", length)) for length in lengths] == lengths
    for label, length in ((-1, 16), (0x10000, 16), (0, 0), (0, longest + 1), (0, -1)):
        with pytest.raises(UsageError, match="exporter"):
            session.exporter(label, b"", length)


def test_key_update_in_step(pair):
    one, other = pair
    seen = {one.exporter(0, b"", 32)}
    for number in range(1, 5):
        context = number.to_bytes(2, "big")
        one, other = one.key_update(context), other.key_update(context)
        assert one.updates == other.updates == number
        assert one.facts == other.facts or one.facts.side is not other.facts.side
        assert one.exporter(0, b"", 32) == other.exporter(0, b"", 32)
        seen.add(one.exporter(0, b"", 32))
    assert len(seen) == 5


def test_key_update_depends_on_the_context(pair):
    one, other = pair
    assert one.key_update(b"1").exporter(0, b"", 32) != other.key_update(b"2").exporter(0, b"", 32)


def test_old_keys_are_gone(pair):
    old, _ = pair
    assert isinstance(old, Established)
    new = old.key_update(b"")
    for use in (lambda: old.exporter(0, b"", 16), lambda: old.key_update(b"")):
        with pytest.raises(UsageError):
            use()
    assert old.keys._prk_out == old.keys._prk_exporter == b""
    assert new.exporter(0, b"", 16)
