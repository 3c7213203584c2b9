"""What a personalization will do, said before anything is done: for people who approve it, and for programs.

Facts only, out of what card, documents and module say; nothing is decided or changed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.channel.trust.options import DESCRIPTIONS
from ..protocol.keys.certificates import VerifiedCertificate, fingerprint_text
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.messages import KeyPolicy, TrustOption
from .outlook import Outlook
from .telling import Facts


@dataclass(frozen=True, slots=True)
class Plan:
    """One personalization to come.

    Attributes:
        outlook: what the card says of the module.
        module: what the module says of itself, or why it was not asked; for people.
        link: the address; empty: none was named.
        option: how module and unit trust each other.
        policy: which key pair is admitted.
        days: validity of the certificate; that of the open job, if there is one.
        customer: certificate of the card's signing key.
        circular: that is certified by its own central system only (L6).
        central: the central system's certificate, which the module will pin.
        people: who may approve.

    """

    outlook: Outlook
    module: str
    link: str
    option: TrustOption
    policy: KeyPolicy
    days: int
    customer: VerifiedCertificate
    circular: bool
    central: VerifiedCertificate
    people: tuple[str, ...]

    @property
    def facts(self) -> Facts:
        """As a JSON object; its fields are documented in docs/personalizing.md."""
        job, made = self.outlook.job, self.outlook.made
        return {
            "note": "Plan",
            "party": "unit",
            "serial": self.outlook.serial,
            "module": self.module,
            "link": self.link,
            "trust": self.option.text,
            "leaves": DESCRIPTIONS[self.option].leaves,
            "key": "manufactured or new" if self.policy is KeyPolicy.MANUFACTURE_ADMITTED else "new",
            "salt": None if job is None else job.salt.hex(),
            "days": self.days,
            "customer": self.customer.subject,
            "customer_certificate": fingerprint_text(self.customer.fingerprint),
            "circular": self.circular,
            "central": self.central.subject,
            "central_certificate": fingerprint_text(self.central.fingerprint),
            "job": None if job is None else job.number.hex(),
            "approvals": [] if job is None else list(job.approvals),
            "expires": None if job is None else job.expires,
            "last_certificate": None
            if made is None or made.fingerprint is None
            else fingerprint_text(made.fingerprint),
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        job, made = self.outlook.job, self.outlook.made
        admits = ", or the one made at manufacture" if self.policy is KeyPolicy.MANUFACTURE_ADMITTED else ""
        worth = f" (circular: {PLAUSIBILITY})" if self.circular else ""
        salt = "the salt is the card's, with the job" if job is None else f"salt {job.salt.hex()}"
        by = f"by the card of {self.customer.subject}{worth}, {fingerprint_text(self.customer.fingerprint)}"
        return (
            f"module       {self.outlook.serial}, over {self.link or 'a link that was not named'}: {self.module}",
            f"trust        {self.option.text}",
            f"  leaves     {DESCRIPTIONS[self.option].leaves}",
            f"key          a new pair, made in the module{admits}; {salt}",
            f"certificate  for {self.days} days, {by}",
            f"host         {self.central.subject}, {fingerprint_text(self.central.fingerprint)}",
            f"approvals    {self.outlook.job_text}; {' and '.join(self.people)} may approve",
            f"log          {'the card has certified no key of this module yet' if made is None else made.text}",
        )
