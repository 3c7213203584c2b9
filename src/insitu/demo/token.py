"""A demonstration whose card is in a token: SoftHSM in the demonstration's own directory, and what others see of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from typing import Final
from urllib.parse import quote

from ..protocol.engine import EnvironmentFault, UsageError
from ..protocol.keys.pkcs11_uri import read_uri
from ..shell.token_library import library_of
from .report import DemoFailed, Report
from .stage import Stage

LABEL: Final = "insitu demo card"
CONFIGURATION: Final = "SOFTHSM2_CONF"
_LIBRARY: Final = "softhsm2"
_PROGRAMS: Final = {"softhsm2-util": "softhsm2", "pkcs11-tool": "opensc", "openssl": "openssl"}
"""What is needed, and the Debian package that has it."""
_KEPT: Final = "sensitive, always sensitive, never extractable, local"


def check_installed() -> None:
    """Make sure that there is what makes tokens and shows them.

    Raises:
        UsageError: something lacks, or the extra pkcs11 does.

    """
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        expected = f"the Debian packages {', '.join(missing)} (make system installs them)"
        raise UsageError("a card in a token", who="demo", expected=expected, got="none")

    library()


def library() -> str:
    """The path of SoftHSM."""
    return library_of(read_uri(f"pkcs11:?module-name={_LIBRARY}"))


def make_token(stage: Stage) -> str:
    """A new token in the demonstration's directory, for this process and those that it starts; its URI.

    The program that makes tokens takes PINs from its command line only, which everybody can read: it gets two that are
    worth nothing, and both are changed at once, while the token is empty.

    Raises:
        EnvironmentFault: that failed.

    """
    directory = stage.private / "tokens"
    directory.mkdir(mode=0o700)
    configuration = stage.private / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {directory.resolve()}\nlog.level = ERROR\n", "utf-8")
    os.environ[CONFIGURATION] = str(configuration.resolve())
    first, officers = secrets.token_hex(8), secrets.token_hex(8)
    words = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", first, "--so-pin", officers]
    _run(words)
    pin_file = stage.passphrase("card")
    _change_pins(first, officers, pin_file.read_text("ascii").strip())
    return (
        f"pkcs11:token={quote(LABEL)}?module-path={quote(library())}&pin-source=file:{quote(str(pin_file.resolve()))}"
    )


def _change_pins(first: str, officers: str, pin: str) -> None:
    import pkcs11
    from pkcs11 import exceptions

    try:
        token = pkcs11.lib(library()).get_token(token_label=LABEL)
        with token.open(rw=True, so_pin=officers) as session:
            session.set_pin(officers, secrets.token_hex(16))  # nobody's: who loses the PIN makes another token
        with token.open(rw=True, user_pin=first) as session:
            session.set_pin(first, pin)
    except exceptions.PKCS11Error as error:
        raise EnvironmentFault("PINs of the token", who="demo", got=type(error).__name__) from error


def show_token(stage: Stage, report: Report) -> None:
    """What other programs see: pkcs11-tool keys that cannot leave the token, openssl certificates made with them.

    The first takes the PIN from a terminal, its command line or its environment, which only this user can read.

    Raises:
        DemoFailed: they see something else.

    """
    pin = stage.passphrase("card").read_text("ascii").strip()
    tool = ["pkcs11-tool", "--module", library(), "--token-label", LABEL, "--login", "--pin", "env:INSITU_DEMO_PIN"]
    report.tell(f"{'all':<12} $ pkcs11-tool --list-objects ...")
    keys = _keys_in(_run([*tool, "--list-objects"], INSITU_DEMO_PIN=pin))
    for label, access in keys:
        report.tell(f"{'all':<12} {label}: {access}")
    if not keys or any(access != _KEPT for _, access in keys):
        raise DemoFailed("keys in the token", expected=_KEPT, got=keys)
    chain = ["-CAfile", str(stage.pem("manufacturer")), "-untrusted", str(stage.pem("customer"))]
    for name in ("unit", "central", "module-1", "module-2"):
        report.tell(f"{'all':<12} $ openssl verify {name}.pem")
        _run(["openssl", "verify", "-x509_strict", *chain, str(stage.pem(name))])


def _keys_in(listed: str) -> list[tuple[str, str]]:
    """Label and access of the private and secret keys in what pkcs11-tool lists."""
    form = r"^(?:Private|Secret) Key Object.*?^  label: +(.*?)$.*?^  Access: +(.*?)$"
    found = re.findall(form, listed, re.MULTILINE | re.DOTALL)
    return [(label.strip(), access.strip()) for label, access in found]


def _run(words: list[str], **environment: str) -> str:
    """What the program says.

    Raises:
        EnvironmentFault: it failed.

    """
    done = subprocess.run(  # noqa: S603 - programs named above
        words, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )
    if done.returncode:
        raise EnvironmentFault(words[0], who="demo", expected="exit code 0", got=done.stderr.strip() or done.stdout)
    return done.stdout
