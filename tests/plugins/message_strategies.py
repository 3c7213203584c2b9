"""Hypothesis strategies for every declared class, read from its annotations; nothing to keep up to date by hand."""

from __future__ import annotations

from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from insitu.protocol.messages import MESSAGES, Matches, Size, Within
from insitu.protocol.messages.fields import COUNT_MAX

UINT = st.integers(0, COUNT_MAX) | st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, COUNT_MAX])


def objects(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Objects of a declared class, with and without its optional fields."""
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{name: _values(hint) for name, hint in hints.items()})


def messages() -> st.SearchStrategy[Any]:
    """Objects of all message classes."""
    return st.one_of([objects(cls) for cls in MESSAGES])


def _values(hint: Any, markers: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        return _values(inner, (*markers, *more))
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (member for member in get_args(hint) if member is not NoneType)
        return st.none() | _values(inner, markers)
    size = next((marker for marker in markers if isinstance(marker, Size)), Size(0, 100))
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), min_size=size.least, max_size=min(size.most, 3)).map(tuple)
    if hint is int:
        within = next((marker for marker in markers if isinstance(marker, Within)), None)
        return st.integers(within.least, within.most) if within else UINT
    if hint is bytes:
        return st.integers(size.least, min(size.most, size.least + 100)).flatmap(
            lambda length: st.binary(min_size=length, max_size=length)
        )
    if hint is str:
        return _texts(size, next((marker.pattern for marker in markers if isinstance(marker, Matches)), None))
    if hint is bool:
        return st.booleans()
    return st.sampled_from(hint) if issubclass(hint, Enum) else objects(hint)


def _texts(size: Size, pattern: str | None) -> st.SearchStrategy[str]:
    if pattern is not None:
        texts = st.from_regex(pattern, fullmatch=True)
    else:
        texts = st.text(st.characters(codec="utf-8"), min_size=(size.least + 3) // 4, max_size=size.most)
    return texts.filter(lambda text: size.least <= len(text.encode()) <= size.most)
