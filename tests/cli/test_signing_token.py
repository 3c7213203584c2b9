"""A card whose signing key is in a token of its own, under a PIN that two people hold together (L13)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_processes import running
from commands import PINS, SERIAL, Estate, done, insitu, refused, unchanged, write_secret
from pkcs11 import Attribute, ObjectClass, exceptions
from soft_token import SoftTokens

from insitu.cli import people as cli_people
from insitu.protocol.keys import signing_token
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.token_access import TokenAccess, find_token
from insitu.protocol.messages import RECORD_LIMITS, CardRecord, decode_record
from insitu.protocol.parties import card_people
from insitu.protocol.parties.card_people import pin_verifier
from insitu.protocol.stores.card_log import Failure, Intent, PeopleChanged, Result
from insitu.protocol.stores.log_lines import import_lines
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.card import Card
from insitu.shell.peopled_card import tries_text
from insitu.shell.places import opener, read_place
from insitu.shell.token_library import LIBRARY_VARIABLE


@pytest.fixture
def tokens(soft_tokens: SoftTokens, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftTokens]:
    """The card's token and the one for its signing key, both empty and with the PIN of who set them up."""
    monkeypatch.setenv(LIBRARY_VARIABLE, soft_tokens.library)
    soft_tokens.clear()
    soft_tokens.unlock("signing")
    soft_tokens.clear("signing")
    yield soft_tokens
    soft_tokens.unlock("signing")


@pytest.fixture
def store(tokens: SoftTokens, tmp_path: Path) -> list[str]:
    """The card's token, as an option."""
    pin = write_secret(tmp_path / "token.pin", tokens.pin)
    return ["--store", f"pkcs11:token=insitu?pin-source=file:{pin}"]


def init(bank: Estate, store: list[str], tmp_path: Path, *more: str | Path) -> list[str | Path]:
    words: list[str | Path] = ["card", "init", *store, "--name", "Token Bank", *bank.people()]
    words += ["--signing", "pkcs11:token=signing", "--signing-pin-file", tmp_path / "token.pin"]
    return [*words, "--request", bank / "token-request.pem", *more]


def furnish(bank: Estate, store: list[str], tmp_path: Path) -> None:
    """In use, with the manufacturer's certificate."""
    done(*init(bank, store, tmp_path))
    certified(bank, store)


def certified(bank: Estate, store: list[str]) -> None:
    maker, request, customer = bank.unsealed("manufacturer"), bank / "token-request.pem", bank / "token-customer.pem"
    done("manufacturer", "sign-customer", *maker, "--request", request, "--out", customer)
    done("card", "install", *store, "--root", bank / "manufacturer.pem", "--customer", customer)


def approve(bank: Estate, store: list[str], *words: str | Path, people: list[str] | None = None) -> list[str | Path]:
    who = bank.people() if people is None else people
    return ["card", "approve", *store, *who, "--out", bank.directory, *words]


def record_of(store: list[str]) -> CardRecord:
    with opener(read_place(store[1]), StoreKind.CARD)() as vault:
        return decode_record(CardRecord, vault.record or b"", **RECORD_LIMITS)


def wrong_half(store: list[str], tmp_path: Path) -> Path:
    """A wrong PIN of bob's that software notices, which keeps so little of the right one that it does not always."""
    bob = record_of(store).people[1]
    pins = (f"{number:08}" for number in range(100))
    noticed = (pin for pin in pins if pin_verifier(pin.encode(), bob.salt)[:1] != bob.verifier)
    return write_secret(tmp_path / "wrong.pin", next(noticed))


def log_of(store: list[str], tmp_path: Path) -> list[object]:
    done("log", "export", *store, "--out", tmp_path / "log.jsonl")
    return [entry.what for entry in import_lines((tmp_path / "log.jsonl").read_bytes()).log]


def verified(bank: Estate, certificate: Path) -> bool:
    words = ["-x509_strict", "-CAfile", bank / "manufacturer.pem", "-untrusted", bank / "token-customer.pem"]
    ran = subprocess.run(["openssl", "verify", *words, certificate], capture_output=True, check=False, timeout=60)
    return ran.returncode == 0


# A whole life


def test_from_the_first_key_to_a_module_and_a_list(bank: Estate, store, tmp_path, tokens: SoftTokens) -> None:
    furnish(bank, store, tmp_path)
    done(*approve(bank, store, "--unit", "unit-9", "--central", bank / "central-request.pem"))
    assert verified(bank, bank / "unit.pem")
    assert verified(bank, bank / "central.pem")
    with running(*bank.run_module()) as module:
        link = str(module.note("Ready")["at"])
        words = ["unit", "personalize", "--card", store[1], "--link", link, "--serial", SERIAL]
        words += ["--central", str(bank / "central.pem"), "--out", str(bank / "module.pem"), "--json", *bank.people()]
        assert done(*words).json[-1]["ok"] is True
        module.end()
    assert verified(bank, bank / "module.pem")
    done("card", "crl", *store, *bank.people(), "--out", bank / "card.crl")
    log = log_of(store, tmp_path)
    assert [type(what) for what in log[:2]] == [Intent, Result]
    assert sum(isinstance(what, Result) for what in log) == 4
    assert done("log", "verify", *store, "--json").json[0]["entries"] == len(log)
    whole = PINS["alice"] + PINS["bob"]
    seen = tokens.run(
        *("pkcs11-tool", "--module", tokens.library, "--token-label", "signing", "--login", "--pin", whole),
        *("--list-objects", "--type", "privkey"),
    )
    assert seen.count("Private Key Object; EC") == 1
    access = next(line for line in seen.splitlines() if "Access:" in line)
    for word in ("sensitive", "always sensitive", "never extractable", "local", "always authenticate"):
        assert word in access


def test_neither_half_opens_the_token_nor_does_the_pin_of_before(bank, store, tmp_path, tokens: SoftTokens) -> None:
    furnish(bank, store, tmp_path)
    for pin in (PINS["alice"], PINS["bob"], PINS["bob"] + PINS["alice"], tokens.pin):
        words = ["pkcs11-tool", "--module", tokens.library, "--token-label", "signing", "--login", "--pin", pin]
        with pytest.raises(subprocess.CalledProcessError):
            tokens.run(*words, "--list-objects", "--type", "privkey")
    record = record_of(store)
    assert [len(person.verifier) for person in record.people] == [1, 1], "no more to try for who has the record"
    assert record.signing == "pkcs11:token=signing"


# Taking it into use


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--standing-most", "5"), 2, "none with --signing"),
        (("--person", "carol", "--pin-file", "carol=carol.pin"), 2, "expected two people"),
        (("--signing-pin-file", "carol.pin"), 2, "PIN refused"),
        (("--signing", "pkcs11:token=nowhere"), 4, "tokens that are what the URI says"),
        (("--signing", "file:x"), 2, "PKCS#11 URI"),
        (("--pin-file", "bob=short.pin"), 2, "at least 8 characters"),
    ],
)
def test_what_is_no_signing_token_leaves_nothing(bank, store, tmp_path, monkeypatch, more, code, says) -> None:
    write_secret(bank / "carol.pin", "61523874")
    write_secret(bank / "short.pin", "1234567")
    monkeypatch.chdir(bank.directory)
    refused(code, *init(bank, store, tmp_path, *more), says=(says,))
    refused(2, "card", "status", *store, says=("there is no store in the token",))
    furnish(bank, store, tmp_path)
    refused(2, *init(bank, store, tmp_path), says=("there is a store in the token already",))


def test_what_fails_gives_the_token_back(bank, store, tmp_path, tokens: SoftTokens) -> None:
    words = init(bank, store, tmp_path)
    words[words.index("--request") + 1] = tmp_path / "nowhere" / "request.pem"
    refused(4, *words)
    furnish(bank, store, tmp_path)


def test_a_card_in_a_file_has_a_token_for_its_signing_key(bank, tokens: SoftTokens, tmp_path) -> None:
    """The token that signs is all that two people must hold; the rest may lie in a sealed file."""
    write_secret(tmp_path / "token.pin", tokens.pin)
    write_secret(tmp_path / "file.pass", "opens the file")
    store = ["--store", str(tmp_path / "card.insitu"), "--passphrase-file", str(tmp_path / "file.pass")]
    furnish(bank, store, tmp_path)
    done(*approve(bank, store, "--unit", "unit-9"))
    assert verified(bank, bank / "unit.pem")


# What a token does not know


class Session:
    """A session with a token that makes of CKA_ALWAYS_AUTHENTICATE what `answers` says: an error, or nothing."""

    def __init__(self, real: Any, answers: Exception | None) -> None:
        self._real, self._answers = real, answers

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def create_domain_parameters(self, *words: object, **about: object) -> Session:
        return Session(self._real.create_domain_parameters(*words, **about), self._answers)

    def generate_keypair(self, **about: Any) -> object:
        asked = about["private_template"].pop(Attribute.ALWAYS_AUTHENTICATE, False)
        if asked and self._answers is not None:
            raise self._answers
        return self._real.generate_keypair(**about)


@pytest.mark.parametrize(
    "answers",
    [exceptions.TemplateInconsistent(), exceptions.AttributeTypeInvalid(), exceptions.AttributeValueInvalid(), None],
    ids=["not in a template", "no such attribute", "not this value", "takes it and does not do it"],
)
def test_a_token_that_does_not_ask_each_time_says_so(bank, store, tmp_path, tokens, monkeypatch, answers) -> None:
    """Software logs in for each signature then, and out again: the token never stays open, and everybody is told."""
    real = TokenAccess.calling

    @contextmanager
    def calling(access: TokenAccess) -> Iterator[Any]:
        with real(access) as session:
            yield Session(session, answers)

    with monkeypatch.context() as patch:
        patch.setattr(TokenAccess, "calling", calling)
        ran = done(*init(bank, store, tmp_path))
    assert "the token does not ask at each signature, so that software has to" in ran.out
    certified(bank, store)
    assert done("card", "status", *store, "--json").json[0]["signing"]["asks_each_time"] is False
    assert "the token does not ask at each signature" in done("card", "status", *store).out
    logins: list[object] = []
    opened = signing_token.SigningToken._open
    with monkeypatch.context() as patch:
        patch.setattr(signing_token.SigningToken, "_open", lambda it, pin: logins.append(it) or opened(it, pin))
        done(*approve(bank, store, "--unit", "unit-9"))
    assert verified(bank, bank / "unit.pem")
    assert len(logins) == 2, "one to check both halves, one for the signature"
    with find_token(tokens.library, read_uri("pkcs11:token=signing")).open() as session:
        keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    assert keys == [], "logged out: a private key is seen by its user only"
    whole = PINS["alice"] + PINS["bob"]
    words = ["pkcs11-tool", "--module", tokens.library, "--token-label", "signing", "--login", "--pin", whole]
    seen = tokens.run(*words, "--list-objects", "--type", "privkey")
    assert "sensitive" in seen
    assert "always authenticate" not in seen


def test_a_token_that_asks_each_time_says_so(bank, store, tmp_path) -> None:
    ran = done(*init(bank, store, tmp_path))
    assert "signing key in pkcs11:token=signing: the token itself asks for both halves at each signature" in ran.out
    signing = done("card", "status", *store, "--json").json[0]["signing"]
    assert signing == {"token": "pkcs11:token=signing", "asks_each_time": True}


# Both people, at once


def test_one_person_alone_approves_nothing(bank, store, tmp_path) -> None:
    furnish(bank, store, tmp_path)
    says = ("approvals of a signing token do not last", "both people")
    refused(5, *approve(bank, store, "--unit", "unit-9", people=bank.people("alice")), says=says)
    refused(5, *approve(bank, store, "--module", SERIAL), says=("insitu unit personalize --person",))
    refused(2, *approve(bank, store, "--unit", "unit-9", people=bank.people("alice", "alice")), says=("different",))
    serve = ["unit", "serve", "--card", store[1], "--listen", "tcp:127.0.0.1:0", "--central", bank / "central.pem"]
    done(*approve(bank, store, "--unit", "unit-9", "--central", bank / "central-request.pem"))
    refused(5, *serve, says=("both people at each signature", "insitu unit personalize --person"))
    standing = ["card", "standing", "approve", *store, "--serial", SERIAL, "--most", "1", "--until", "2099-01-01"]
    refused(5, *standing, *bank.people(), says=("no standing approvals with a signing token",))
    assert not record_of(store).jobs


def test_the_half_of_one_is_not_that_of_both(bank, store, tmp_path) -> None:
    furnish(bank, store, tmp_path)
    same = bank.people("alice", "bob", bob=bank / "alice.pin")
    ran = insitu(*approve(bank, store, "--unit", "unit-9", people=same))
    assert ran.code == 2, "as a half of bob's it is wrong, be it noticed here or by the token"
    assert not any(job.approvals == ("alice", "bob") for job in record_of(store).jobs)
    assert log_of(store, tmp_path) == []


def test_five_wrong_halves_lock_a_person_before_the_token_counts_any(bank, store, tmp_path) -> None:
    furnish(bank, store, tmp_path)
    wrong = bank.people("alice", "bob", bob=wrong_half(store, tmp_path))
    for left in (4, 3, 2, 1, 0):
        says = (f"wrong PIN of bob, {tries_text(left)}",)
        refused(2, *approve(bank, store, "--unit", "unit-9", people=wrong), says=says, shown=True)
    refused(5, *approve(bank, store, "--unit", "unit-9"), says=("bob is locked",))
    assert done("card", "status", *store, "--json").json[0]["state"] == "locked"


def test_who_is_locked_is_unlocked_by_the_token(bank, store, tmp_path) -> None:
    """Software counts with one byte of each half, and only the token knows: once it took both, nobody is locked."""
    furnish(bank, store, tmp_path)
    wrong = wrong_half(store, tmp_path)
    for _ in range(5):
        insitu(*approve(bank, store, "--unit", "unit-9", people=bank.people("alice", "bob", bob=wrong)))
    words = ["card", "people", "unlock", *store, "--name", "bob"]
    refused(5, *words, *bank.people("alice"), says=("alice and bob, who hold the signing token's PIN together",))
    refused(2, *words, *bank.people("alice", "bob", bob=wrong), says=("PIN refused",))
    assert done("card", "status", *store, "--json").json[0]["state"] == "locked"
    done(*words, *bank.people())
    assert done("card", "status", *store, "--json").json[0]["state"] == "ready"
    done(*approve(bank, store, "--unit", "unit-9"))
    unlocked = log_of(store, tmp_path)[0]
    assert isinstance(unlocked, PeopleChanged)
    assert (unlocked.change, unlocked.person, unlocked.approvers) == ("unlock", "bob", ("alice", "bob"))


def test_a_forgotten_half_takes_the_security_officer(bank, store, tmp_path, tokens: SoftTokens, monkeypatch) -> None:
    furnish(bank, store, tmp_path)
    officer, new = write_secret(tmp_path / "officer.pin", tokens.so_pin), write_secret(tmp_path / "new.pin", "24681357")
    words = ["card", "people", "new-pin", *store, "--name", "bob"]
    both = bank.people("alice", "bob", bob=new)
    refused(2, *words, *both, "--officer-pin-file", write_secret(tmp_path / "no.pin", "1234"), says=("PIN refused",))
    refused(5, *words, *bank.people("alice"), "--officer-pin-file", officer, says=("alice and bob",))
    short = bank.people("alice", "bob", bob=write_secret(tmp_path / "short.pin", "1234567"))
    refused(2, *words, *short, "--officer-pin-file", officer, says=("at least 8 characters",))
    done(*approve(bank, store, "--unit", "unit-9"))

    def cut(card: Card, event: object) -> list[object]:
        if type(event).__name__ == "HalvesTaken":
            raise KeyboardInterrupt
        return real(card, event)

    real = Card._submit
    with monkeypatch.context() as patch:
        patch.setattr(Card, "_submit", cut)
        assert insitu(*words, *both, "--officer-pin-file", officer).code == 130, "the token has them, the card not yet"
    ran = done(*words, *both, "--officer-pin-file", officer)
    assert "bob has a new half, as the token has it" in ran.out
    assert insitu(*approve(bank, store, "--unit", "unit-9")).code == 2, "with the old one"
    done(*approve(bank, store, "--unit", "unit-9", people=both))
    changes = [what for what in log_of(store, tmp_path) if isinstance(what, PeopleChanged)]
    assert [(what.change, what.person) for what in changes] == [("reset", "bob")]
    sealed = ["card", "people", "new-pin", *bank.unsealed("card"), "--name", "bob", *both]
    refused(5, *sealed, "--officer-pin-file", officer, says=("no signing token",))


def test_what_software_does_not_notice_the_token_does(bank, store, tmp_path, monkeypatch) -> None:
    furnish(bank, store, tmp_path)
    wrong = bank.people("alice", "bob", bob=write_secret(tmp_path / "wrong.pin", "00000000"))
    monkeypatch.setattr(card_people, "compare_digest", lambda *_: True)
    refused(2, *approve(bank, store, "--unit", "unit-9", people=wrong), says=("PIN refused",), shown=True)
    assert all(job.approvals == () for job in record_of(store).jobs)
    assert log_of(store, tmp_path) == [], "nothing was used up"
    done(*approve(bank, store, "--unit", "unit-9"))


# Between approval and signature


def test_the_token_is_taken_out_between_approval_and_signature(bank, store, tmp_path, monkeypatch) -> None:
    from insitu.protocol.keys import signing_token
    from insitu.protocol.keys.token_access import TokenAccess, TokenMissing

    furnish(bank, store, tmp_path)
    real, times = TokenAccess.open, []

    def taken_out(*words: object) -> TokenAccess:
        times.append(1)
        if len(times) == 2:  # the first one is the check of both halves
            raise TokenMissing("no such token, or it was taken out", who="token")
        return real(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(signing_token.TokenAccess, "open", taken_out)
        patch.setattr(signing_token, "TokenAccess", type("Here", (), {"open": staticmethod(taken_out)}))
        patch.setattr(TokenAccess, "open", real)
        refused(4, *approve(bank, store, "--unit", "unit-9"), says=("taken out",), shown=True)
    log = log_of(store, tmp_path)
    assert [type(what) for what in log] == [Intent, Failure]
    assert record_of(store).jobs == (), "and nobody can use the approvals again"


def test_a_process_that_ends_takes_its_approvals_with_it(bank, store, tmp_path, monkeypatch) -> None:
    """Between both approvals and the signature; whatever stands in the record, the next session does not count it."""

    furnish(bank, store, tmp_path)

    def gone(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Card, "certify", gone)
        ran = insitu(*approve(bank, store, "--unit", "unit-9"))
        assert ran.code == 130
    assert [job.approvals for job in record_of(store).jobs] == [("alice", "bob")]
    (job,) = done("card", "status", *store, "--json").json[0]["jobs"]
    assert job["approvals"] == []
    done(*approve(bank, store, "--unit", "unit-9"))


def test_a_job_that_changed_while_people_typed(bank, store, tmp_path, monkeypatch) -> None:
    furnish(bank, store, tmp_path)

    real = cli_people.passphrase

    def typed(*, file: Path | None = None, prompt: str = "", **_: object) -> Secret:
        if file is not None:
            return real(file=file)
        if "alice" in prompt:
            done(*approve(bank, store, "--unit", "unit-9", "--days", "7"))
        return Secret(PINS["alice" if "alice" in prompt else "bob"].encode())

    monkeypatch.setattr(cli_people, "passphrase", typed)
    words = ["card", "approve", *store, "--person", "alice", "--person", "bob", "--unit", "unit-9"]
    ran = insitu(*words, "--out", tmp_path)
    assert ran.code == 5
    assert "no such job is open" in ran.error
    assert not (tmp_path / "unit.pem").exists()


# Other PINs, other people


def test_both_set_a_new_half(bank, store, tmp_path) -> None:
    furnish(bank, store, tmp_path)
    new = write_secret(bank / "new.pin", "24681357")
    words = ["card", "change-pin", *store, "--person", "alice", "--pin-file", bank / "alice.pin"]
    words += ["--new-pin-file", new]
    refused(5, *words, says=("half of the signing token's",))
    both = ["--with", "bob", "--with-pin-file", bank / "bob.pin"]
    done(*words, *both)
    assert insitu(*approve(bank, store, "--unit", "unit-9")).code == 2, "with the old one"
    done(*approve(bank, store, "--unit", "unit-9", people=bank.people("alice", "bob", alice=new)))


def test_a_change_that_was_cut_off_between_both_tokens_is_made_again(bank, store, tmp_path, monkeypatch) -> None:
    from insitu.shell.peopled_card import PeopledCard

    furnish(bank, store, tmp_path)
    new = write_secret(bank / "new.pin", "24681357")
    words = ["card", "change-pin", *store, "--person", "alice", "--pin-file", bank / "alice.pin"]
    words += ["--new-pin-file", new, "--with", "bob", "--with-pin-file", bank / "bob.pin"]
    real = PeopledCard._submit

    def cut(card: PeopledCard, event: object) -> list[object]:
        if type(event).__name__ == "PeopleWanted":
            raise KeyboardInterrupt
        return real(card, event)

    with monkeypatch.context() as patch:
        patch.setattr(PeopledCard, "_submit", cut)
        assert insitu(*words).code == 130
    assert insitu(*approve(bank, store, "--unit", "unit-9")).code == 2, "the token has the new one, the card the old"
    done(*words)
    done(*approve(bank, store, "--unit", "unit-9", people=bank.people("alice", "bob", alice=new)))


def test_somebody_hands_over(bank, store, tmp_path) -> None:
    furnish(bank, store, tmp_path)
    write_secret(bank / "carol.pin", "61523874")
    carol = ["--pin-file", f"carol={bank / 'carol.pin'}"]
    done("card", "people", "replace", *store, "--name", "alice", "--by", "carol", *carol, *bank.people())
    assert insitu(*approve(bank, store, "--unit", "unit-9")).code == 5
    done(*approve(bank, store, "--unit", "unit-9", people=bank.people("bob", "carol")))
    for verb in ("add", "remove"):
        pins = ["--pin-file", f"dave={bank / 'carol.pin'}"] if verb == "add" else []
        name = "dave" if verb == "add" else "bob"
        words = ["card", "people", verb, *store, "--name", name, *pins, *bank.people("bob", "carol")]
        refused(5, *words, says=("exactly two people",))


def test_a_copy_of_the_record_signs_nothing(bank, tokens: SoftTokens, tmp_path) -> None:
    """The card's file with its approvals, and no people: the halves are nowhere."""
    from insitu.protocol.engine import InsituError
    from insitu.protocol.messages import CardRole

    write_secret(tmp_path / "token.pin", tokens.pin)
    password = write_secret(tmp_path / "file.pass", "opens the file")
    store = ["--store", str(tmp_path / "card.insitu"), "--passphrase-file", str(password)]
    furnish(bank, store, tmp_path)
    reopen = opener(tmp_path / "card.insitu", StoreKind.CARD, file=password)
    with reopen() as vault:
        owner = Card(vault)
        job = owner.propose(CardRole.UNIT, "unit-9", public=owner.authentication.public)
        for person, pin in PINS.items():
            owner.approve(job, person, pin.encode())
        (tmp_path / "copy.insitu").write_bytes((tmp_path / "card.insitu").read_bytes())
    with opener(tmp_path / "copy.insitu", StoreKind.CARD, file=password)() as vault:
        copy = Card(vault)
        with pytest.raises(InsituError):
            copy.certify(job.number, copy.authentication.public)
    with unchanged(bank):
        assert log_of(["--store", str(tmp_path / "copy.insitu"), *store[2:]], tmp_path) == []
