"""One run through all that can happen to the parties, recorded once for all tests of their tables."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import lives
import log_lives
import pytest
from recorder import Recorder

from insitu.protocol.engine import Table
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.card_enrolling import CARD_ENROLLING
from insitu.protocol.parties.card_syncing import CARD_SYNCING
from insitu.protocol.parties.central import CENTRAL
from insitu.protocol.parties.central_enrolling import CENTRAL_ENROLLING
from insitu.protocol.parties.central_syncing import CENTRAL_SYNCING
from insitu.protocol.parties.manufacturer import MANUFACTURER
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.unit import UNIT
from insitu.protocol.parties.work import WORK


@pytest.fixture(scope="session")
def recorded() -> dict[str, Recorder]:
    """What each party's table did, by the name of the table. Tests look at it and leave it as it is."""
    tables: tuple[Table[Any, Any], ...] = (
        MANUFACTURER,
        MODULE,
        WORK,
        UNIT,
        CARD,
        CENTRAL,
        CARD_ENROLLING,
        CENTRAL_ENROLLING,
        CARD_SYNCING,
        CENTRAL_SYNCING,
    )
    recorders = {table.name: Recorder(table) for table in tables}
    with ExitStack() as watched:
        for recorder in recorders.values():
            watched.enter_context(recorder.watching())
        lives.live()
        log_lives.live()
    return recorders
