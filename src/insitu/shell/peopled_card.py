"""The people of a card: their approvals, their PINs, and how it becomes others who may approve (L13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from ..protocol.engine import InsituError, StateError, UsageError
from ..protocol.keys.profile import checked_name
from ..protocol.messages import PeopleChange, PeopleJob
from ..protocol.parties.card_data import (
    MAX_FAILURES,
    AnyJob,
    Approve,
    JobNoted,
    PinRefused,
)
from ..protocol.parties.card_people import can_approve, change_job
from ..protocol.parties.card_people_data import (
    ApprovalsOutlived,
    ApprovalWithdrawn,
    HalvesTaken,
    PeopleAre,
    PeopleProposed,
    PeopleWanted,
    PinChanged,
)
from ..protocol.parties.card_record import digest_of, job_of
from ..protocol.stores.card_log import PeopleChanged
from ..protocol.stores.secret import Secret
from .kept_card import KeptCard

APPROVAL_SECONDS: Final = 24 * 3600
"""How long a job stays open for approvals and signature, unless said otherwise."""


class PeopledCard(KeptCard):
    """A card with people who approve; made as `Card`."""

    @property
    def is_locked(self) -> bool:
        """So many people are locked that nothing can be approved any more."""
        return can_approve(self._installed().people) < 2

    # Approvals

    def approve(self, job: AnyJob, person: str, pin: bytes) -> int:
        """Enter the approval of `person`; how many are still missing.

        Args:
            job: exactly what the person was shown.
            person: who.
            pin: that person's.

        Raises:
            UsageError: the PIN is wrong.
            StateError: the person is unknown, locked, or approved before; or the job is open no more, or says
                something else than was shown.

        """
        self._refuse_approval(job, person)
        for note in self._submit(Approve(job.number, digest_of(job), person, pin, self._now())):
            if isinstance(note, PinRefused):
                _wrong(note)
            if isinstance(note, JobNoted):
                self._hold(note, person, pin)
                return note.missing
        raise StateError("no approval", who="card")

    def as_it_is(self, shown: AnyJob) -> AnyJob:
        """The job that people were shown, with the approvals that it has by now.

        Raises:
            StateError: it is open no more, or says something else than was shown.

        """
        job = job_of(self._installed(), shown.number)
        if job is None or self._now() > job.expires:
            raise StateError("no such job is open", who="card", got=shown.number.hex())
        if digest_of(job) != digest_of(shown):
            raise StateError(
                "the job is another one than was shown",
                who="card",
                expected=digest_of(shown).hex(),
                got=digest_of(job).hex(),
            )
        return job

    def _hold(self, noted: JobNoted, person: str, pin: bytes) -> None:
        """With a token that signs, the PIN is half of the token's, which says itself whether both are right."""
        if self.split is None:
            return
        self.split.hold(person, Secret(pin))
        if noted.missing or isinstance(noted.job, PeopleJob):  # a change of the PIN itself asks the token as it is made
            return
        try:
            self.split.check()
        except InsituError:
            self._submit(ApprovalsOutlived())
            raise

    def _refuse_approval(self, shown: AnyJob, person: str) -> None:
        """Say what the card would refuse an approval for, in words that a person can use."""
        self.check_person(person)
        job = self.as_it_is(shown)
        if len(job.approvals) == 2 or person in job.approvals:
            raise StateError(
                f"no approval of {person} is missing", who="card", got=f"approved by {' and '.join(job.approvals)}"
            )

    def check_person(self, person: str) -> None:
        """Make sure that `person` can approve here.

        Raises:
            StateError: the name is unknown, or locked by wrong PINs.

        """
        known = {each.name: each for each in self._installed().people}
        if person not in known:
            raise StateError("nobody of that name approves here", who="card", expected=" or ".join(known), got=person)
        if known[person].failures >= MAX_FAILURES:
            raise StateError(f"{person} is locked", who="card", got=f"{MAX_FAILURES} wrong PINs")

    def withdraw_approval(self, number: bytes, person: str) -> int:
        """Let the approval of `person` count no more, as long as it was not used; how many are missing now.

        Raises:
            StateError: there is none.

        """
        job = job_of(self._installed(), number)
        if job is None or person not in job.approvals:
            given = " and ".join(job.approvals) if job is not None else ""
            raise StateError("no approval to withdraw", who="card", expected=given or "a job that waits", got=person)
        if self.split is not None:
            self.split.forget()
        notes = self._submit(ApprovalWithdrawn(number, person))
        return next(note.missing for note in notes if isinstance(note, JobNoted))

    # PINs

    def change_pin(self, person: str, pin: bytes, new: bytes) -> None:
        """Let another PIN count for `person`, who knows the one that counts.

        Raises:
            UsageError: that one is wrong, or the new one too short.
            StateError: the person is unknown or locked.

        """
        self.check_person(person)
        if self.split is not None:
            expected = "both people, who set the token's PIN anew: --with"
            raise StateError("the PIN is half of the signing token's", who="card", expected=expected, got="one person")
        for note in self._submit(PinChanged(person, pin, self._with_pin(person, new))):
            if isinstance(note, PinRefused):
                _wrong(note)

    def take_halves(self, person: str, pins: Mapping[str, bytes], officer: Secret | None = None) -> PeopleChanged:
        """Unlock `person`, since the signing token takes both halves of its PIN; as the log has it.

        Software counts wrong halves so that the token need not. Whether two are right, only the token knows, and it
        counts. With its security officer, both halves are set, whatever they were. Cut off, it is done again.

        Args:
            person: who was locked, or has forgotten a half.
            pins: of both people.
            officer: the PIN of the token's security officer; None: the halves are the token's already.

        Raises:
            StateError: no such card, or not both people.
            UsageError: the token refuses them or the officer's PIN, or a half is too short.
            KeyStoreError: the token is not there, or fails.

        """
        held = self._installed().people
        if self.split is None:
            expected = "insitu card people unlock or new-pin, with two others"
            raise StateError("this card has no signing token", who="card", expected=expected)
        names = [each.name for each in held]
        if sorted(pins) != sorted(names):
            expected = f"{' and '.join(names)}, who hold the signing token's PIN together"
            raise StateError(
                "people of a signing token", who="card", expected=expected, got=" and ".join(pins) or "none"
            )
        if person not in names:
            raise StateError("nobody of that name approves here", who="card", expected=" or ".join(names), got=person)
        people = tuple(self._with_pin(name, pins[name]) for name in names)
        try:
            for name in names:
                self.split.hold(name, Secret(pins[name]))
            if officer is None:
                self.split.check()
            else:
                self.split.set_by_officer(officer)
        finally:
            self.split.forget()
        event = HalvesTaken(self._entropy(16), person, people, officer is not None, self._now())
        return next(note.changed for note in self._submit(event) if isinstance(note, PeopleAre))

    # Who may approve

    def propose_change(
        self,
        change: PeopleChange,
        person: str,
        *,
        comes: str | None = None,
        pin: bytes | None = None,
        seconds: int = APPROVAL_SECONDS,
    ) -> PeopleJob:
        """Open a job for a change of the people; where nobody gets a PIN by it, the one that is open for exactly this.

        Args:
            change: what becomes of whom.
            person: who comes (ADD), or is concerned.
            comes: who takes that person's place (REPLACE).
            pin: of whom comes or gets a new one.
            seconds: how long approvals count.

        Raises:
            StateError: that cannot be: too few would be left, say.
            UsageError: a name that cannot be, or a PIN that is too short.

        """
        now, record = self._now(), self._installed()
        for job in record.changes:
            if pin is None and (job.change, job.person) == (change, person) and now <= job.expires:
                return job
        name = checked_name(person if comes is None else comes)
        new = None if pin is None else self._with_pin(name, pin)
        job = PeopleJob(self._entropy(16), change, person, now + seconds, approvals=(), new=new)
        self._submit(PeopleProposed(job, now))
        return job

    def change(self, number: bytes) -> PeopleJob:
        """The open change of this number.

        Raises:
            StateError: there is none, or its time is over.

        """
        job = change_job(self._installed(), number)
        if job is None or self._now() > job.expires:
            expected = "one that insitu card people list shows"
            raise StateError("no such change is open", who="card", expected=expected, got=number.hex())
        return job

    def change_people(self, number: bytes, pin: bytes | None = None) -> PeopleChanged:
        """Let an approved change count from now on; as the log has it.

        With a token that signs, its PIN is set anew first; an attempt that is cut off is made again as it was.

        Args:
            number: of the job.
            pin: of whom gets one, where half of a token's PIN is to be set.

        Raises:
            StateError: not approved by two people, out of date, or it cannot be any more.
            UsageError: the token refuses the PIN.

        """
        job = self.change(number)
        if self.split is not None and len(set(job.approvals)) == 2:
            if pin is None:
                raise StateError("half of the token's PIN", who="card", expected=f"that of {job.comes}", got="none")
            try:
                self.split.change(job.person, job.comes, Secret(pin))
            except InsituError:
                self._submit(ApprovalsOutlived())  # the token knows better than we who has approved
                raise
        notes = self._submit(PeopleWanted(number, self._now()))
        return next(note.changed for note in notes if isinstance(note, PeopleAre))


def tries_text(left: int) -> str:
    """How many tries are left, for people."""
    return "1 try left" if left == 1 else f"{left} tries left"


def _wrong(note: PinRefused) -> NoReturn:
    raise UsageError(f"wrong PIN of {note.person}, {tries_text(note.left)}", who="card")
