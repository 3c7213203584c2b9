"""Which token and which object on it: PKCS#11 URIs (RFC 7512), read strictly.

A PIN is never in the URI (`pin-value` is refused): command lines are seen by everybody on the machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from ..engine import UsageError

_SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset(
    {
        "token",
        "manufacturer",
        "serial",
        "model",
        "library-manufacturer",
        "library-version",
        "library-description",
        "object",
        "type",
        "id",
        "slot-description",
        "slot-manufacturer",
        "slot-id",
    }
)
_QUERY: Final = frozenset({"pin-source", "pin-value", "module-name", "module-path"})
_TYPES: Final = frozenset({"public", "private", "cert", "secret-key", "data"})
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_UNRESERVED: Final = r"A-Za-z0-9._~:\[\]@!$'()*+,=\-"
_PATH_VALUE: Final = re.compile(rf"(?:[{_UNRESERVED}&]|%[0-9A-Fa-f]{{2}})*")
_QUERY_VALUE: Final = re.compile(rf"(?:[{_UNRESERVED}/?|]|%[0-9A-Fa-f]{{2}})*")
_FORMS: Final = {"library-version": re.compile(r"[0-9]+(\.[0-9]+)?"), "slot-id": re.compile(r"[0-9]+")}
_FILE: Final = "file:"


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A PKCS#11 URI, taken apart.

    Attributes:
        selects: what the token, its slot and its library must be, by the names of RFC 7512 section 2.3.
        object: label of the object, if one is meant.
        id: CKA_ID of the object, if it is given.
        type: class of the object, by the names of RFC 7512; empty if not given.
        pin_source: path of the file that has the PIN; empty if not given.
        module_name: name of the PKCS#11 library without path and ending; empty if not given.
        module_path: path of the PKCS#11 library; empty if not given.
        text: as it was written.

    """

    selects: dict[str, str] = field(default_factory=dict)
    object: str = ""
    id: bytes = b""
    type: str = ""
    pin_source: str = ""
    module_name: str = ""
    module_path: str = ""
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.text


def is_uri(text: str) -> bool:
    """Whether that means a token, be it well written or not."""
    return text[: len(_SCHEME)].lower() == _SCHEME


def read_uri(text: str) -> TokenUri:
    """Take a URI apart.

    Raises:
        UsageError: it is no PKCS#11 URI, holds a PIN, names a program to ask for one, or an attribute that is unknown
            where it would choose (section 2.3: such a URI fits nothing). Unknown ones of the query change nothing.

    """
    if not is_uri(text):
        raise _bad("scheme", _SCHEME)
    path, _, query = text[len(_SCHEME) :].partition("?")
    chosen = _attributes(path, ";", _PATH_VALUE)
    asked = _attributes(query, "&", _QUERY_VALUE)
    if "pin-value" in asked:
        raise _bad("a PIN does not belong into a URI", "pin-source")
    for name in chosen.keys() - _PATH:
        raise UsageError("PKCS#11 URI: attribute that nothing here can match", who="token", got=name)
    words = {name: _word(name, value) for name, value in chosen.items() if name != "id"}
    kind = words.pop("type", "")
    if kind and kind not in _TYPES:
        raise _bad("type", ", ".join(sorted(_TYPES)))
    label = words.pop("object", "")
    options = {name: _word(name, value) for name, value in asked.items() if name in _QUERY}
    return TokenUri(
        selects=words,
        object=label,
        id=chosen.get("id", b""),
        type=kind,
        pin_source=_pin_file(options.get("pin-source", "")),
        module_name=options.get("module-name", ""),
        module_path=options.get("module-path", ""),
        text=text,
    )


def _attributes(part: str, separator: str, form: re.Pattern[str]) -> dict[str, bytes]:
    """Names and values, decoded; each name once (section 2.3)."""
    found: dict[str, bytes] = {}
    for piece in part.split(separator) if part else ():
        name, equals, value = piece.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise _bad("attribute", "name=value")
        if name in found:
            raise _bad(f"{name} is given twice", "each attribute once")
        if not form.fullmatch(value):
            raise _bad(f"value of {name}", "other characters as %XX")
        found[name] = unquote_to_bytes(value)
    return found


def _word(name: str, value: bytes) -> str:
    try:
        word = value.decode()
    except UnicodeDecodeError:
        raise _bad(f"value of {name}", "UTF-8") from None
    if name in _FORMS and not _FORMS[name].fullmatch(word):
        raise _bad(f"value of {name}", "a number")
    return word


def _pin_file(source: str) -> str:
    """The path of a file with the PIN; a program to be started (RFC 7512: `|path`) would run with our rights."""
    if source.startswith("|"):
        raise _bad("pin-source", "a file")
    if not source.lower().startswith(_FILE):
        return source
    path = source[len(_FILE) :]
    return "/" + path.lstrip("/") if path.startswith("///") else _local(path)


def _local(path: str) -> str:
    if path.startswith("//"):
        raise _bad("pin-source", "a file of this machine")
    return path


def _bad(summary: str, expected: str) -> UsageError:
    """Never says what came: that may be a PIN."""
    return UsageError(f"PKCS#11 URI: {summary}", who="token", expected=expected)
