"""What a party must not do is seen by its target: faults planted in the product are found by a handful of inputs."""

from __future__ import annotations

import pytest
import trio

from insitu.fuzz import TARGETS, fuzz
from insitu.fuzz.scene import SHIPPED_KEY
from insitu.protocol.engine import InsituError, StateError, UsageError
from insitu.shell.module import Module
from insitu.shell.unit import Unit

whole_session = Module._session


async def _leaves_something(self, *arguments) -> None:
    try:
        await whole_session(self, *arguments)
    except InsituError:
        self._keeping.commit(self.record.written(epoch=self.record.epoch + 1))
        raise


async def _tells_a_secret(self, *arguments) -> None:
    try:
        await whole_session(self, *arguments)
    except InsituError as error:
        raise StateError("refused", who="module", got=SHIPPED_KEY.hex()) from error


async def _never_ends(self, *arguments) -> None:
    try:
        await whole_session(self, *arguments)
    except InsituError:
        await trio.sleep_forever()


async def _fails(self, *arguments) -> None:
    try:
        await whole_session(self, *arguments)
    except InsituError as error:
        raise KeyError("state") from error


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        (_leaves_something, "a refused session left something"),
        (_tells_a_secret, "shipped key shows"),
        (_never_ends, "the party does not end"),
        (_fails, "KeyError: 'state'"),
    ],
)
def test_a_fault_of_a_module_is_found(monkeypatch, planted, what):
    target = TARGETS["module-by-certificates"]
    seeds = target.seeds()
    monkeypatch.setattr("insitu.fuzz.targets.parties.ENDS_AFTER", 0.5)
    monkeypatch.setattr(Module, "_session", planted)
    report = fuzz(target, runs=8, corpus=seeds[1:], seed=1)
    assert what in [finding.what for finding in report.findings]


def test_a_unit_that_blames_its_own_side_is_found(monkeypatch):
    target = TARGETS["unit-by-certificates"]
    seeds = target.seeds()
    personalize = Unit.personalize

    async def blaming(self, stream, **about):
        try:
            return await personalize(self, stream, **about)
        except InsituError as error:
            raise UsageError(error.summary) from error

    monkeypatch.setattr(Unit, "personalize", blaming)
    report = fuzz(target, runs=8, corpus=seeds, seed=1)
    assert report.findings[0].what.startswith("a peer's fault is told as another's")
