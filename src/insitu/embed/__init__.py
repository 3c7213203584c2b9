"""A security module for programs that know no trio: blocking functions with timeouts, and callbacks.

    with Controller(Path("module.insitu"), central="tcp:bank:4712", passphrase_file=Path("module.pass")) as module:
        answer = module.authorize("4000001234567899", "DE02120300000000202051", 5000, "EUR", timeout=20)

How it behaves, call by call, is in docs/embedding.md; `xfs` says the same in the words of XFS4IoT. Programs with an
event loop of their own drive `insitu.protocol.session` instead (examples/asyncio_module.py).
"""

from .controller import Controller, Status
from .thread import ModuleEnded, NoAnswer, NotRunning

__all__ = ["Controller", "ModuleEnded", "NoAnswer", "NotRunning", "Status"]
