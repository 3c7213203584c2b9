"""Declared classes: what `message`, `record` and `array` make of a class body, and how its objects travel.

They turn it into a frozen dataclass that checks its fields; the functions here turn the objects into deterministic
CBOR and back.

    @message(4)
    class Personalized:
        signature: Annotated[bytes, Key(1), Size(64)]

A *message* is a map from integer keys to fields, with the message's number under key 0. A *record* is such a map
without the number, for durable state and for values within messages. An *array* is the fields in the order of their
keys, without them. What is declared is all there is: unknown keys, missing ones and null are refused. A field is
optional when its type admits None; None is then left out of the map.

A value that a field does not allow is the caller's fault when an object is made (UsageError) and the peer's when
one is decoded (DecodeError); it is checked at one place, the constructor. A class may check more (how its fields
fit together) in a `__post_init__` that raises UsageError. Nothing here knows a particular message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, NoReturn, TypeVar, cast, dataclass_transform, get_type_hints

import cbor2

from ..engine import Fault, UsageError
from .codec import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, DecodeError, Item, decode, kind_of
from .fields import Field, Kind, holds_secrets, read_field, shown

T = TypeVar("T")

NUMBER_KEY: Final = 0
"""The key under which a message carries its number."""

_ABSENT: Final = object()


class FieldError(UsageError):
    """A value that its field does not allow, given by the caller.

    Attributes:
        field: which, as "Class.name".
        fault: the code that a peer would be told, had the value come from it.

    """

    def __init__(self, field: str, *, expected: str, got: str, fault: Fault) -> None:
        super().__init__(f"{field} does not allow this value", who="codec", expected=expected, got=got)
        self.field = field
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Layout:
    """How the objects of one declared class travel.

    Attributes:
        cls: the class.
        number: the message number; None for records and arrays.
        as_array: whether the fields travel as an array.
        fields: in the order of their keys, which is that of the encoding.

    """

    cls: type[Any]
    number: int | None
    as_array: bool
    fields: tuple[Field, ...]
    _encoders: tuple[tuple[int, str, Callable[[Any], Any] | None], ...]

    def to_item(self, value: object) -> dict[int, Any] | list[Any]:
        """The object as a map whose keys are in order, or as an array."""
        if self.as_array:
            return [
                getattr(value, name) if convert is None else convert(getattr(value, name))
                for _, name, convert in self._encoders
            ]
        entries: dict[int, Any] = {} if self.number is None else {NUMBER_KEY: self.number}
        for key, name, convert in self._encoders:
            content = getattr(value, name)
            if content is not None:
                entries[key] = content if convert is None else convert(content)
        return entries

    def from_item(self, item: Item) -> Any:  # noqa: ANN401 - an object of cls
        """The object that travels as `item`.

        Raises:
            DecodeError: the item is not what the class declares.

        """
        name = self.cls.__name__
        values: dict[str, Any] = {}
        if self.as_array:
            if type(item) is not tuple:
                raise DecodeError(f"not {name}", expected="an array", got=kind_of(item))
            found: Mapping[int | str, Item] = dict(enumerate(item))
        else:
            if type(item) is not dict:
                raise DecodeError(f"not {name}", expected="a map", got=kind_of(item))
            found = item
        for field in self.fields:
            content = found.get(field.key, _ABSENT)
            if content is _ABSENT:
                if field.optional:
                    continue
                raise DecodeError(f"{name}.{field.name} is missing", expected=field.kind.expected)
            if content is None:
                raise DecodeError(f"{name}.{field.name} is null", expected=field.kind.expected, got="null")
            convert = field.kind.from_item
            values[field.name] = content if convert is None else convert(content)
        if len(values) + (self.number is not None) != len(found):
            self._refuse_unknown(found)
        try:
            return self.cls(**values)
        except FieldError as error:
            refusal = DecodeError(error.summary, expected=error.expected, got=error.got, fault=error.fault)
        except UsageError as error:
            refusal = DecodeError(f"{name}: {error.summary}", expected=error.expected, got=error.got)
        raise refusal

    def _refuse_unknown(self, found: Mapping[int | str, Item]) -> NoReturn:
        known = {field.key for field in self.fields} | (set() if self.number is None else {NUMBER_KEY})
        unknown = [key for key in found if key not in known]
        got = f"{len(unknown)} more" if holds_secrets(self.fields) else ", ".join(map(shown, unknown))
        expected = f"only {', '.join(map(str, sorted(known)))}"
        raise DecodeError(f"{self.cls.__name__} has unknown keys", expected=expected, got=got)


@dataclass_transform(frozen_default=True)
def message(number: int) -> Callable[[type[T]], type[T]]:
    """Declare a message: a frozen dataclass that travels as a map with `number` under key 0."""
    return lambda cls: _declare(cls, number, as_array=False)


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Declare a record: a frozen dataclass that travels as a map."""
    return _declare(cls, None, as_array=False)


@dataclass_transform(frozen_default=True)
def array(cls: type[T]) -> type[T]:
    """Declare an array: a frozen dataclass whose fields travel by position, keys 0, 1, 2 ..., none optional."""
    return _declare(cls, None, as_array=True)


def encode_record(value: object) -> bytes:
    """The deterministic encoding of an object of a declared class.

    Raises:
        UsageError: its class is not declared.

    """
    return cbor2.dumps(layout_of(type(value)).to_item(value))


def decode_record(
    cls: type[T],
    data: bytes | bytearray | memoryview,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> T:
    """The object of the declared class `cls` that `data` encodes; limits as for `codec.decode`.

    Raises:
        DecodeError: the data is not the deterministic encoding of such an object.
        UsageError: the class is not declared.

    """
    layout = layout_of(cls)
    item = decode(data, max_bytes=max_bytes, max_depth=max_depth, max_items=max_items)
    if layout.number is not None:
        check_number(item, layout)
    return cast("T", layout.from_item(item))


def check_number(item: Item, layout: Layout) -> None:
    """Refuse an item that does not carry the number of the message that `layout` describes."""
    number = item.get(NUMBER_KEY) if type(item) is dict else None
    if type(number) is not int or number != layout.number:
        got = "none" if number is None else shown(number)
        raise DecodeError(f"not {layout.cls.__name__}", expected=f"message number {layout.number}", got=got)


def layout_of(cls: type) -> Layout:
    """How objects of the declared class `cls` travel.

    Raises:
        UsageError: the class is not declared with `message`, `record` or `array`.

    """
    layout = cls.__dict__.get("__wire_layout__")
    if not isinstance(layout, Layout):
        raise UsageError("not a declared class", who="codec", expected="a message or a record", got=cls.__name__)
    return layout


def _declare(cls: type[T], number: int | None, *, as_array: bool) -> type[T]:
    hints = get_type_hints(cls, include_extras=True)
    declared = sorted((read_field(name, hint, _kind_of_record) for name, hint in hints.items()), key=lambda f: f.key)
    keys = [field.key for field in declared]
    if len(set(keys)) != len(keys) or (number is not None and NUMBER_KEY in keys):
        raise UsageError(f"{cls.__name__} uses a key twice", who="codec", got=keys)
    if as_array and (keys != list(range(len(keys))) or any(field.optional for field in declared)):
        raise UsageError(f"{cls.__name__} is not an array", who="codec", expected="keys 0, 1, 2 ..., none optional")
    _add_methods(cls, declared)
    made = dataclass(frozen=True, slots=True, repr=False)(cls)
    for given in fields(cast("Any", made)):
        field = next(field for field in declared if field.name == given.name)
        if field.optional != (given.default is None) or given.default_factory is not MISSING:
            raise UsageError(
                f"{cls.__name__}.{field.name} has the wrong default",
                who="codec",
                expected="None for an optional field and only there",
            )
    layout = Layout(
        made,
        number,
        as_array,
        tuple(declared),
        tuple((field.key, field.name, field.kind.to_item) for field in declared),
    )
    made.__wire_layout__ = layout  # type: ignore[attr-defined]
    return made


def _add_methods(cls: Any, declared: list[Field]) -> None:  # noqa: ANN401 - a class, to be given methods
    """The constructor's checks, a repr without secrets and, where there are secrets, no pickling (S9)."""
    checks = tuple((field.name, field.accepts, field) for field in declared)
    in_error = kind_of if holds_secrets(declared) else shown  # a card number may come in the wrong field
    check_more = cls.__dict__.get("__post_init__")
    class_name = cls.__name__

    def post_init(self: object) -> None:
        for name, accepts, field in checks:
            if not accepts(getattr(self, name)):
                got = in_error(getattr(self, name))
                raise FieldError(f"{class_name}.{name}", expected=field.kind.expected, got=got, fault=field.fault)
        if check_more is not None:
            check_more(self)

    def represent(self: object) -> str:
        parts = (f"{field.name}={field.in_repr(getattr(self, field.name))}" for field in declared)
        return f"{class_name}({', '.join(parts)})"

    def refuse_pickling(self: object, protocol: object) -> NoReturn:
        raise UsageError(f"{class_name} holds a secret and is never pickled or copied", who="codec")

    cls.__post_init__ = post_init
    cls.__repr__ = represent
    if holds_secrets(declared):
        cls.__reduce_ex__ = refuse_pickling


def _kind_of_record(cls: type) -> Kind | None:
    if "__wire_layout__" not in cls.__dict__:
        return None
    layout = layout_of(cls)
    if layout.number is not None:
        return None
    return Kind(cls.__name__, lambda value: type(value) is cls, layout.to_item, layout.from_item)
