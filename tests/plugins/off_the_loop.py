"""Watches that no token is called in a thread in which trio runs: a call there fails the test, whatever catches it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from insitu.protocol.keys import signing_token, token_access
from insitu.protocol.keys.token_access import TokenAccess


class TokenWatch:
    """See above.

    Attributes:
        beside: how many calls there were in other threads than the test's own.
        wrong: what was called where trio runs.

    """

    def __init__(self) -> None:
        self.beside = 0
        self.wrong: list[str] = []
        self._here = threading.get_ident()

    def note(self, name: str) -> None:
        self.beside += threading.get_ident() != self._here
        if trio.lowlevel.in_trio_run():
            self.wrong.append(name)
            raise AssertionError(f"{name} in the thread of the event loop")

    def over(self, name: str, called: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **more: Any) -> Any:
            self.note(name)
            return called(*args, **more)

        return watched


@contextmanager
def watched_tokens() -> Iterator[TokenWatch]:
    """Every way to a token is watched: the search for it, and the one context in which it is called."""
    watch = TokenWatch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TokenAccess, "calling", watch.over("calling", TokenAccess.calling))
        patch.setattr(TokenAccess, "close", watch.over("close", TokenAccess.close))
        patch.setattr(token_access, "find_token", watch.over("find_token", token_access.find_token))
        patch.setattr(signing_token, "find_token", token_access.find_token)
        yield watch
    assert not watch.wrong
