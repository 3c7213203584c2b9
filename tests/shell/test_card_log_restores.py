"""L12: every certificate that a card issued can be put together again from its log, and from nothing else.

Here it is done by hand, as somebody would do it who has the exported file and knows X.509.
"""

from __future__ import annotations

from hashlib import sha256

from pump import personalize
from world import World

from insitu.protocol.keys.public import der_signature
from insitu.protocol.stores.card_log import Intent, Result
from insitu.protocol.stores.log_lines import import_lines

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def put_together(to_be_signed: bytes, signature: bytes) -> bytes:
    """SIGNED{...} of X.509: what is signed, the algorithm, and the signature as a BIT STRING."""
    signed = der_signature(signature)
    content = to_be_signed + ECDSA_WITH_SHA256 + bytes((0x03, len(signed) + 1, 0)) + signed
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content


def test_every_certificate_is_in_the_exported_log():
    world = World()
    personalize(world)
    first = world.module.record.module
    world.module.reset_by_hand()
    personalize(world)
    entries = [entry.what for entry in import_lines(world.card.export_log()).log]
    intents = {what.job: what for what in entries if isinstance(what, Intent)}
    results = [what for what in entries if isinstance(what, Result)]
    restored = {put_together(intents[result.job].to_be_signed, result.signature): result for result in results}
    assert set(restored) == {world.card.unit, world.central_certificate, first, world.module.record.module}
    assert all(sha256(der).digest() == result.fingerprint for der, result in restored.items())
    assert all(intents[result.job].approvers == ("alice", "bob") for result in results)
