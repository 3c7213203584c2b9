"""What either side says before it gives up: one code and nothing else (SECURITY: resource limits)."""

from __future__ import annotations

from typing import Annotated

from ..engine import Fault
from .fields import Key
from .wire import message


@message(31)
class FaultNotice:
    """Either side: I refuse to go on, and the channel is closed.

    Attributes:
        code: why, as far as the peer may know.

    CDDL::

        FaultNotice = {
          0: 31,
          1: fault,
        }

        fault = &(
          unexpected: 1,
          malformed: 2,
          untrusted: 3,
          unsupported: 4,
          timeout: 5,
          unavailable: 6,
          busy: 7,
          locked: 8,
        )

    """

    code: Annotated[Fault, Key(1)]
