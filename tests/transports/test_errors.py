import pytest
import trio

from insitu.transports import errors
from insitu.transports.errors import AddressError, FrameError, LinkBroken, LinkError, TransportError


def test_text_is_made_from_the_fields():
    error = AddressError("no such port", who="tcp a:1", expected="0 to 65535", got=70000)
    assert str(error) == "tcp a:1: no such port (expected 0 to 65535, got 70000)"
    assert (error.summary, error.expected, error.got) == ("no such port", "0 to 65535", "70000")


def test_empty_fields_leave_no_trace():
    assert str(TransportError("it broke")) == "it broke"


@pytest.mark.parametrize(("kind", "code"), [(AddressError, 2), (FrameError, 3), (LinkError, 4), (LinkBroken, 4)])
def test_exit_codes_tell_whose_fault_it_was(kind, code):
    assert kind.exit_code == code


def test_every_error_is_somebodys_fault():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TransportError)]
    assert len(kinds) > 12
    assert {kind.exit_code for kind in kinds if kind is not TransportError} == {2, 3, 4}


def test_a_broken_link_is_what_trio_calls_a_broken_resource():
    assert issubclass(LinkBroken, trio.BrokenResourceError)
