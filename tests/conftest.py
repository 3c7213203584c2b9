"""Fixtures for all tests, and the watch over the wire: whatever any test encodes or decodes is held against the CDDL.

Every message that leaves or enters through `encode_message` and `decode_message`, and every record and Intent, is
validated against specs/messages.cddl; a test in which one does not match fails at its end, whatever else it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cddl_validator import Cddl
from soft_token import SoftTokens, soft_tokens_in
from wire_watch import Watch
from world import World, cheap_exchanges, cheap_pins

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def cddl() -> Cddl:
    """The committed specification of all messages and records."""
    return Cddl((REPOSITORY / "specs" / "messages.cddl").read_text())


@pytest.fixture(scope="session", autouse=True)
def _watched_wire(cddl: Cddl) -> Iterator[Watch]:
    watch = Watch(cddl)
    with watch.installed():
        yield watch


@pytest.fixture(scope="session")
def soft_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftTokens]:
    """Tokens of this process, made when they are first asked for: SoftHSM has one place for them in its whole life."""
    with soft_tokens_in(tmp_path_factory.mktemp("tokens")) as tokens:
        yield tokens


@pytest.fixture(autouse=True)
def wire_watch(_watched_wire: Watch) -> Iterator[Watch]:
    """The watch over all messages of this test; `seen` counts them, `violations` names those that do not match."""
    _watched_wire.seen = 0
    _watched_wire.violations.clear()
    yield _watched_wire
    assert not _watched_wire.violations, "these do not match specs/messages.cddl"


@pytest.fixture(scope="session", autouse=True)
def _remembered_costs() -> Iterator[None]:
    """Worlds repeat, and with them what is expensive: the derivations of their PINs, and exchanges by secrets."""
    with cheap_pins(), cheap_exchanges():
        yield


@pytest.fixture
def world() -> World:
    """A manufacturer, a card, a unit, a central system and a delivered module; the same bytes in every run."""
    return World()
