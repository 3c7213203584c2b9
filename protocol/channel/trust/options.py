"""What each trust option needs, protects against and does not: said wherever somebody chooses one, and nowhere else.

Facts for people and for commands (`insitu trust`); what an option does is in the file of its own beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...engine import UsageError
from ...messages import TrustOption

ANY_LINK: Final = frozenset({"memory", "serial", "device", "bluetooth", "tcp", "tls"})
"""Kinds of link, as in transports/links.py."""
WIRED_LINK: Final = frozenset({"memory", "serial", "device"})
"""Kinds of link that may be a cable to this one machine; whether one is, its port attests or its operator declares."""


@dataclass(frozen=True, slots=True)
class Description:
    """A trust option in words.

    Attributes:
        links: the kinds of link that it may be used over.
        needs: what must be there beforehand.
        protects: against whom it does.
        leaves: against whom it does not.
        uses_up: what every session uses up or counts, also one in which a module is only asked how things stand; empty
            if nothing.

    """

    links: frozenset[str]
    needs: str
    protects: str
    leaves: str
    uses_up: str = ""


DESCRIPTIONS: Final[Mapping[TrustOption, Description]] = {
    TrustOption.PHYSICAL: Description(
        WIRED_LINK,
        needs="a wired local port that attests itself, or a cable that the operator answers for (`--declare-wired`); "
        "a person who compares the fingerprints on both sides and says yes before anything is signed",
        protects="listeners; somebody in the cable, as long as the person really compares",
        leaves="somebody in the cable, if the person says yes without looking; another module that claims the expected "
        "serial number; another customer of the same manufacturer, who personalizes the module for himself",
    ),
    TrustOption.CERTIFICATES: Description(
        ANY_LINK,
        needs="an identity made in the module and signed by its manufacturer; a customer's key signed by the same "
        "manufacturer; the expected serial number",
        protects="listeners and active attackers on the link; a swapped or stolen other module; a unit of nobody's",
        leaves="a manufacturer who signs wrong keys; a stolen card together with two PINs and its passphrase; a stolen "
        "module of exactly the expected serial number; another customer of the same manufacturer, who personalizes the "
        "module for himself",
    ),
    TrustOption.CERTIFICATES_ONE_WAY: Description(
        ANY_LINK,
        needs="the same",
        protects="the same, when the module checks what it is handed over",
        leaves="the same, with another customer of the same manufacturer; besides, anybody can open a channel to the "
        "module and learn its identity and a new public key",
    ),
    TrustOption.TICKET: Description(
        ANY_LINK,
        needs="an identity made in the module, for which its manufacturer used up a ticket of this customer's card; "
        "the expected serial number",
        protects="listeners and active attackers on the link; a swapped or stolen other module; a second module made "
        "with the same ticket",
        leaves="a manufacturer, or whoever has its unused tickets, who vouches for a wrong key first; a stolen module "
        "of exactly the expected serial number; another customer of the same manufacturer, who personalizes the module "
        "for himself; besides, anybody can open a channel to the module and learn a new public key",
        uses_up="the ticket, which is this module's from then on",
    ),
    TrustOption.SHIPPED_KEY: Description(
        ANY_LINK,
        needs="the random key that was printed for this one module when it was made; the expected serial number",
        protects="listeners and active attackers on the link who have not seen the documents; a swapped module",
        leaves="whoever reads or copies the documents, at the maker's, under way or at the bank: he can pose to either "
        "side",
    ),
    TrustOption.SECRET: Description(
        ANY_LINK,
        needs="a short secret that module and unit were both told; the expected serial number; a book at the unit that "
        "counts wrong attempts",
        protects="listeners and active attackers on the link, who get one guess a session, and five in a row at most",
        leaves="whoever learns the secret: he can pose to either side for as long as it is used; somebody who locks "
        "the module's secret by guessing wrong from two places, or the unit's if the module has no identity",
        uses_up="an attempt, which counts until it was right",
    ),
    TrustOption.TAN: Description(
        ANY_LINK,
        needs="a one-off number that the unit issued for exactly this module, in a sealed envelope, and a person who "
        "keys it in at the module; or in an operator's token, plugged in there; the expected serial number",
        protects="listeners and active attackers on the link, who get one guess a TAN; use of a TAN again, for another "
        "module, or after its term",
        leaves="whoever reads the envelope before its TAN is used; somebody who burns the TANs of a module that has no "
        "identity",
        uses_up="a TAN",
    ),
    TrustOption.CONVEYED: Description(
        ANY_LINK,
        needs="a mobile with a local link to the module that nobody else is on, and a long-distance link to the unit "
        "on which it proves itself; the unit knows which mobiles it believes; the expected serial number",
        protects="listeners and active attackers on the link between module and unit; whoever learns the number",
        leaves="somebody in the local link of the mobile; a stolen mobile, or its key; a person who brings it to "
        "another module; where the network only reports a caller number, whoever can forge one",
        uses_up="an errand of the mobile",
    ),
}


def check_link(option: TrustOption, kind: str, *, got: str = "") -> None:
    """Make sure that the option may be used over a link of this kind.

    Raises:
        UsageError: not over this one (A1).

    """
    allowed = DESCRIPTIONS[option].links
    if kind not in allowed:
        only = "a wired local link" if allowed == WIRED_LINK else "certain links"
        kinds = " or ".join(sorted(allowed - {"memory"}))
        raise UsageError(f"trust option {option.text} is for {only} only", expected=f"--link {kinds}", got=got or kind)
