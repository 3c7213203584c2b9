from __future__ import annotations

import copy
import pickle

import pytest

from insitu.protocol.engine import EnvironmentFault, UsageError
from insitu.protocol.stores.secret import Secret, draw


def test_a_secret_shows_nothing_of_itself():
    secret = Secret(b"correct horse")
    assert "horse" not in f"{secret!r} {secret!s} {[secret]}"
    assert str(len(secret.reveal())) not in repr(secret)
    assert secret.reveal() == b"correct horse"


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_duplicated(duplicate):
    with pytest.raises(UsageError, match="not pickled or copied"):
        duplicate(Secret(b"correct horse"))


def test_secrets_compare_by_content_and_do_not_hash():
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"
    with pytest.raises(TypeError):
        hash(Secret(b"a"))


def test_an_empty_secret_is_refused():
    with pytest.raises(UsageError, match="empty"):
        Secret(b"")


def test_draw_refuses_a_source_that_gives_less():
    assert draw(bytes, 7) == bytes(7)
    with pytest.raises(EnvironmentFault, match="expected 7 bytes, got 6"):
        draw(lambda size: bytes(size - 1), 7)
