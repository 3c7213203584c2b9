"""A token of the tests' own: SoftHSM in a temporary directory.

SoftHSM reads its configuration when it is loaded, once for a process, so that all tests of a process share its tokens.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.stores.secret import Secret

RUNTIME_VARIABLE = "INSITU_RUNTIME_DIR"
PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
LABELS = ("insitu", "another", "signing")


@dataclass
class SoftTokens:
    """Three tokens, labelled as LABELS say.

    Attributes:
        directory: where they are.
        library: path of SoftHSM.
        pin: of their users.
        so_pin: of their security officers.

    """

    directory: Path
    library: str = field(default_factory=lambda: next(place for place in PLACES if Path(place).exists()))
    pin: str = field(default_factory=lambda: secrets.token_hex(8))
    so_pin: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def configuration(self) -> Path:
        return self.directory / "softhsm2.conf"

    def make(self) -> None:
        (self.directory / "tokens").mkdir()
        self.configuration.write_text(f"directories.tokendir = {self.directory}/tokens\nlog.level = ERROR\n")
        for label in LABELS:
            self.run(
                *("softhsm2-util", "--init-token", "--free", "--label", label),
                *("--pin", self.pin, "--so-pin", self.so_pin),
            )

    def clear(self, label: str = LABELS[0]) -> None:
        """Destroy all that is in the token."""
        from insitu.protocol.keys.token_access import TokenAccess  # not in every test's process

        uri, pin = read_uri(f"pkcs11:token={label}"), Secret(self.pin.encode())
        with TokenAccess.open(self.library, uri, pin) as access, access.calling() as session:
            for each in list(session.get_objects()):
                each.destroy()

    def unlock(self, label: str) -> None:
        """What its security officer can do: set the user's PIN, whatever it was."""
        import pkcs11

        token = next(
            token
            for slot in pkcs11.lib(self.library).get_slots(token_present=True)
            if (token := slot.get_token()).label == label
        )
        with token.open(rw=True, so_pin=self.so_pin) as session:
            session.init_pin(self.pin)

    def count(self, label: str = LABELS[0]) -> int:
        """How many objects are in the token, which this process has open; not what has not even a class.

        Such ones SoftHSM leaves when it is killed as it makes an object, and lists, and can do nothing with.
        """
        from pkcs11 import Attribute, ObjectClass

        from insitu.protocol.keys.token_access import find_token

        token = find_token(self.library, read_uri(f"pkcs11:token={label}"))
        with token.open() as session:  # the login of this process holds for this session, too
            kinds = (ObjectClass.DATA, ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY, ObjectClass.SECRET_KEY)
            return sum(len(list(session.get_objects({Attribute.CLASS: kind}))) for kind in kinds)

    def labels(self, label: str) -> set[str]:
        """The labels of the private and secret keys in the token."""
        from insitu.protocol.keys.token import TokenKeyStore
        from insitu.protocol.keys.token_access import TokenAccess

        uri, pin = read_uri(f"pkcs11:token={label}"), Secret(self.pin.encode())
        with TokenAccess.open(self.library, uri, pin) as access:
            return set(TokenKeyStore(access).labels())

    def run(self, *words: str) -> str:
        """What the program prints."""
        return subprocess.run(
            words,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "SOFTHSM2_CONF": str(self.configuration)},
        ).stdout


@contextmanager
def soft_tokens_in(directory: Path) -> Iterator[SoftTokens]:
    """The tokens of this process."""
    with pytest.MonkeyPatch.context() as patch:
        tokens = SoftTokens(directory)
        tokens.make()
        patch.setenv("SOFTHSM2_CONF", str(tokens.configuration))
        patch.setenv(RUNTIME_VARIABLE, str(directory / "locks"))
        yield tokens
