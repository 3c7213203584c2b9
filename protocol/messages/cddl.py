"""The CDDL specification (RFC 8610), put together from the docstrings of the declared classes.

`python -m insitu.protocol.messages.cddl > specs/messages.cddl` renews the committed file; a test compares the two.
Nothing is derived from the fields: the docstrings are written by hand, and the tests hold both against each other.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from itertools import takewhile
from textwrap import dedent
from types import ModuleType
from typing import Final

from . import (
    business,
    catalogue,
    conveyed,
    enrollment,
    intent,
    notice,
    operating,
    people,
    personalization,
    records,
    standing,
    tans,
    tickets,
    trust,
)

_HEADER: Final = """\
; The messages and durable records of insitu (CDDL, RFC 8610). Generated from the docstrings of protocol/messages
; by `python -m insitu.protocol.messages.cddl`; do not edit.
;
; Everything is encoded deterministically (RFC 8949, 4.2.1). Maps are closed: a key that is not named is refused.
; Key 0 of a message is its number. "key: type" cuts: a known key with a wrong value is wrong, whatever else fits.
"""

_SECTIONS: Final = (
    *(catalogue, trust, conveyed, personalization, operating),
    *(business, enrollment, notice, intent, tickets, standing, people, records, tans),
)


def specification() -> str:
    """The whole specification, beginning with the rule `Message`; ends in a newline."""
    parts = [_HEADER]
    for module in _SECTIONS:
        name = module.__name__.rpartition(".")[2]
        parts.append(f"; --- {name} ---\n")
        parts += _blocks(module)
    return "\n".join(parts)


def _blocks(module: ModuleType) -> Iterator[str]:
    """The CDDL of the module's docstring, then that of its classes as they are defined."""
    classes = (value for value in vars(module).values() if inspect.isclass(value))
    for documented in (module, *(cls for cls in classes if cls.__module__ == module.__name__)):
        _, marker, rest = inspect.cleandoc(documented.__doc__ or "").partition("CDDL::\n")
        if marker:
            block = takewhile(lambda line: not line or line.startswith(" "), rest.splitlines())
            yield dedent("\n".join(block)).strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(specification())
