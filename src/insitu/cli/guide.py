"""What a technician at a terminal sees and is asked while a module is personalized: steps, questions, progress.

Words only; what is done, and in which order, stands in personalizing.py. Without a terminal nothing of this is used.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..protocol.engine import UsageError
from ..protocol.keys.profile import checked_name
from ..protocol.parties.unit import KeyPresented, UnitState
from ..protocol.progress import StateEntered
from ..shell.telling import facts_of, key_fingerprint, line_of
from .common import Teller, is_ours, say

if TYPE_CHECKING:
    from ..transports.links import Address

S: Final = UnitState
PHRASES: Final = {
    S.AWAITING_KEY: "the module is there and makes its key pair",
    S.COMPARING: "its key is here: compare it with what the module shows",
    S.CERTIFYING: "its key is here, and the card certifies it",
    S.AWAITING_CONFIRMATION: "the certificates are on their way; the module checks and keeps them",
    S.PERSONALIZED: "the module has confirmed, with its new key, what it keeps",
    S.AWAITING_STATUS: "the module operates, and says how things stand",
}
"""What a state means to somebody who waits; of others nothing is said."""
TOLD: Final = frozenset({"Secured", "PeerProved", "MobileAwaited", "MobileHeard", "ModuleTurnedAway"})
"""Notes that are shown in their own words."""


def somebody_is_there() -> bool:
    """Whether a person can be asked and reads the answer: standard input and output are terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class Guide(Teller):
    """The steps of one personalization, for the person at this terminal.

    Attributes:
        has_asked: something was left out of the options, and asked for; who said everything has decided.

    """

    def __init__(self) -> None:
        super().__init__(as_json=False)
        self._steps = 0
        self.has_asked = False

    def step(self, title: str) -> None:
        """The next part begins."""
        self._steps += 1
        say(f"{self._steps}. {title}")

    def line(self, text: str) -> None:
        """Something about this part; what is longer than the terminal is wide goes on below."""
        width = shutil.get_terminal_size().columns
        wrapped = textwrap.wrap(f"   {text}", width, subsequent_indent=" " * 16, break_on_hyphens=False)
        say("\n".join(wrapped))

    def show(self, note: object) -> None:
        """Progress of the session."""
        if isinstance(note, StateEntered):
            phrase = PHRASES.get(S[note.state]) if note.party == "unit" else None
            if phrase is not None:
                self.line(phrase)
            return
        if isinstance(note, KeyPresented):
            self.line(f"key {key_fingerprint(note.public)}")
            return
        facts = facts_of(note)
        if facts is not None and facts["note"] in TOLD:
            self.line(line_of(facts).partition(" ")[2].lstrip())

    def _ask(self, title: str) -> None:
        self.has_asked = True
        self.step(title)

    def choose_link(self, parse: Callable[[str], Address]) -> Address:
        """Which of the serial ports that are there, or another link."""
        from ..transports.errors import Unsupported
        from ..transports.ports import serial_ports

        self._ask("Which port is the module's?")
        try:
            found = serial_ports()
        except Unsupported as error:
            self.line(str(error))
            found = []
        for number, port in enumerate(found, 1):
            wired = "wired" if port.attests_wired else "not attested as wired"
            self.line("  ".join(part for part in (str(number), port.address, port.description, wired) if part))
        if not found:
            self.line("no serial port is there")
        only = "1" if len(found) == 1 else None
        while True:
            answer = str(click.prompt("   Number of a port, or a link's address", default=only)).strip()
            chosen = answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(found)
            try:
                return parse(found[int(answer) - 1].address if chosen else answer)
            except Exception as error:
                if not is_ours(error):
                    raise
                self.line(str(error))

    def ask_serial(self) -> str:
        """Which module it is: from its plate or the order, never from the link (A1, A2)."""
        self._ask("Which module is it?")
        while True:
            answer = str(click.prompt("   Serial number, as on its plate or in the order")).strip()
            try:
                return checked_name(answer)
            except UsageError as error:
                self.line(str(error))

    def ask_central(self) -> Path:
        """Which host it is for."""
        self._ask("Which host is it for?")
        default = "central.pem" if Path("central.pem").is_file() else None
        return Path(str(click.prompt("   File with the central system's certificate", default=default)))
