"""What a field of a message or record may hold: the markers a declaration is written with, and what they mean.

A field is declared as `name: Annotated[type, Key(n), ...]`. The type says the kind of item, the markers say which
values of that kind are allowed. Nothing here knows a class as a whole; that is wire.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

from ..engine import Fault, UsageError
from .codec import kind_of

UINT_MAX: Final = (1 << 64) - 1
COUNT_MAX: Final = (1 << 63) - 1
"""The greatest integer of a field that says nothing else: a database keeps it in a signed integer of 64 bits."""
LENGTH_MAX: Final = 65_535
"""The longest string that a field may hold when no Size says otherwise, in bytes: no frame takes more."""


@dataclass(frozen=True, slots=True)
class Key:
    """The map key (or, in an array, the position) under which the field travels."""

    number: int


@dataclass(frozen=True, slots=True)
class Size:
    """Length of a byte string or text string in bytes (UTF-8), or of a tuple in elements: `least` to `most`.

    Size(32) means exactly 32.
    """

    least: int
    most: int = -1

    def __post_init__(self) -> None:
        if self.most < 0:
            object.__setattr__(self, "most", self.least)


@dataclass(frozen=True, slots=True)
class Within:
    """Range of an integer, both ends included. Without it: 0 to 2^64 - 1."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Matches:
    """A regular expression that the whole text matches."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Secret:
    """The value shows in no repr; its object refuses to be pickled, and errors about it show no value at all (S9).

    Attributes:
        tail: characters at the end of a text that may show after all.

    """

    tail: int = 0


@dataclass(frozen=True, slots=True)
class RefusedAs:
    """The code that a peer is told when the value is of the right kind but not allowed; without it MALFORMED."""

    fault: Fault


Marker: TypeAlias = Key | Size | Within | Matches | Secret | RefusedAs


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that a field may hold.

    Attributes:
        expected: in words, for errors.
        accepts: whether a Python value is allowed.
        to_item: turns an allowed value into an item; None where it is one already.
        from_item: turns an item into a value, or hands on what it cannot turn, for `accepts` to refuse;
            None where nothing needs turning.

    """

    expected: str
    accepts: Callable[[Any], bool]
    to_item: Callable[[Any], Any] | None = None
    from_item: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field: its name, its markers, and what they amount to."""

    name: str
    key: int
    kind: Kind
    optional: bool
    secret: Secret | None
    fault: Fault
    accepts: Callable[[Any], bool]

    def in_repr(self, value: object) -> str:
        """The value as a repr may carry it: of a secret no more than its tail."""
        if self.secret is None or value is None:
            return repr(value)
        tail = self.secret.tail
        if isinstance(value, str) and 0 < tail < len(value):
            return repr("*" * (len(value) - tail) + value[-tail:])
        return "<not shown>"


RecordKind: TypeAlias = Callable[[type], Kind | None]
"""Tells the kind of a declared class; None for a class that is not declared."""


def read_field(name: str, annotation: Any, record_kind: RecordKind) -> Field:  # noqa: ANN401 - whatever was declared
    """The meaning of one annotation of a class body.

    Raises:
        UsageError: the annotation is not one that this layer understands.

    """
    inner, markers = _peel(annotation)
    keys = [marker.number for marker in markers if isinstance(marker, Key)]
    if len(keys) != 1 or not 0 <= keys[0] <= UINT_MAX:
        raise _not_a_field(name, "exactly one Key, not negative", markers)
    optional = False
    if get_origin(inner) in (Union, UnionType):
        members = [member for member in get_args(inner) if member is not NoneType]
        if len(members) != 1 or len(get_args(inner)) != 2:
            raise _not_a_field(name, "one type, or one type and None", inner)
        optional = True
        inner, more = _peel(members[0])
        markers += more
    kind = _kind(name, inner, markers, record_kind)
    fault = next((marker.fault for marker in markers if isinstance(marker, RefusedAs)), Fault.MALFORMED)
    secret = next((marker for marker in markers if isinstance(marker, Secret)), None)
    accepts = kind.accepts
    return Field(name, keys[0], kind, optional, secret, fault, _or_none(accepts) if optional else accepts)


def holds_secrets(fields: Iterable[Field]) -> bool:
    """Whether any of the fields is secret."""
    return any(field.secret for field in fields)


def shown(value: object) -> str:
    """A value for an error's text: short ones as they are, byte strings and containers only by kind and size."""
    if isinstance(value, bytes):
        return "1 byte" if len(value) == 1 else f"{len(value)} bytes"
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text string of {len(value)} characters"
    if isinstance(value, bool | int):
        return str(value) if isinstance(value, bool) or value.bit_length() <= 64 else "a very large integer"
    if isinstance(value, tuple | list | dict):
        return f"{kind_of(value)} of {len(value)}"
    return kind_of(value)


def _kind(name: str, inner: Any, markers: tuple[Marker, ...], record_kind: RecordKind) -> Kind:  # noqa: ANN401
    size = next((marker for marker in markers if isinstance(marker, Size)), Size(0, LENGTH_MAX))
    if inner is int:
        within = next((marker for marker in markers if isinstance(marker, Within)), Within(0, COUNT_MAX))
        return _integer(within)
    if inner is bytes:
        return _byte_string(size)
    if inner is str:
        return _text_string(size, next((marker for marker in markers if isinstance(marker, Matches)), None))
    if inner is bool:
        return Kind("true or false", lambda value: value is True or value is False)
    if get_origin(inner) is tuple:
        match get_args(inner):
            case (element, last) if last is Ellipsis:
                inner, more = _peel(element)
                if any(isinstance(marker, Secret | RefusedAs | Key) for marker in more):
                    raise _not_a_field(name, "Secret, RefusedAs and Key outside the tuple", more)
                return _array(size, _kind(name, inner, more, record_kind))
    if isinstance(inner, type):
        if issubclass(inner, Enum):
            return _enumeration(inner)
        if (kind := record_kind(inner)) is not None:
            return kind
    raise _not_a_field(name, "int, bytes, str, bool, an Enum, tuple[..., ...] or a declared class", inner)


def _integer(within: Within) -> Kind:
    least, most = within.least, within.most

    def accepts(value: object) -> bool:
        return type(value) is int and least <= value <= most

    expected = str(least) if least == most else f"an integer from {least} to {most}"
    return Kind(expected, accepts)


def _byte_string(size: Size) -> Kind:
    least, most = size.least, size.most

    def accepts(value: object) -> bool:
        return type(value) is bytes and least <= len(value) <= most

    return Kind(f"{_range(size)} bytes", accepts)


def _text_string(size: Size, matches: Matches | None) -> Kind:
    least, most = size.least, size.most
    fits = re.compile(matches.pattern if matches else "(?s:.*)").fullmatch

    def accepts(value: object) -> bool:
        if type(value) is not str or fits(value) is None:
            return False
        if value.isascii():
            return least <= len(value) <= most
        try:
            return least <= len(value.encode()) <= most
        except UnicodeEncodeError:
            return False

    form = f" that matches {matches.pattern}" if matches else ""
    return Kind(f"a text of {_range(size)} bytes{form}", accepts)


def _enumeration(members: type[Enum]) -> Kind:
    by_item = {(type(member.value), member.value): member for member in members}
    if not {kind for kind, _ in by_item} <= {int, str}:
        raise UsageError("not an enumeration for the wire", who="codec", expected="integers or texts", got=members)

    def from_item(item: object) -> object:
        return by_item.get((type(item), item), item) if type(item) in (int, str) else item

    names = ", ".join(f"{member.value} {member.name}" for member in members)
    return Kind(f"one of {names}", lambda value: type(value) is members, lambda value: value.value, from_item)


def _array(size: Size, element: Kind) -> Kind:
    least, most = size.least, size.most
    to_item, from_item, accepts_element = element.to_item, element.from_item, element.accepts

    def accepts(value: object) -> bool:
        return type(value) is tuple and least <= len(value) <= most and all(map(accepts_element, value))

    def to_array(value: tuple[Any, ...]) -> list[Any]:
        return list(value) if to_item is None else [to_item(each) for each in value]

    def from_array(item: object) -> object:
        return tuple(map(from_item, item)) if from_item is not None and type(item) is tuple else item

    return Kind(f"{_range(size)} times {element.expected}", accepts, to_array, from_array)


def _peel(annotation: Any) -> tuple[Any, tuple[Marker, ...]]:  # noqa: ANN401 - whatever was declared
    if get_origin(annotation) is Annotated:
        inner, *markers = get_args(annotation)
        return inner, tuple(markers)
    return annotation, ()


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or accepts(value)


def _range(size: Size) -> str:
    return str(size.least) if size.least == size.most else f"{size.least} to {size.most}"


def _not_a_field(name: str, expected: str, got: object) -> UsageError:
    return UsageError(f"field {name} is not declared as it must be", who="codec", expected=expected, got=got)
