from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from insitu.protocol import progress
from insitu.protocol.messages import Intent, Purpose, TrustOption
from insitu.protocol.progress import (
    KeysAwaited,
    KeysRefused,
    MessageReceived,
    MessageSent,
    MobileAwaited,
    MobileHeard,
    PeerProved,
    PeopleAwaited,
    Secured,
    SessionEnded,
    StateEntered,
)

NOTES = (
    StateEntered("module", "SECURED", "ChannelOpened"),
    Secured("module", "unit 1", Intent(purpose=Purpose.STATUS, option=TrustOption.PHYSICAL), 3, 3),
    PeerProved("unit", "SN-1", TrustOption.SHIPPED_KEY),
    MobileAwaited("unit", "SN-1", 240.0),
    PeopleAwaited("unit", "SN-1", 900.0),
    KeysAwaited("module", "unit 1", 60.0),
    KeysRefused("module", "code: check symbol", 2),
    MobileHeard("unit", "SN-1", "caller +4930123456", agrees=True),
    MessageSent("module", "ModuleKey", 123),
    MessageReceived("unit", "ModuleKey", 123),
    SessionEnded("module", ""),
)


def test_every_note_is_tried_here():
    kinds = {each for each in vars(progress).values() if is_dataclass(each) and each.__module__ == progress.__name__}
    assert kinds == {type(note) for note in NOTES}


@pytest.mark.parametrize("note", NOTES, ids=lambda note: type(note).__name__)
def test_notes_are_values_that_name_their_party_first(note):
    assert fields(note)[0].name == "party"
    assert hash(note) == hash(type(note)(*(getattr(note, field.name) for field in fields(note))))
    with pytest.raises(FrozenInstanceError):
        note.party = "somebody else"
