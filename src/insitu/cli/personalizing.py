"""One personalization at the command line: ask the module, show the plan, have it approved, do it, read it back.

Which options there are stands in unit.py, what a person at a terminal sees and is asked in guide.py, what the card says
of a module in shell/outlook.py. The order here is what makes it safe to be interrupted: nothing is changed before the
plan was shown; from then on every step is durable by itself, and an attempt that breaks off says where things stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..protocol.channel.trust.options import DESCRIPTIONS
from ..protocol.engine import InsituError, ProtocolError, StateError
from ..protocol.keys.certificates import Role, fingerprint_text, verify_issued
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.messages import CardRole, KeyPolicy, Status, TrustOption
from ..protocol.parties.log_reading import made_in
from ..protocol.parties.unit import ModulePersonalized, ModuleReported
from ..shell import pem
from ..shell.approving import approved_text, described, enter_approvals
from ..shell.card import Card
from ..shell.card_status import room_facts, room_warning
from ..shell.outlook import Outlook, Step
from ..shell.plan import Plan
from ..shell.reaching import reach
from ..shell.serving import Serve, while_serving
from ..shell.telling import status_facts
from ..transports.errors import TransportError
from ..transports.tap import Tap
from .common import Teller, confirm, emit, is_ours, run_async, say
from .people import Approvers, ask_for_approvals, check_together

if TYPE_CHECKING:
    from ..shell.unit import Unit
    from ..transports.links import Address
    from .guide import Guide

READ_BACK_SECONDS: Final = 2.0
"""How long a module that has just been personalized is looked for once more."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is wanted.

    Attributes:
        serial: the module.
        option: how module and unit trust each other.
        where: the link; None: a plan is wanted without one.
        central: the central system's certificate, DER.
        declared_wired: the operator answers for it that the link is a cable.
        wait: seconds to go on trying for the module.
        policy: which key pair is admitted.
        days: validity of a certificate that people approve here.
        people, pin_files: who approves here.
        out: where to write the certificate.
        dry_run: no more than the plan.
        read_back: whether the module is met once more at the end; None: where somebody reads what it says.
        agreed: nobody is asked whether to go on.
        as_json: for programs.

    """

    serial: str
    option: TrustOption
    where: Address | None
    central: bytes = field(repr=False)
    declared_wired: bool = False
    wait: float = 0.0
    policy: KeyPolicy = KeyPolicy.NEW
    days: int = 365
    people: tuple[str, ...] = ()
    pin_files: tuple[str, ...] = ()
    out: Path | None = None
    dry_run: bool = False
    read_back: bool | None = None
    agreed: bool = False
    as_json: bool = False


class Personalizing:
    """One personalization.

    Args:
        card: of the unit.
        unit: with the card.
        errand: what is wanted.
        teller: gets notes of the session.
        guide: for the person at the terminal; None: there is none, and nobody is asked anything but PINs.
        ports: where mobiles call meanwhile.

    """

    def __init__(
        self,
        card: Card,
        unit: Unit,
        errand: Errand,
        *,
        teller: Teller,
        guide: Guide | None = None,
        ports: Sequence[Serve] = (),
    ) -> None:
        self._card = card
        self._unit = unit
        self._errand = errand
        self._teller = teller
        self._guide = guide
        self._ports = ports
        self._begun = False
        self._confirmed = False

    @property
    def _is_free(self) -> bool:
        """The module can be asked how things stand without using anything up."""
        return not DESCRIPTIONS[self._errand.option].uses_up

    def run(self) -> None:
        """All of it.

        Raises:
            StateError: not in this state, or not approved.
            InsituError, TransportError: it did not end in good order; what was done is noted on the error.
            KeyboardInterrupt: somebody ended it; likewise.

        """
        errand, card = self._errand, self._card
        with self._accounted():
            outlook = Outlook.of(card, errand.serial)
            said = "not asked before: that uses up " + DESCRIPTIONS[errand.option].uses_up
            if self._is_free:
                said = "not asked yet"
            if self._asks_first(outlook):
                self._step("The module")
                reported = self._look()
                if reported is not None:
                    if outlook.is_approved or not self._is_in_log(reported):
                        raise self._not_now(reported)
                    self._conclude_as_it_is(reported)
                    return
                said = "it waits to be personalized"
                self._line({"note": "ModuleAsked", "serial": errand.serial, "state": "waiting"}, said)
            if self._guide is not None or errand.dry_run or errand.people:
                self._show_plan(said)
            if errand.dry_run:
                return
            if self._guide is not None and self._guide.has_asked and not errand.agreed:
                confirm("   Go on?", who="unit")
            self._have_it_approved()
            outlook = Outlook.of(card, errand.serial)
            asks_instead = outlook.job is None and outlook.made is not None and not self._is_free
            if not asks_instead:
                self._check(outlook)
            if warning := room_warning(card.room):
                self._line({"note": "CardFillsUp", **room_facts(card.room)}, warning)
            self._step("Personalization")
            meet = self._inquire if asks_instead else self._meet
            run_async(partial(while_serving, self._ports, self._teller.mobiles, meet))

    # Before anything is done

    def _asks_first(self, outlook: Outlook) -> bool:
        if self._errand.where is None or not self._is_free:
            return False
        may_be_done = outlook.made is not None and outlook.made.fingerprint is not None and not outlook.is_approved
        return self._guide is not None or self._errand.dry_run or may_be_done

    def _look(self) -> ModuleReported | None:
        """How the module says that things stand; None: it waits. Nothing changes."""
        found: list[ModuleReported | None] = []

        async def look() -> None:
            wire, wired = await self._reach(self._errand.wait)
            found.append(await self._unit.look(wire, self._errand.serial, self._errand.option, wired=wired))

        run_async(look)
        return found[0]

    async def _reach(self, seconds: float) -> tuple[Tap, bool]:
        if self._errand.where is None:
            raise StateError("no link", who="unit", expected="--link", got="none")
        connection = await reach(self._errand.where, declared_wired=self._errand.declared_wired, seconds=seconds)
        return Tap(connection.stream), connection.attests_wired

    def _is_in_log(self, reported: ModuleReported) -> bool:
        return reported.status.fingerprint == self._card.certified(self._errand.serial)

    def _show_plan(self, module: str) -> None:
        errand, card = self._errand, self._card
        outlook = Outlook.of(card, errand.serial)
        plan = Plan(
            outlook,
            module,
            "" if errand.where is None else str(errand.where),
            errand.option,
            errand.policy,
            errand.days if outlook.job is None else outlook.job.days,
            card.customer,
            card.is_circular,
            verify_issued(errand.central, card.customer, Role.CENTRAL, now=None),
            tuple(person.name for person in card.record.people),
        )
        self._step("What will be done" if not errand.dry_run else "What would be done")
        if errand.as_json:
            emit(True, plan.facts, "")
        else:
            for line in plan.lines:
                self._say(line)

    def _have_it_approved(self) -> None:
        """By the people who were named or, at a terminal, by whoever is there: each sees exactly the job."""
        errand, card = self._errand, self._card
        is_approved = Outlook.of(card, errand.serial).is_approved
        if is_approved or not (errand.people or self._guide):
            return
        self._step("Two people approve exactly this job")
        if errand.people:
            check_together(card, errand.people)
        self._begun = True
        job = card.propose(CardRole.MODULE, errand.serial, days=errand.days)
        if not errand.as_json:
            for line in described(job).splitlines():
                self._say(line)
        if errand.people:
            approvals = enter_approvals(card, job, Approvers(errand.people, errand.pin_files).pins())
        else:
            approvals = ask_for_approvals(card, job, errand.pin_files, self._say)
        facts = {"note": "Approved", "job": job.number.hex(), "approvals": approvals, "missing": 2 - len(approvals)}
        self._line(facts, approved_text(approvals))

    def _check(self, outlook: Outlook) -> None:
        """That the job stands; who lacks one is told what the log has last, which may be why.

        Raises:
            StateError: it does not.

        """
        try:
            self._unit.check(outlook.serial)
        except StateError as error:
            if outlook.made is not None:
                error.add_note(outlook.made.text)
            raise

    # The sessions

    async def _meet(self) -> None:
        errand, card = self._errand, self._card
        wire, wired = await self._reach(errand.wait)
        self._begun = True
        result = await self._unit.personalize(wire, errand.serial, errand.option, wired=wired, policy=errand.policy)
        if not isinstance(result, ModulePersonalized):
            raise self._not_now(result)
        self._confirmed = True
        fingerprint = sha256(result.certificate).digest()
        text = f"module {errand.serial} is personalized: certificate {fingerprint_text(fingerprint)}"
        if card.is_circular:
            text += f"; our own certificate is circular: {PLAUSIBILITY}"
        status: Status | None = None
        try:
            if errand.out is not None:
                pem.write_certificate(errand.out, result.certificate)
            status = await self._read_back(fingerprint)
        finally:  # the module operates, whether its certificate could be written here or not
            emit(errand.as_json, self._result(fingerprint, status, wire), text)

    async def _inquire(self) -> None:
        """Without a job, under an option that uses something up with every session."""
        wire, wired = await self._reach(self._errand.wait)
        self._begun = True
        reported = await self._unit.inquire(wire, self._errand.serial, self._errand.option, wired=wired)
        if not self._is_in_log(reported):
            raise self._not_now(reported)
        self._conclude_as_it_is(reported, wire)

    async def _read_back(self, fingerprint: bytes) -> Status | None:
        """Have the module say once more how things stand; None: it was not met, and its confirmation counts.

        Raises:
            ProtocolError: it says something else than it confirmed.
            InsituError, TransportError: it was not met, and that was asked for.

        """
        errand = self._errand
        wanted = self._guide is not None if errand.read_back is None else errand.read_back
        if not wanted or not self._is_free:
            return None
        self._step("Read back")
        try:
            wire, wired = await self._reach(READ_BACK_SECONDS)
            reported = await self._unit.look(wire, errand.serial, errand.option, wired=wired)
        except (InsituError, TransportError) as error:
            if errand.read_back:
                raise
            self._say(f"it was not met once more, and its confirmation counts: {error}")
            return None
        if reported is None or reported.status.fingerprint != fingerprint:
            got = "a module that waits" if reported is None else self._report_text(reported)
            expected = f"operating, certificate {fingerprint_text(fingerprint)}"
            raise ProtocolError(f"read back from module {errand.serial}", who="unit", expected=expected, got=got)
        if not errand.as_json:
            self._say(f"it says: {self._report_text(reported)}; the card's log names the same certificate")
        return reported.status

    # How it ends

    def _conclude_as_it_is(self, reported: ModuleReported, wire: Tap | None = None) -> None:
        """It was personalized before, and only the last message was lost, or nobody knew."""
        serial, fingerprint = self._errand.serial, self._card.certified(self._errand.serial) or b""
        text = f"module {serial} operates with the certificate that the log names"
        self._confirmed = True
        try:
            if self._errand.out is not None:
                pem.write_certificate(self._errand.out, self._from_log(fingerprint))
        finally:
            emit(self._errand.as_json, self._result(fingerprint, reported.status, wire), text)

    def _from_log(self, fingerprint: bytes) -> bytes:
        """The certificate that left the card in an attempt before this one, DER."""
        made = made_in(self._card.log.log, self._card.customer)
        return next(each.der for each in made if each.fingerprint == fingerprint)

    def _result(self, certificate: bytes, status: Status | None, wire: Tap | None) -> dict[str, object]:
        told = None if status is None else status_facts(status)
        return {
            "note": "Result",
            "party": "unit",
            "ok": True,
            "serial": self._errand.serial,
            "certificate": fingerprint_text(certificate),
            "read_back": told,
            "sent": 0 if wire is None else wire.sent,
            "received": 0 if wire is None else wire.received,
            "circular": self._card.is_circular,
        }

    def _not_now(self, reported: ModuleReported) -> StateError:
        known = ", which the card's log names" if self._is_in_log(reported) else ", which is not the card's last for it"
        return StateError(
            f"module {reported.serial} is not to be personalized now",
            who="unit",
            expected="a delivered or reset module",
            got=f"{self._report_text(reported)}{known}",
        )

    @staticmethod
    def _report_text(reported: ModuleReported) -> str:
        facts = status_facts(reported.status)
        return f"{facts['state']}, epoch {facts['epoch']}, certificate {facts['certificate']}"

    @contextmanager
    def _accounted(self) -> Iterator[None]:
        """Whatever ends it early says where things stand, as the card has it, and what to do next."""
        since = Outlook.of(self._card, self._errand.serial).entries
        try:
            yield
        except BaseException as error:
            interrupted = isinstance(error, (KeyboardInterrupt, click.Abort))
            failed = is_ours(error) or isinstance(error, BaseExceptionGroup)
            if interrupted or (failed and self._begun):
                with suppress(InsituError):  # nobody reads it any more; what went wrong first is told
                    self._account(error, since)
            raise

    def _account(self, error: BaseException, since: int) -> None:
        try:
            outlook = Outlook.of(self._card, self._errand.serial)
            step = Step.PERSONALIZED if self._confirmed else outlook.step(since)
        except InsituError:
            outlook, step = Outlook(self._errand.serial, None, None), Step.UNKNOWN
        text = outlook.next_text(step)
        error.add_note(text)
        if self._errand.as_json:
            made = outlook.made if step in (Step.CERTIFIED, Step.PERSONALIZED) else None
            facts = {
                "note": "Unfinished",
                "party": "unit",
                "ok": False,
                "serial": self._errand.serial,
                "step": step.value,
                "job": None if outlook.job is None else outlook.job.number.hex(),
                "approvals": [] if outlook.job is None else list(outlook.job.approvals),
                "certificate": None if made is None or made.fingerprint is None else fingerprint_text(made.fingerprint),
                "next": text,
            }
            emit(True, facts, "")

    # Output

    def _step(self, title: str) -> None:
        if self._guide is not None:
            self._guide.step(title)

    def _say(self, text: str) -> None:
        if self._guide is not None:
            self._guide.line(text)
        elif not self._errand.as_json:
            say(text)

    def _line(self, facts: dict[str, object], text: str) -> None:
        if self._errand.as_json:
            emit(True, {"party": "unit", **facts}, "")
        else:
            self._say(text)
