"""insitu fuzz module-under-test: a module on a link, of whatever make, held against what can be seen from outside."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import click
import trio

from ..fuzz import Device, Finding, Report, cast, drive, replay_on
from ..fuzz.courier import Courier, carry
from ..fuzz.device import by_a_stranger
from ..fuzz.scene import CopiedVault, scene
from ..protocol.engine import UsageError
from ..protocol.messages import TrustOption
from ..protocol.stores.sealed import StoreKind
from ..shell.book import Book
from ..shell.card import Card
from ..shell.keeping import wall_clock
from ..shell.local_link import AtMobile
from ..shell.passphrase import passphrase
from ..shell.places import Place
from ..shell.reaching import reach
from ..shell.trusting import Means
from ..transports.links import Address
from .common import (
    DIRECTORY,
    FILE_ONLY,
    OPTIONS,
    PATH,
    WAIT,
    Number,
    emit,
    open_book,
    open_store,
    parse_link,
    parse_local,
    run_async,
    say,
    store_options,
)
from .unit import shipped_key

BROKEN_DEVICE: Final = 3
"""Exit code: a fault of the other side was found."""


@dataclass(frozen=True)
class Course:
    """How a session goes under a trust option, as far as the harness is concerned.

    Attributes:
        since: messages that the unit says before it may say something wrong: a wrong proof of a secret is one of few
            attempts, and modules count them.
        reach: messages that it says in a good session, up to the certificates, which are nobody's.

    """

    since: int = 0
    reach: int = 1


COURSES: Final = {
    TrustOption.CERTIFICATES: Course(),
    TrustOption.CERTIFICATES_ONE_WAY: Course(),
    TrustOption.PHYSICAL: Course(),
    TrustOption.TICKET: Course(),
    TrustOption.SHIPPED_KEY: Course(reach=2),
    TrustOption.SECRET: Course(since=2, reach=3),
    TrustOption.TAN: Course(since=2, reach=3),
    TrustOption.CONVEYED: Course(reach=2),
}


@click.command("module-under-test")
@store_options("card")
@click.option("--link", required=True, help="Where the module is: serial:/dev/ttyUSB0, tcp:HOST:PORT and so on.")
@click.option(
    "--trust",
    type=click.Choice(sorted(option.text for option in COURSES)),
    default=TrustOption.CERTIFICATES.text,
    show_default=True,
    help="The trust option that the module expects.",
)
@click.option("--serial", required=True, help="The module's serial number.")
@click.option("--shipped-key-file", type=PATH, help="File of mode 0600 or 0400 with the key out of the documents.")
@click.option("--secret-file", type=PATH, help="The secret that the module was told: a file of mode 0600 or 0400.")
@click.option("--book", type=FILE_ONLY, help="The unit's book with the module's TAN, which is not used up.")
@click.option("--book-passphrase-file", type=PATH, help="File of mode 0600 or 0400 that unseals the book.")
@click.option("--no-identity", is_flag=True, help="The module has no identity to prove (--trust secret).")
@click.option("--mobile", help="The module's local link for mobiles (--trust conveyed), which is served from here.")
@click.option("--seconds", type=Number(0.1), help="How long; 60 without --runs.")
@click.option("--runs", type=click.IntRange(1), help="How many sessions.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same changes to messages.")
@click.option("--patience", type=Number(1), default=40.0, show_default=True, help="Seconds for one session.")
@click.option("--wait", type=WAIT, default=0.0, help="Seconds to go on trying for the module.")
@click.option(
    "--out",
    type=DIRECTORY,
    default=Path("fuzz-findings"),
    show_default=True,
    help="Directory for sessions that break it.",
)
@click.option("--replay", type=click.Path(path_type=Path, dir_okay=False), help="Hold only the session in this file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def module_under_test(
    card: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    link: str,
    trust: str,
    serial: str,
    shipped_key_file: Path | None,
    secret_file: Path | None,
    book: Path | None,
    book_passphrase_file: Path | None,
    no_identity: bool,
    mobile: str | None,
    seconds: float | None,
    runs: int | None,
    seed: int,
    patience: float,
    wait: float,
    out: Path,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Play the unit to a module on a link, of whatever make, and see what it does with messages that are wrong.

    The module is one that waits for its personalization; it is never personalized by this, the card signs nothing and
    is not changed. Where the option has few attempts at a secret, what is said wrongly comes after the right proof.
    Exit code 3: the module did something that it must not; 4: it is not there, or does not do a good session.
    """
    where, option = parse_link(link, trust), OPTIONS[trust]
    near = None if mobile is None else parse_local(mobile)
    if (near is None) == (option is TrustOption.CONVEYED):
        raise UsageError("a mobile's link", expected="--mobile with --trust conveyed", got=f"--trust {trust}")
    files = (shipped_key_file, secret_file, book, book_passphrase_file)
    given = _given(option, serial, *files, identified=not no_identity)
    session = None if replay is None else read_input(replay)

    def found(finding: Finding) -> None:
        path = finding.write(out)
        if not as_json:
            say(f"found: {finding.what}; it is in {path}")

    with open_store(card, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        secrets = tuple(each for each in (given.shipped_key, given.secret) if each)
        about: dict[str, Any] = {"now": wall_clock, "patience": patience, "secrets": secrets}
        found_any = False

        async def run() -> None:
            nonlocal found_any
            async with _Meetings(owner, serial, option, given, where, near, wait) as meetings:
                course = COURSES[option]
                named = ("module-under-test", meetings.connect, meetings.play, course.reach)
                device = Device(*named, since=course.since, **about)
                if session is not None:
                    outcome = await replay_on(device, session)
                    found_any = isinstance(outcome, Finding)
                    what = outcome.what if isinstance(outcome, Finding) else outcome
                    facts = {"target": device.name, "file": str(replay), "broken": found_any, "outcome": what}
                    emit(as_json, facts, f"{device.name}: {'broken: ' if found_any else ''}{what}")
                    return
                until = 60.0 if seconds is None and runs is None else seconds
                report = await drive(device, seconds=until, runs=runs, seed=seed, found=found)
                found_any = bool(report.findings)
                emit(as_json, report.facts(), _told(report))

        run_async(run)
    if found_any:
        raise click.exceptions.Exit(BROKEN_DEVICE)


class _Meetings(AsyncExitStack):
    """Sessions with the module, and with its mobile where there is one: a new puppet and new links each time."""

    def __init__(
        self,
        card: Card,
        serial: str,
        option: TrustOption,
        given: Means,
        where: Address,
        near: Address | None,
        wait: float,
    ) -> None:
        super().__init__()
        self._card = card
        self._unit = (scene().central, serial, option)
        self._given = given
        self._where = where
        self._near = near
        self._wait = wait
        self._courier = Courier()
        self._nursery: trio.Nursery | None = None
        self._mobile: trio.CancelScope | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._nursery = await self.enter_async_context(trio.open_nursery())
        self.callback(self._nursery.cancel_scope.cancel)
        return self

    def play(self) -> cast.Cast:
        """A unit for one session."""
        self._card.keys.roll_back()
        self._courier, means = Courier(lambda _: True), self._given
        if self._near is not None:
            means = Means(mobiles=self._courier.mobiles)
        _, serial, _ = self._unit
        about = {"wired": True, "certify": by_a_stranger(serial), "now": wall_clock}
        return cast.unit(self._card, *self._unit, means, **about)  # type: ignore[arg-type]

    async def connect(self) -> trio.abc.Stream:
        """The link for one session."""
        if self._near is not None and self._nursery is not None:
            if self._mobile is not None:
                self._mobile.cancel()
            near = (await reach(self._near, seconds=self._wait)).stream
            self._mobile = trio.CancelScope()
            self._nursery.start_soon(carry, AtMobile(near), self._courier, self._mobile)
        return (await reach(self._where, seconds=self._wait)).stream


def _given(
    option: TrustOption,
    serial: str,
    shipped_key_file: Path | None,
    secret_file: Path | None,
    book: Path | None,
    book_passphrase_file: Path | None,
    *,
    identified: bool,
) -> Means:
    """What people and documents contribute; attempts that a module admits are not counted on our side."""
    if option is TrustOption.TAN:
        if book is None:
            raise UsageError("trust option tan", who="unit", expected="--book", got="none")
        return Means(book=open_book(book, book_passphrase_file, None))
    if option is TrustOption.SECRET:
        told = passphrase(file=secret_file, prompt="Secret of the module: ")
        empty = Book(partial(CopiedVault, "book"), now=wall_clock)
        return Means(secret=told.reveal(), book=empty, identified=identified)
    return shipped_key(option, serial, shipped_key_file)


def _told(report: Report) -> str:
    found = "nothing found" if not report.findings else f"{len(report.findings)} found"
    return (
        f"{report.target}: {report.runs} sessions in {report.seconds:.1f} s, {len(report.outcomes)} outcomes, {found}"
    )


def read_input(file: Path) -> bytes:
    """An input in a file.

    Raises:
        UsageError: it cannot be read.

    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError("cannot be read", who=str(file), expected="an input", got=error.strerror) from error
