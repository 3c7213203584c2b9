from contextlib import suppress

import pytest
import trio

from insitu.transports.errors import AddressError
from insitu.transports.memory import memory_pair
from insitu.transports.streams import OneTask, positive, send_eof


def test_positive_takes_what_receive_some_takes():
    assert positive(None) is None
    assert positive(7) == 7


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_positive_refuses_the_rest(value, error):
    with pytest.raises(error):
        positive(value)


def test_one_task_at_a_time_and_another_after_an_error():
    guard = OneTask("sending")
    with suppress(KeyError), guard:
        with pytest.raises(trio.BusyResourceError, match="already sending"):
            guard.__enter__()
        raise KeyError
    with guard:
        pass


async def test_send_eof_where_the_stream_can_and_where_it_cannot():
    here, there = memory_pair()
    await send_eof(here)
    assert await there.receive_some() == b""
    lockstep, _ = trio.testing.lockstep_stream_one_way_pair()
    with pytest.raises(AddressError, match="cannot be closed for sending only"):
        await send_eof(lockstep)
