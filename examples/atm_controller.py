r"""A small ATM controller: customers, a dispenser, a journal, and the security module behind `insitu.embed`.

    python atm_controller.py --store module.insitu --passphrase-file module.pass --central tcp:127.0.0.1:4712 \
        --journal atm.journal --notes 40

Customers and staff come as JSON on standard input, one object a line:

    {"withdraw": {"card": "4000001234567899", "account": "DE02120300000000202051", "amount": 5000}}
    {"reset": "yes"}        somebody opened the safe and confirmed it
    {"status": true}

What happens is one JSON object a line on standard output. The host's instructions: "reload N", "close", "open".
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import IO

from insitu import InsituError
from insitu.embed import Controller
from insitu.embed.xfs import completion, key_management_status
from insitu.transports.errors import TransportError

NOTE = 1000
"""The only notes that the cassette holds, in minor units."""


class Journal:
    """What the dispenser did, durable line by line: the one witness after a power cut.

    A real dispenser counts by itself what it moved; here the journal is its counter.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab+")
        self._file.seek(0)
        whole = self._file.read().rpartition(b"\n")
        self._file.truncate(len(whole[0]) + len(whole[1]))  # a line that a power cut left half written says nothing
        lines = [json.loads(line) for line in whole[0].splitlines()]
        self.paid = {int(line["number"]): int(line["paid"]) for line in lines}

    def write(self, number: int, paid: int) -> None:
        """These notes lie in the tray."""
        self.paid[number] = paid
        self._file.write(json.dumps({"number": number, "paid": paid}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


class Atm:
    """The machine around the module."""

    def __init__(self, module: Controller, journal: Journal, notes: int, dispense_seconds: float) -> None:
        self._module = module
        self._journal = journal
        self._notes = notes
        self._dispense_seconds = dispense_seconds
        self._saying = threading.Lock()
        self._works = threading.Lock()
        self._open = True

    def say(self, event: str, **facts: object) -> None:
        """One line of what happens; no card number is ever among it."""
        with self._saying:
            print(json.dumps({"event": event, **facts}), flush=True)

    def recover(self) -> None:
        """Tell the host about authorizations of before: what the journal knows was paid, nothing else was."""
        for left in self._module.status().unsettled:
            if left.instructed is not None:
                paid = self._journal.paid.get(left.number, 0)
                self._module.settle(left.number, paid)
                self.say("recovered", number=left.number, paid=paid)

    def withdraw(self, card: str, account: str, amount: int) -> None:
        """One customer."""
        if not self._open:
            self.say("closed")
            return
        answer = self._module.authorize(card, account, amount, "EUR", timeout=20)
        if not answer.approved:
            self.say("refused", number=answer.number)
            return
        self.say("pays", number=answer.number, amount=answer.amount)
        paid = self._dispense(answer.number, answer.amount)
        self._module.settle(answer.number, paid)
        self.say("paid", number=answer.number, paid=paid)

    def _dispense(self, number: int, amount: int) -> int:
        """Move notes until the amount is there or the cassette is empty; what lies in the tray."""
        with self._works:
            time.sleep(self._dispense_seconds)
            notes = min(amount // NOTE, self._notes)
            self._notes -= notes
            self._journal.write(number, notes * NOTE)
        if self._notes == 0:
            self._module.send(b"cassette empty")
        return notes * NOTE

    def instructed(self, number: int, content: bytes) -> None:
        """An instruction of the host. What is raised here comes again after the next start."""
        match content.decode(errors="replace").split():
            case ["reload", notes] if notes.isdecimal():
                with self._works:
                    self._notes += int(notes)
            case ["close"]:
                self._open = False
            case ["open"]:
                self._open = True
            case _:
                self._module.send(b"instruction not understood")
                self.say("not understood", number=number)
                return
        self._module.send(b"done: " + content)  # calls from here are fine: it is a thread of its own
        self.say("instructed", number=number, content=content.decode())

    def reset(self) -> None:
        """Erase the module's keys; it needs a personalization afterwards."""
        self.say("reset", epoch=self._module.reset_by_hand())

    def status(self) -> None:
        """How things stand, also as an XFS4IoT service would say it."""
        status = self._module.status()
        xfs = key_management_status(status)
        self.say(
            "status",
            state=status.state.name,
            online=status.online,
            notes=self._notes,
            encryptionState=xfs.encryption_state.value,
            certificateState=xfs.certificate_state.value,
        )

    def obey(self, line: str) -> None:
        """A line of input. Nothing of it is repeated where it is wrong: a card number may be in it."""
        try:
            match json.loads(line):
                case {"withdraw": {"card": str(card), "account": str(account), "amount": int(amount)}}:
                    self.withdraw(card, account, amount)
                case {"reset": "yes"}:
                    self.reset()
                case {"status": True}:
                    self.status()
                case _:
                    self.say("error", error="withdraw, reset or status expected")
        except (InsituError, TransportError) as error:
            ends = completion(error)
            code = ends.error_code or ends.completion_code
            self.say("error", error=str(error), xfs=code.value)
        except ValueError:
            self.say("error", error="JSON expected")


def run(atm: Atm, module: Controller) -> None:
    """Until standard input ends."""
    atm.recover()
    atm.say("ready")
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    was_online = None
    while True:
        if (online := module.status().online) != was_online:
            atm.say("online" if online else "offline")
            was_online = online
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            continue
        if not line:
            return
        atm.obey(line)


def main() -> int:
    """Run it; an exit code as the commands have them."""
    parser = argparse.ArgumentParser(description="A small ATM controller.")
    parser.add_argument("--store", type=Path, required=True, help="the module's sealed file")
    parser.add_argument("--passphrase-file", type=Path, required=True)
    parser.add_argument("--central", required=True, help="tcp:HOST:PORT of the bank's host")
    parser.add_argument("--link", help="where personalization units turn up")
    parser.add_argument("--journal", type=Path, required=True, help="what the dispenser did; made if it is not there")
    parser.add_argument("--notes", type=int, default=100, help="notes in the cassette")
    parser.add_argument("--dispense-seconds", type=float, default=0.0, help="how slow the dispenser is")
    options = parser.parse_args()
    module = Controller(
        options.store,
        passphrase_file=options.passphrase_file,
        central=options.central,
        link=options.link,
        on_instruction=lambda number, content: atm.instructed(number, content),
    )
    atm = Atm(module, Journal(options.journal), options.notes, options.dispense_seconds)
    try:
        with module:
            run(atm, module)
    except KeyboardInterrupt:
        return 130
    except (InsituError, TransportError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
