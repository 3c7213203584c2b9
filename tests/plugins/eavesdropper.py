"""Somebody who hears all that leaves the memory of the parties of a `World`, and knows every secret there is (S9)."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pump import Line
from world import CARD_NUMBER, PINS, Seeded, World

from insitu.protocol.channel import records


def forms(secret: bytes) -> Iterable[bytes]:
    """How a secret may show: as it is, in hexadecimal, in base64, as an escaped literal, as a number."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")
    yield repr(secret)[2:-1].encode()
    yield str(int.from_bytes(secret, "big")).encode()


class Eavesdropper:
    """Collects everything that leaves the parties' memory, and all secrets there are."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.secrets: dict[str, bytes] = {}

    def hear(self, thing: object) -> None:
        """Something that is shown, sent, stored in the open, or logged."""
        self.heard.append(thing if isinstance(thing, bytes) else f"{thing!r}\n{thing!s}".encode())

    def learn(self, world: World) -> None:
        """The secrets that exist at this moment."""
        for name, private in world.private_keys().items():
            self.secrets[name] = private

    def follow(self, world: World, line: Line) -> None:
        """Hear and learn at each effect of a line."""
        for side in line.sides:

            def before(effect: object, side: Any = side) -> None:
                self.learn(world)
                self.hear(effect)
                self.hear(side.session)
                self.hear(side.session.data)
                self.hear({name: getattr(side.session, name) for name in type(side.session).__slots__})
                self.hear(side.session._handshake)
                if side.session._handshake.opened is not None:
                    self.hear(side.session._handshake.opened)
                    self.hear(side.session._records)

            side.before = before

    def after(self, world: World, line: Line) -> None:
        """What crossed the line, what was written, what went wrong."""
        for _, frame in line.crossed:
            self.hear(frame)
        for vault in world.vaults.values():
            self.hear(vault)
            self.hear(vault.record or b"")
        self.hear(world.card.export_log())
        for side in line.sides:
            if side.error is not None:
                self.hear(side.error)
                self.hear("".join(traceback.format_exception(side.error)))
        for note in world.shown:
            self.hear(note)

    def found(self) -> list[str]:
        """The names of the secrets that could be heard."""
        everything = b"\n".join(self.heard)
        return [name for name, secret in self.secrets.items() if any(form in everything for form in forms(secret))]


@contextmanager
def eavesdropping(world: World) -> Iterator[Eavesdropper]:
    """Knows the PINs and the card number, the entropy of every handshake, and every key of a record layer."""
    listening = Eavesdropper()
    for name, pin in PINS.items():
        listening.secrets[f"PIN of {name}"] = pin
    listening.secrets["card number"] = CARD_NUMBER.encode()
    listening.learn(world)
    real = records.AESGCM

    def aead(key: bytes) -> Any:
        listening.secrets[f"record key {len(listening.secrets)}"] = key
        return real(key)

    draw = Seeded.__call__

    def drawing(source: Seeded, size: int) -> bytes:
        drawn = draw(source, size)
        if size == 64:  # of a key pair or a handshake; shorter ones are salts and numbers, which are public
            listening.secrets[f"entropy {len(listening.secrets)}"] = drawn
        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "AESGCM", aead)
        patch.setattr(Seeded, "__call__", drawing)
        yield listening
