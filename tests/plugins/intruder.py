"""An attacker's end of a channel: it speaks the protocol rightly or wrongly, as a test says.

It has the handshake and the records of the product, but no table: it sends what it likes and keeps what it gets.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from pump import Side
from world import NOW, Seeded

from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.records import Records
from insitu.protocol.channel.trust import Terms
from insitu.protocol.engine import InsituError, Send
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import Message, Purpose, decode_message, encode_message
from insitu.protocol.ports import operate


class Intruder:
    """One end, in the attacker's hands.

    Attributes:
        got: the messages that arrived, in order.
        frames: what waits to be carried to the victim.
        error: why nothing opens any more.

    """

    def __init__(self, terms: Terms, vault: Vault, purpose: Purpose | None = None, seed: str = "intruder") -> None:
        """`purpose`: as a module, wanting that; None: as a unit or central system that admits anything."""
        entropy = Seeded(seed)(64)
        if purpose is None:
            self._handshake = Handshake.respond(terms, frozenset(Purpose), entropy)
        else:
            self._handshake = Handshake.initiate(terms, purpose, entropy)
        self._vault = vault
        self._records: Records | None = None
        self.got: list[Message] = []
        self.frames: deque[bytes] = deque()
        self.error: InsituError | None = None
        self._take(self._handshake.start(NOW))

    @property
    def is_in(self) -> bool:
        """The channel stands on this end."""
        return self._records is not None

    def _take(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.frames.append(effect.message)  # type: ignore[arg-type]
            elif type(effect).__name__ in ("Sign", "Agree"):
                self._take(self._handshake.answer(operate(effect, self._vault), NOW))
        if self._handshake.opened is not None and self._records is None:
            self._records = Records(self._handshake.established, initiator=self._handshake.initiator)

    def receive(self, frame: bytes) -> None:
        """A frame of the victim's."""
        try:
            if self._records is None:
                self._take(self._handshake.receive(frame, NOW))
            elif (payload := self._records.open(frame)) is not None:
                self.got.append(decode_message(payload))
        except InsituError as error:
            self.error = error

    def say(self, message: Message) -> None:
        """Send a message over the open channel."""
        assert self._records is not None, "not in"
        self.frames += self._records.seal(encode_message(message))


class Trap:
    """A line between one honest side and an intruder; stands where a `Line` would."""

    def __init__(self, victim: Side, intruder: Intruder) -> None:
        self.victim = victim
        self.intruder = intruder
        self.sides = (victim,)
        victim.line = self  # type: ignore[assignment]
        victim.take(victim.session.start(victim.now()))
        self.flow()

    def carry(self, _: Side, frame: bytes) -> None:
        """The victim sends."""
        self.intruder.receive(frame)

    def flow(self) -> None:
        """Until neither has anything to say."""
        while self.intruder.frames or self.victim.obey():
            if self.intruder.frames:
                self.victim.receive(self.intruder.frames.popleft())

    def say(self, message: Message) -> None:
        """The intruder sends a message, and gets whatever follows from it."""
        self.intruder.say(message)
        self.flow()

    def finish(self) -> Trap:
        """Cut the line, and let the victim's call end."""
        self.victim.take(self.victim.session.lost("cut"))
        self.victim.finish()
        return self
