"""A unit's book: in a sealed file, shared by programs, crash-consistent, and silent about what is in it."""

from __future__ import annotations

import os

import pytest
from world import DAY, NOW, SERIAL, World

from insitu.protocol.engine import StateError, UsageError
from insitu.protocol.keys.tans import TanAlphabet, TanForm, read_tan
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.messages.tans import MOST_TANS, Agreed, Tally, Tan, UnitRecord
from insitu.protocol.stores import tans
from insitu.protocol.stores.sealed import Cost, StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.book import Book

PASSPHRASE = Secret(b"of the book")


@pytest.fixture
def path(tmp_path):
    where = tmp_path / "book.insitu"
    SealedVault.create(where, StoreKind.UNIT, PASSPHRASE, entropy=os.urandom, cost=Cost(n=16)).close()
    return where


def test_what_one_program_issues_another_burns_and_nobody_can_undo(path):
    operator, server = Book.in_file(path, PASSPHRASE), Book.in_file(path, PASSPHRASE)
    far = 1 << 40
    operator.issue(SERIAL, TanForm(TanAlphabet.HEXADECIMAL, 32), not_after=far)
    value = operator.take_to_print(SERIAL)
    assert server.usable(SERIAL) == (Tan(SERIAL, "tan-1", far, identified=True, printed=True), value.encode())
    assert value.encode() not in path.read_bytes()
    server.begin_attempt(SERIAL, by_tan=True)
    for book in (operator, server):
        with pytest.raises(tans.TanGone):
            book.usable(SERIAL)
        with pytest.raises(tans.TanGone):
            book.begin_attempt(SERIAL, by_tan=True)
    assert operator.record() == UnitRecord((), (Tally(SERIAL, 1),), 1)
    server.forget_attempts(SERIAL)
    assert operator.record() == UnitRecord((), (), 1)


def test_a_tan_is_shown_once(world: World):
    book = world.book()
    book.issue(SERIAL, TanForm(), not_after=NOW + DAY)
    assert len(book.take_to_print(SERIAL)) == 16
    with pytest.raises(StateError, match="was printed"):
        book.take_to_print(SERIAL)
    assert repr(book.record()).count("tan-") == 1


def test_one_tan_at_a_time_and_no_term_that_is_over(world: World):
    book = world.book()
    with pytest.raises(UsageError, match="term"):
        book.issue(SERIAL, TanForm(), not_after=NOW)
    book.issue(SERIAL, TanForm(), not_after=NOW + DAY)
    with pytest.raises(StateError, match="there is a TAN"):
        book.issue(SERIAL, TanForm(), not_after=NOW + DAY)
    world.clock.at += 2 * DAY
    assert book.issue(SERIAL, TanForm(), not_after=NOW + 9 * DAY).label == "tan-2"
    assert world.vault("book").labels() == {"tan-2"}
    book.revoke(SERIAL)
    assert world.vault("book").labels() == frozenset()


def test_a_full_book_says_so():
    full = UnitRecord(tuple(Tan(f"SN-{n}", f"tan-{n}", NOW, identified=True, printed=False) for n in range(MOST_TANS)))
    with pytest.raises(StateError, match="too many TANs"):
        tans.issued(full, "SN-x", not_after=NOW + 1, at=NOW, identified=True)
    locked = UnitRecord(tallies=tuple(Tally(f"SN-{n}", 1) for n in range(MOST_TANS)))
    with pytest.raises(tans.Locked):
        tans.attempted(locked, "SN-x", NOW, by_tan=False)
    assert tans.wrong_attempts(tans.attempted(locked, "SN-7", NOW, by_tan=False), "SN-7") == 2


def test_the_same_envelope_is_read_at_the_module(world: World):
    world.issue_tan()
    assert world.book().usable(SERIAL)[1].decode() == read_tan(world.envelopes[SERIAL])


def test_a_session_that_did_not_know_its_module_before_gets_tan_or_secret_as_the_attempt_is_counted(path):
    operator, server = Book.in_file(path, PASSPHRASE), Book.in_file(path, PASSPHRASE)
    with pytest.raises(tans.SecretGone):
        server.attempt(SERIAL, by_tan=False)
    for secret in (b"first secret", b"second secret"):
        operator.agree(SERIAL, secret)
        operator.agree("SN-2", b"another module's")
    assert server.attempt(SERIAL, by_tan=False) == b"second secret"
    assert b"second secret" not in path.read_bytes()
    assert operator.record().tallies == (Tally(SERIAL, 1),)
    for _ in range(4):
        server.attempt(SERIAL, by_tan=False)
    with pytest.raises(tans.Locked):
        server.attempt(SERIAL, by_tan=False)
    server.forget_attempts(SERIAL)
    operator.issue(SERIAL, TanForm(), not_after=1 << 40)
    printed = operator.take_to_print(SERIAL)
    assert server.attempt(SERIAL, by_tan=True) == printed.encode()
    with pytest.raises(tans.TanGone):
        server.attempt(SERIAL, by_tan=True)
    assert server.attempt("SN-2", by_tan=False) == b"another module's", "a burnt TAN takes nothing else with it"


def test_a_tan_that_is_a_key_in_a_token_is_neither_given_nor_burnt(world: World):
    book = world.book()
    book.issue(SERIAL, None, not_after=NOW + DAY)
    with pytest.raises(tans.TanGone, match="key in a token"):
        book.attempt(SERIAL, by_tan=True)
    assert (len(book.record().tans), book.record().tallies) == (1, ())


def test_no_more_secrets_than_fit(world: World):
    full = UnitRecord(agreed=tuple(Agreed(f"SN-{n}", f"secret-{n}") for n in range(MOST_TANS)))
    with pytest.raises(StateError, match="too many secrets"):
        tans.agreed(full, "SN-x")
    assert len(tans.agreed(full, "SN-7")[0].agreed) == MOST_TANS
