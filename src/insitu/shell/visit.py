"""A module's visit to a unit in the network: which job is for it, who has to agree to it, what card and book are asked.

How a job comes to the consent of two people, the first that applies: they approved one for this serial number
beforehand; a standing approval covers it; the job list has the module, and they are asked once its key is known. Who is
not on the list, where there is one, gets none of it. The card judges all of that again before it signs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ..protocol.channel.trust import SECRET, AttemptAdmitted, AttemptBarred, AttemptBegun, AttemptRight, TicketClaim
from ..protocol.channel.trust.attempts import AttemptsForgotten
from ..protocol.channel.trust.certificates import own_unit
from ..protocol.channel.trust.ticket import TicketAccepted, TicketRefused
from ..protocol.driver import Order, Orders
from ..protocol.engine import EnvironmentFault, Fault, InsituError, LookUp, StateError, given
from ..protocol.keys.certificates import VerifiedCertificate
from ..protocol.keys.revocation import check_unrevoked
from ..protocol.keys.vault import Vault
from ..protocol.messages import CardRole, Job, KeyPolicy, TrustOption
from ..protocol.parties.unit import (
    ApprovalNeeded,
    CardRefused,
    CertificateNeeded,
    JobApproved,
    JobDropped,
    JobQueued,
    ModuleCertified,
    UnitData,
)
from ..protocol.stores.tans import Locked, SecretGone, TanGone
from .attempts import LinkLimit, LinkPaused
from .book import Book
from .card import Card
from .card_desk import CardBusy, CardDesk, CardLocked
from .job_list import JobList

APPROVAL_SECONDS: Final = 900
"""How long a module waits for people, unless said otherwise."""
DRAFT_SECONDS: Final = 300
"""How long a job that nobody is asked about may take from its draft to its signature."""

_FAULTS: Final = {CardBusy: Fault.BUSY, CardLocked: Fault.LOCKED}
"""What the module is told of these."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a unit in the network goes by.

    Attributes:
        central: the central system's certificate, DER.
        jobs: the job list; None: everybody's job may be approved beforehand, and nobody is asked later.
        days: validity of certificates that people are asked for.
        seconds: how long they have.
        allowed: raises an InsituError where this unit must not have anything certified now.

    """

    central: bytes
    jobs: JobList | None = None
    days: int = 365
    seconds: int = APPROVAL_SECONDS
    allowed: Callable[[], None] = lambda: None


class Queue:
    """The sessions that wait until people have approved their jobs, by number of the job."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Visit] = {}

    def __len__(self) -> int:
        """How many."""
        return len(self._waiting)

    def enter(self, visit: Visit) -> None:
        """A job is open at the card; from any thread."""
        self._waiting[given(visit.job).number] = visit

    def leave(self, visit: Visit) -> None:
        """The session is over, or goes on."""
        if visit.job is not None:
            self._waiting.pop(visit.job.number, None)

    def look(self, desk: CardDesk) -> None:
        """Tell the sessions what has become of their jobs, as the card and the job list were last seen."""
        jobs = {job.number: job for job in desk.record.jobs}
        for number, visit in tuple(self._waiting.items()):
            event = visit.heard_of(jobs.get(number))
            if event is not None:
                self.leave(visit)
                visit.orders.put(Order(event))


class Visit:
    """One session.

    Args:
        card: for its number and salt of jobs; nothing is written through it.
        desk: the same card, for questions.
        rules: what the unit goes by.
        queue: where this session waits for people.
        book: for attempts by secret and TAN; None: there are none.
        keys: of this session alone.
        limit: of wrong attempts for each link.
        origin: where the module is (`Link.origin`); empty: that limits nothing.

    Attributes:
        orders: for the driver.
        job: for the module that is there; None: none.
        shown: the certificates that the module has shown by now.

    """

    def __init__(
        self,
        card: Card,
        desk: CardDesk,
        rules: Rules,
        queue: Queue,
        book: Book | None,
        keys: Vault,
        limit: LinkLimit,
        origin: str,
    ) -> None:
        self._card = card
        self._desk = desk
        self._rules = rules
        self._queue = queue
        self._book = book
        self._keys = keys
        self._limit = limit
        self._origin = origin
        self._serial = ""
        self._standing: bytes | None = None
        self._queued = False
        self.orders = Orders()
        self.job: Job | None = None
        self.shown: Callable[[], tuple[VerifiedCertificate, ...]] = tuple

    def data(self, serial: str) -> UnitData:
        """What the unit knows of the module `serial`, which is pinned from now on.

        Raises:
            JobListDamaged: nobody can tell who is on the list.

        """
        self._serial = serial
        self.job = self._job_for(serial)
        number, salt = (None, bytes(32)) if self.job is None else (self.job.number, self.job.salt)
        customer, central = self._card.customer.der, self._rules.central
        return UnitData(number, serial, salt, KeyPolicy.NEW, customer, central, queued=self._queued)

    def _job_for(self, serial: str) -> Job | None:
        now, jobs = self._card.now, self._rules.jobs
        if not serial or (jobs is not None and not jobs.admits(serial)):
            return None
        for job in self._desk.record.jobs:
            is_its = job.role is CardRole.MODULE and job.subject == serial and job.public_key is None
            if is_its and len(job.approvals) == 2 and now <= job.expires:
                return job
        for standing in self._desk.standing:
            if standing.covers(serial, now):
                self._standing = standing.begun.job
                return self._card.draft(serial, days=standing.begun.days, seconds=DRAFT_SECONDS)
        self._queued = jobs is not None
        return self._card.draft(serial, days=self._rules.days, seconds=self._rules.seconds) if self._queued else None

    # What others are asked

    def look_up(self, question: LookUp) -> object:
        """Answer a question of the session; may take seconds."""
        match question.argument:
            case CertificateNeeded() as needed:
                return self._asked(partial(self._certify, needed))
            case ApprovalNeeded() as asked:
                return self._asked(partial(self._propose, asked))
            case TicketClaim() as claim:
                return self._take_ticket(claim)
            case AttemptBegun() as begun:
                return self._begin_attempt(given(self._book), begun)
            case AttemptRight() as right:
                self._limit.right(self._origin)
                given(self._book).forget_attempts(right.serial)
                return AttemptsForgotten()
        return CardRefused("not a question for a unit")

    def _asked(self, question: Callable[[Card], object]) -> object:
        try:
            self._rules.allowed()
            answer = self._desk.ask(question)
        except InsituError as error:
            return CardRefused(str(error), _FAULTS.get(type(error), Fault.UNAVAILABLE))
        if isinstance(answer, JobQueued):  # only now: whoever looks has seen the card with it
            self._queue.enter(self)
        return answer

    def _certify(self, needed: CertificateNeeded, card: Card) -> ModuleCertified:
        """Have it certified, if unit, customer and module were not revoked meanwhile, and the job not withdrawn."""
        card.check_counts(own_unit(card.unit, card.customer))
        for certificate in (card.customer, *self.shown()):
            check_unrevoked(certificate, card.heard)
        self._check_listed()
        if self._standing is None:
            return ModuleCertified(card.certify(needed.job, needed.public))
        return ModuleCertified(card.certify_by_standing(self._standing, given(self.job), needed.public))

    def _propose(self, needed: ApprovalNeeded, card: Card) -> JobQueued:
        if card.is_locked:
            raise CardLocked(
                "the card is locked", who="card", expected="two people with PINs", got="too many wrong PINs"
            )
        card.propose_key(given(self.job), needed.public)
        return JobQueued(self._rules.seconds)

    def _check_listed(self) -> None:
        if self._rules.jobs is not None and not self._rules.jobs.admits(self._serial):
            raise StateError(f"{self._serial} is not on the job list", who="unit", expected="insitu unit allow")

    def _take_ticket(self, claim: TicketClaim) -> object:
        """Anybody may say that he is this module: the card is troubled for those only that have a job."""
        if self.job is None:
            reason = f"{claim.serial} waits for its personalization, which nobody approved"
            return TicketRefused(reason, Fault.UNAVAILABLE)
        try:
            self._desk.ask(lambda card: card.take_ticket(claim))
        except InsituError as error:
            return TicketRefused(str(error), _FAULTS.get(type(error), Fault.UNTRUSTED))
        return TicketAccepted()

    def _begin_attempt(self, book: Book, begun: AttemptBegun) -> AttemptAdmitted | AttemptBarred:
        """What is answered is durable; where it could not be written, that goes up, and nothing is said."""
        try:
            self._limit.begin(self._origin)
            value = book.attempt(begun.serial, by_tan=begun.option is TrustOption.TAN)
        except (LinkPaused, Locked, SecretGone, TanGone) as error:
            return AttemptBarred(str(error))
        return AttemptAdmitted(self._keys.storage.share_password(SECRET, value))

    # What people have done meanwhile

    def heard_of(self, job: Job | None) -> JobApproved | JobDropped | None:
        """What the session is to be told of its job, as the card has it now; None: nothing new."""
        if job is None:
            return JobDropped(f"the job for {self._serial} is open no more: it came again, or the time is over")
        try:
            self._check_listed()
        except (StateError, EnvironmentFault) as error:
            return JobDropped(str(error))
        return JobApproved() if len(set(job.approvals)) == 2 else None
