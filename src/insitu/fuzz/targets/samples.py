"""Objects of declared classes, made from what their fields allow: nothing to keep up to date by hand."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from ...protocol.messages.fields import Field
from ...protocol.messages.wire import layout_of

INTEGERS: Final = (0, 1, 2, 3, 5, 30, 60, 3_600, 1_800_000_000, 1 << 40)
SIZES: Final = (*range(130), 256, 300, 1_024)
TEXTS: Final = (
    "SN-1",
    "EUR",
    "4111111111111111",
    "DE02100100109307118603",
    "operate",
    "0" * 64,
    "a",
    "Bank unit 1",
    "",
)


def made_of(cls: type[Any], extra: int) -> Any:  # noqa: ANN401 - an object of cls
    """An object of the declared class `cls`; with `extra` also what is optional, and greater values.

    Raises:
        UsageError: no such values fit one another.

    """
    hints = get_type_hints(cls)
    return cls(**{field.name: _value(field, hints[field.name], extra) for field in layout_of(cls).fields})


def _value(field: Field, hint: Any, extra: int) -> Any:  # noqa: ANN401
    if field.optional and not extra:
        return None
    fitting = [value for value in _candidates(hint, extra) if value is not None and field.accepts(value)]
    if not fitting:
        return None
    return fitting[len(fitting) // 2 if extra else 0]


def _candidates(hint: Any, extra: int) -> Iterator[Any]:  # noqa: ANN401
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (member for member in get_args(hint) if member is not NoneType)
    if get_origin(hint) is tuple:
        element = get_args(hint)[0]
        yield ()
        for value in _candidates(element, extra):
            yield from ((value,), (value,) * 2)
    elif hint is int:
        yield from INTEGERS
    elif hint is bytes:
        yield from (bytes(range(size % 256)) + bytes(size - size % 256) for size in SIZES)
    elif hint is str:
        yield from TEXTS
    elif hint is bool:
        yield from (False, True)
    elif issubclass(hint, Enum):
        yield from hint
    else:
        yield made_of(hint, extra)
