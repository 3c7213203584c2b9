"""A token that fails at any one of the calls that are made to it: the error says how, and nothing is lost or half done.

The library is a real one, between python-pkcs11 and SoftHSM (faulty_token.py). Each step of a signature, of a commit,
of an opening and of a card's certificate fails in turn, with each of the answers that tokens give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import cycle

import pkcs11
import pytest
import trio
from faulty_token import Answer, FaultyLibrary, Untold, faulty_library_in
from world import SERIAL, World

from insitu.protocol.engine import InsituError, KeyKind
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.port import KeyMissing, KeyRefused, KeyStoreError
from insitu.protocol.keys.public import signature_holds
from insitu.protocol.keys.token import MechanismMissing, PinLocked, SessionLost, TokenKeyStore, TokenMissing
from insitu.protocol.keys.token_access import TokenAccess, TokenFull
from insitu.protocol.keys.token_vault import TokenVault, _Contents
from insitu.protocol.messages import CardRole
from insitu.protocol.messages.codec import encode
from insitu.protocol.parties.card_record import log_of
from insitu.protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from insitu.protocol.stores.card_log import Intent, Result
from insitu.protocol.stores.sealed import StoreDamaged, StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.aside import Aside

URI = read_uri("pkcs11:token=insitu")
MEANINGS: dict[Answer, type[InsituError]] = {
    Answer.DEVICE_REMOVED: TokenMissing,
    Answer.SESSION_HANDLE_INVALID: SessionLost,
    Answer.PIN_LOCKED: PinLocked,
    Answer.DEVICE_MEMORY: TokenFull,
    Answer.MECHANISM_INVALID: MechanismMissing,
    Answer.GENERAL_ERROR: KeyStoreError,
}
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""python-pkcs11 ends each search as it lets go of it, also one that did not begin, and prints that this failed."""

answers = pytest.mark.parametrize("answer", list(Answer), ids=lambda answer: answer.name)


@pytest.fixture(scope="module")
def library(soft_tokens, tmp_path_factory) -> Iterator[FaultyLibrary]:
    pkcs11.lib(soft_tokens.library)  # first: python-pkcs11 takes no library that is initialized already
    with faulty_library_in(tmp_path_factory.mktemp("faulty"), soft_tokens.library) as library:
        yield library


@pytest.fixture
def pin(soft_tokens) -> Secret:
    return Secret(soft_tokens.pin.encode())


@pytest.fixture
def faulty(library: FaultyLibrary, pin: Secret) -> Iterator[FaultyLibrary]:
    for at_the_end in (False, True):
        library.disarm()
        with TokenAccess.open(library.path, URI, pin) as access, access.calling() as session:
            for each in list(session.get_objects()):
                each.destroy()
        if not at_the_end:
            yield library


def counted(faulty: FaultyLibrary, work: Callable[[], object]) -> int:
    """How many calls it takes where nothing fails."""
    faulty.disarm()
    work()
    return faulty.counted


def is_what(failure: InsituError, answer: Answer) -> bool:
    """Whether the error is what this answer means. python-pkcs11 has one answer for all, where attributes are read."""
    return isinstance(failure, MEANINGS[answer]) or (type(failure), failure.got) == (KeyStoreError, "FunctionFailed")


steps = pytest.mark.parametrize("most", [16, pytest.param(1000, marks=pytest.mark.long)], ids=["some", "all"])


def chosen(calls: int, most: int) -> Iterator[tuple[int, Answer, bool]]:
    """Up to so many of these calls, from the first to the last: which, what it gets, whether the token does it."""
    kinds = cycle(Answer)
    for number, step in enumerate(range(1, calls + 1, 1 - (-calls // most))):
        yield step, next(kinds), bool(number % 4 > 1)


LASTING = (Answer.DEVICE_REMOVED, Answer.SESSION_HANDLE_INVALID, Answer.PIN_LOCKED)
"""After these, a token gives no other answer to what belongs together; the others concern one call."""


# Signatures


@answers
def test_a_signature_that_fails_says_why_and_the_next_one_is_made(faulty: FaultyLibrary, pin: Secret, answer: Answer):
    """At each call of a first signature: after a login, with the look for the key."""
    with TokenKeyStore.open(faulty.path, URI, pin) as store:
        key = store.generate("signing", KeyKind.P256, b"salt")

    def sign() -> bytes:
        with TokenKeyStore.open(faulty.path, URI, pin) as store:
            return store.sign(key, b"message")

    for step in range(1, counted(faulty, sign) + 1):
        for done in (False, True):
            faulty.arm(step, answer, done=done, lasting=answer in LASTING)
            failure: InsituError | None = None
            try:
                made = sign()
            except InsituError as error:
                failure = error
            assert faulty.has_failed
            if failure is None:  # where the session was closed, or a token was passed over that was not meant
                assert signature_holds(key.public, b"message", made)
            else:
                assert is_what(failure, answer), (step, failure)
    faulty.disarm()
    assert signature_holds(key.public, b"message", sign())


@answers
def test_a_store_that_stays_open_recovers_from_all_but_a_locked_pin(faulty: FaultyLibrary, pin: Secret, answer: Answer):
    with TokenKeyStore.open(faulty.path, URI, pin) as store:
        key = store.generate("signing", KeyKind.P256, b"salt")
        calls = counted(faulty, lambda: store.sign(key, b"message"))
        for step in range(1, calls + 1):
            faulty.arm(step, answer, lasting=answer in LASTING)
            failure: InsituError | None = None
            try:
                store.sign(key, b"message")
            except InsituError as error:
                failure = error
            faulty.disarm()
            assert failure is not None or step > 2, "but for what ends an operation that is done"
            assert failure is None or is_what(failure, answer)
            if answer is Answer.PIN_LOCKED:
                with pytest.raises(PinLocked):  # it is not tried again: each try may be one of the last
                    store.sign(key, b"message")
                assert faulty.counted == 0
                return
            assert signature_holds(key.public, b"message", store.sign(key, b"message"))


def test_a_token_that_was_taken_out_comes_back(faulty: FaultyLibrary, pin: Secret):
    with TokenKeyStore.open(faulty.path, URI, pin) as store:
        key = store.generate("signing", KeyKind.P256, b"salt")
        faulty.arm(1, Answer.DEVICE_REMOVED, lasting=True)
        for _ in range(3):
            with pytest.raises(TokenMissing):
                store.sign(key, b"message")
        faulty.disarm()
        assert signature_holds(key.public, b"message", store.sign(key, b"message"))


# Vaults


def record_of(number: int) -> bytes:
    return encode({1: number, 2: [bytes([each]) * 150 for each in range(number % 3)]})


class Life:
    """A vault that commits one record with one key after the other."""

    def __init__(self, faulty: FaultyLibrary, pin: Secret) -> None:
        self._open = partial(TokenVault.open, faulty.path, URI, StoreKind.MODULE, pin)
        self.number = 0
        TokenVault.create(faulty.path, URI, StoreKind.MODULE, pin).close()
        with self.opened() as vault:
            self.commit(vault)

    def opened(self) -> TokenVault:
        return self._open()

    def commit(self, vault: TokenVault) -> None:
        """A new key pair in the place of the one before."""
        label = f"pair {self.number + 1}"
        vault.generate(label, KeyKind.P256, b"salt")
        vault.commit(record_of(self.number + 1), frozenset({label}))
        self.number += 1

    def check(self, vault: TokenVault, *allowed: int) -> None:
        """The vault is as after one of these commits, with its key, which signs; from there it goes on."""
        found = [number for number in allowed if vault.record == record_of(number)]
        assert found, f"neither of {allowed}"
        self.number = found[0]
        assert vault.labels() == {f"pair {self.number}"}
        key = vault.find(f"pair {self.number}")
        assert key is not None
        assert signature_holds(key.public, b"message", vault.sign(key, b"message"))


@steps
def test_a_commit_that_fails_leaves_the_old_state_or_the_new(faulty: FaultyLibrary, pin: Secret, most: int):
    """At calls all over it; half of them the token does, and its answer is lost."""
    life = Life(faulty, pin)
    with life.opened() as vault:
        calls = counted(faulty, lambda: life.commit(vault))
    outcomes = set()
    for step, answer, done in chosen(calls, most):
        vault, before = life.opened(), life.number
        faulty.arm(step, answer, done=done, lasting=answer in LASTING)
        allowed: tuple[int, ...] = (before + 1,)
        try:
            life.commit(vault)
        except (StoreFailed, KeyStoreError, MechanismMissing, KeyMissing) as error:
            allowed = (before,)
            outcomes.add(type(error))
        except StoreUncertain as error:
            allowed = (before, before + 1)
            outcomes.add(type(error))
        except ErasureFailed as error:
            outcomes.add(type(error))
        finally:
            vault.close()
            faulty.disarm()
        with life.opened() as vault:
            life.check(vault, *allowed)
    assert ({StoreFailed, ErasureFailed} if most > calls else {ErasureFailed}) <= outcomes
    with life.opened() as vault:
        life.commit(vault)
        with vault._contents.access.calling() as session:
            there = len(list(session.get_objects()))
        assert there == 4 + life.number % 3, "root, seal, pair, parts of the record"


@steps
def test_an_opening_that_fails_says_why_and_the_next_one_succeeds(faulty: FaultyLibrary, pin: Secret, most: int):
    life = Life(faulty, pin)

    def open_and_close() -> None:
        life.opened().close()

    for step, answer, done in chosen(counted(faulty, open_and_close), most):
        faulty.arm(step, answer, done=done, lasting=answer in LASTING)
        failure: InsituError | None = None
        try:
            open_and_close()
        except InsituError as error:
            failure = error
        assert failure is None or isinstance(failure, ErasureFailed) or is_what(failure, answer), (step, failure)
        faulty.disarm()
        with life.opened() as vault:
            life.check(vault, life.number)


# A token that does not tell what it has


@steps
def test_what_a_token_does_not_tell_is_not_destroyed(faulty: FaultyLibrary, pin: Secret, most: int):
    """At calls all over an opening with two roots, of which the newer one counts, and over a commit."""
    life = Life(faulty, pin)

    def interrupted() -> TokenVault:
        """An older root is there still."""
        vault = life.opened()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_Contents, "destroy_data", lambda *_, **__: None)
            patch.setattr(_Contents, "keep_root", lambda *_: None, raising=False)
            life.commit(vault)
        vault.close()
        return vault

    def open_and_commit() -> None:
        with life.opened() as vault:
            life.check(vault, life.number)
            life.commit(vault)

    interrupted()
    calls = counted(faulty, open_and_commit)
    outcomes = set()
    for step, untold in zip(range(1, calls + 1, 1 - (-calls // most)), cycle(Untold), strict=False):
        interrupted()
        faulty.arm(step, untold)
        before, allowed = life.number, [life.number]
        try:
            open_and_commit()
        except StoreUncertain:
            allowed = [before, before + 1]
        except ErasureFailed as error:
            allowed = [before] if "leftovers" in str(error) else [before + 1]
            outcomes.add(type(error))
        except (KeyStoreError, KeyRefused, StoreFailed, StoreDamaged, KeyMissing) as error:
            outcomes.add(type(error))
        else:
            allowed = [before + 1]
        faulty.disarm()
        with life.opened() as vault:
            life.check(vault, *allowed)
    assert KeyStoreError in outcomes


# A card


@steps
def test_a_certificate_that_a_failing_token_made_or_not_is_in_the_log(
    world: World, faulty: FaultyLibrary, pin: Secret, most: int
):
    """S6: at calls all over a personalization's signature, with what is written before it and after it."""
    opened = partial(TokenVault.open, faulty.path, URI, StoreKind.CARD, pin)
    world.vaults["faulty"] = TokenVault.create(faulty.path, URI, StoreKind.CARD, pin)  # type: ignore[assignment]
    card = world.new_card("Faulty Bank", "faulty")
    public = world.module.keys.generate("made", KeyKind.P256, b"").public

    def certify() -> bytes:
        return card.certify(world.approved(CardRole.MODULE, SERIAL, card=card).number, public)

    world.approved(CardRole.MODULE, SERIAL, card=card)
    states = set()
    for step, answer, done in chosen(counted(faulty, certify), most // 2):
        world.approved(CardRole.MODULE, SERIAL, card=card)
        before = len(log_of(card.record))
        faulty.arm(step, answer, done=done, lasting=answer in LASTING)
        made = None
        with suppress(InsituError):
            made = certify()
        faulty.disarm()
        card.keys.close()
        world.vaults["faulty"] = opened()  # type: ignore[assignment]
        card = world.blank_card("faulty")
        new = [entry.what for entry in log_of(card.record)[before:]]
        intents = [what for what in new if isinstance(what, Intent)]
        results = [what for what in new if isinstance(what, Result)]
        assert len(results) <= len(intents) <= 1, "each certificate has its intent, and no approval counts twice"
        assert made is None or results
        states.add((len(intents), len(results)))
    assert certify()
    card.keys.close()
    assert {(1, 0), (1, 1)} <= states


# A token that takes its time


async def test_a_call_that_hangs_holds_up_nothing_else(faulty: FaultyLibrary, pin: Secret):
    """The event loop goes on; what waits for the token goes on when it answers."""
    store = await trio.to_thread.run_sync(TokenKeyStore.open, faulty.path, URI, pin)
    key = await trio.to_thread.run_sync(store.generate, "signing", KeyKind.P256, b"salt")
    signatures: list[bytes] = []

    async def sign() -> None:
        signatures.append(await Aside(store)(lambda: store.sign(key, b"message")))  # type: ignore[arg-type]

    faulty.hold(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sign)
        nursery.start_soon(sign)
        while not faulty.is_held:
            await trio.sleep(0.001)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        assert signatures == []
        faulty.release()
    assert [signature_holds(key.public, b"message", each) for each in signatures] == [True, True]
    await trio.to_thread.run_sync(store.close)
