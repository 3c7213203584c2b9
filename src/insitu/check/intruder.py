"""The intruder: what he can prove, and everything he may say at his end of a channel, made from what he knows.

He owns the network (scenario.py: he joins, cuts, doubles, reorders and reflects as he likes), has a stolen module, a
key of his own and a whole other manufacturer's worth of certificates with the right names on them. Of what he could
say, the messages that the other side has a row for are said one by one, and of the others one, since a table refuses
what it has no row for by its type alone. Powers that an option is known not to withstand are given to him by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from ..protocol.channel import proofs
from ..protocol.channel.edhoc import Credential, IdCred, Kccs, X5Chain, write_ccs
from ..protocol.channel.handshake import intended
from ..protocol.channel.proofs import Side
from ..protocol.channel.trust.conveyed import NumberCame, NumberConveyed, WordCame
from ..protocol.channel.trust.mutual import MutualData
from ..protocol.channel.trust.pake import PakeData
from ..protocol.engine import KeyKind, Prove, PublicKey, given
from ..protocol.keys.certificates import Role, draft_certificate
from ..protocol.keys.public import compress, decompress
from ..protocol.messages import (
    ApprovalAwaited,
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    Message,
    ModuleCondition,
    ModuleKey,
    Number,
    NumberMaker,
    NumberSettled,
    NumberWanted,
    PakeShare,
    Personalized,
    Proof,
    Purpose,
    Status,
    Ticket,
    TrustOption,
    Welcome,
    encode_message,
)
from ..protocol.parties.unit import UnitData
from ..shell.module import Module
from .channel import CheckedSession, Frame, SymbolicRecords
from .memory import CheckedVault
from .parties import MOBILE
from .values import digest
from .world import BANKS, NOW, RIVAL, SERIAL, STOLEN, Beginning, Loot, card_of, now, shared_secret, shipped_key


class Power(Enum):
    """What the intruder has besides, in words that complete "somebody who ..."."""

    UNHEEDED = "is in the cable while the person says yes without looking"
    RIVAL = "is another customer of the same manufacturer"
    DOCUMENTS = "has read the module's documents"
    KNOWS = "has learnt the secret or the TAN before it was used"
    IDENTITY = "stole the module of exactly the expected serial number"
    TICKETS = "has the manufacturer's unused tickets"
    LOCAL_LINK = "is in the local link of the mobile"
    MOBILE = "stole the mobile, or forges the number that it calls from"


_ZEROS: Final = bytes(32)
Sayings: TypeAlias = Iterator[tuple[str, Message]]
"""Messages, each with a word on how he made it."""


class Moment(NamedTuple):
    """Where he is about to say something.

    Attributes:
        victim: the session at the other end.
        binding: the exporter value of the channel.
        known: the messages that he has heard.

    """

    victim: CheckedSession
    binding: bytes
    known: frozenset[Message]


class Intruder:
    """What the intruder can do in the world of one option.

    Args:
        start: how the world begins.
        option: the trust option of the honest.
        powers: what he has besides.

    """

    def __init__(self, start: Beginning, option: TrustOption, powers: frozenset[Power]) -> None:
        self.start = start
        self.option = option
        self.powers = powers
        self.own = start.loot[0]
        self.loot = list(start.loot)
        if Power.RIVAL in powers:
            self.loot.append(start.unit_of_rival)
        if Power.IDENTITY in powers:
            vault = start.module.vault
            record = Module(vault.fork(), now=now).record
            key = given(vault.find("identity"))
            chain = () if option is TrustOption.TICKET else (given(record.identity),)
            self.loot.append(Loot(f"the identity of {SERIAL} itself", vault, key, chain))
        self._secrets = CheckedVault("intruder's secrets")

    # Handshakes

    def claim(self, loot: Loot, name: str) -> IdCred:
        """How he names himself."""
        if loot.pinned is not None:
            return Credential.x5t(loot.pinned, loot.key.public).id_cred
        return X5Chain(loot.certificates) if loot.certificates else Kccs(write_ccs(loot.key.public, subject=name))

    def calls(
        self, victim: CheckedSession, loot: Loot, purpose: Purpose
    ) -> tuple[Frame, Callable[[Frame], Frame | None]]:
        """He begins a handshake with a unit; his first frame, and what he answers to each."""
        terms = victim.handshake.terms
        name = f"intruder by {loot.name}, {purpose.name.lower()}"
        first = Frame("message 1", name, int(terms.method), (intended(terms, purpose),))

        def reply(frame: Frame) -> Frame | None:
            if frame.kind != "message 2":
                return None
            return Frame("message 3", digest(frame), self.claim(loot, SERIAL), loot.key.public)

        return first, reply

    def called(self, loot: Loot) -> Callable[[Frame], Frame | None]:
        """A module begins a handshake with him: what he answers to each frame."""

        def reply(frame: Frame) -> Frame | None:
            match frame.kind:
                case "message 1":
                    claim = self.claim(loot, BANKS[0])
                    return Frame("message 2", digest(frame), f"intruder by {loot.name}", claim, loot.key.public)
                case "message 3":
                    return Frame("message 4", digest(frame))
            return None

        return reply

    # Messages

    def record(self, victim: CheckedSession, message: Message) -> Frame:
        """A message, sealed for the victim."""
        records = given(victim.records)
        ours = SymbolicRecords(records.channel, initiator=not records.initiator, sent=records.received)
        (frame,) = ours.seal(encode_message(message))
        assert isinstance(frame, Frame)  # noqa: S101 - nothing else is sealed
        return frame

    def sayings(self, victim: CheckedSession, known: frozenset[Message]) -> Sayings:
        """What he may say to this session, with a word on how he made it."""
        accepted = set(victim.accepted)
        yield "what has no place here", Welcome(NOW, 0)
        for message in sorted(known, key=encode_message):
            if type(message) in accepted:
                yield "as he heard it elsewhere", message
        opened = victim.handshake.opened
        if opened is None:
            return
        for kind, make in _MADE.items():
            if kind in accepted:
                yield from make(self, Moment(victim, opened.binding, known))

    def conveyances(self, victim: CheckedSession, known: frozenset[Message]) -> Iterator[tuple[str, object]]:
        """What he may bring over the second link of this session (A9): as a mobile that nobody believes, or worse."""
        opened = victim.handshake.opened
        if opened is None:
            return
        numbers = {bytes(16)}.union(*({each.random} for each in known if isinstance(each, (Number, NumberWanted))))
        accepted = victim.accepted
        if NumberConveyed in accepted:
            names = ["caller 666"]
            if self.powers & {Power.MOBILE, Power.LOCAL_LINK}:
                names.append(MOBILE)
            for number in sorted(each for each in numbers if each is not None):
                for name in names:
                    yield f"a number, as {name}", NumberConveyed(SERIAL, opened.binding, number, name)
        if Power.LOCAL_LINK in self.powers:
            if NumberCame in accepted:
                yield "a number of his own", NumberCame(bytes(16))
            if WordCame in accepted:
                yield "a word that the unit never gave", WordCame(SERIAL, opened.binding)

    def _keys(self, at: Moment) -> Sayings:
        public = self.own.key.public
        for text, bound in (("his own key", at.binding), ("his own key, proved for another channel", _ZEROS)):
            statement = proofs.possession(bound, SERIAL, public)
            yield text, ModuleKey(compress(public), self.own.vault.sign(self.own.key, statement))

    def _confirmations(self, at: Moment) -> Sayings:
        data = at.victim.data
        assert isinstance(data, UnitData)  # noqa: S101 - only a unit waits for this
        for message in at.known:
            if isinstance(message, Certificates):
                kept = message.module, data.customer, data.central
                statement = proofs.confirmation(at.binding, SERIAL, kept)
                yield "signed with his own key", Personalized(self.own.vault.sign(self.own.key, statement))
        yield "a signature of his own", Personalized(self.own.vault.sign(self.own.key, b"nothing"))

    def _statuses(self, at: Moment) -> Sayings:
        yield "a lie", Status(ModuleCondition.OPERATING, 0, _ZEROS)

    def _orders(self, at: Moment) -> Sayings:
        yield "of his own", GenerateKeyPair(bytes(16), _ZEROS, KeyPolicy.NEW, NOW)

    def _waits(self, at: Moment) -> Sayings:
        yield "of his own", ApprovalAwaited(60)

    def _chains(self, at: Moment) -> Sayings:
        keys = {decompress(KeyKind.P256, each.public_key) for each in at.known if isinstance(each, ModuleKey)}
        peer = at.victim.data.peer
        is_certified = peer is not None and peer.role is not None
        genuine = {each.customer for each in at.known if isinstance(each, Certificates)} - {None}
        issuers = [("foreign", self.start.foreign)]
        if Power.RIVAL in self.powers:
            issuers.append((RIVAL, self.start.rival))
        for public in sorted(keys, key=lambda each: each.data):
            for name, vault in issuers:
                customer = card_of(vault).customer
                made = issued(vault, name, public)
                shown = None if is_certified else customer.der
                yield f"by the card of {name}", Certificates(made, self.start.central[name], shown)
                for other in () if is_certified else sorted(each for each in genuine if each):
                    yield f"by the card of {name}, below a bank", Certificates(made, self.start.central[name], other)

    def _macs(self, at: Moment) -> Sayings:
        data = at.victim.proof
        assert isinstance(data, MutualData)  # noqa: S101 - nobody else waits for a proof
        statement = proofs.possession_of_secret(at.binding, data.option.text, data.other, SERIAL)
        yield "without the key", Proof(_ZEROS)
        vault = self._secrets.fork()
        if self.option is TrustOption.SHIPPED_KEY:
            serials = (STOLEN, SERIAL) if Power.DOCUMENTS in self.powers else (STOLEN,)
            for serial in serials:
                key = vault.storage.share(serial, shipped_key(serial))
                yield f"by the key shipped with {serial}", Proof(vault.use(key, Prove(statement)))
        for share in at.known if isinstance(data, PakeData) else ():
            if isinstance(share, PakeShare) and share.share != self._offer(at):
                attempt = self._agreed(at, share.share)
                if attempt is not None:
                    yield "by what he agreed on", Proof(attempt.use(given(attempt.find_secret("x")), Prove(statement)))

    def _shares(self, at: Moment) -> Sayings:
        yield "by what he thinks the secret is", PakeShare(self._offer(at))

    def _exchange(self, at: Moment) -> tuple[CheckedVault, bytes]:
        data = at.victim.proof
        assert isinstance(data, PakeData)  # noqa: S101 - nobody else waits for a share
        vault = CheckedVault(f"intruder {data.side} {at.binding.hex()}")
        guess = self._secret() if Power.KNOWS in self.powers else b"not the secret"
        password = vault.storage.share_password("p", guess)
        identity = tuple(proofs.exchange_identity(at.binding, data.option.text, side, SERIAL) for side in Side)
        begins = data.side is Side.UNIT
        return vault, vault.start_pake("x", password, (identity[0], identity[1]), begins=begins)

    def _offer(self, at: Moment) -> bytes:
        return self._exchange(at)[1]

    def _agreed(self, at: Moment, share: bytes) -> CheckedVault | None:
        vault, _ = self._exchange(at)
        try:
            vault.finish_pake("x", share)
        except Exception:
            return None
        return vault

    def _secret(self) -> bytes:
        if self.option is TrustOption.SECRET:
            return shared_secret(SERIAL)
        from ..protocol.keys.tans import read_tan

        return read_tan(self.start.envelopes[BANKS[0]]).encode()

    def _tickets(self, at: Moment) -> Sayings:
        held = Module(self.start.stolen.fork(), now=now).record.ticket
        if held is not None:
            yield f"that of the stolen {STOLEN}", Ticket(held.number, held.mac)
        if Power.IDENTITY in self.powers:
            own = given(Module(self.start.module.vault.fork(), now=now).record.ticket)
            yield f"that of {SERIAL}", Ticket(own.number, own.mac)
        if Power.TICKETS in self.powers:
            made = self.start.wrong_ticket(self.own.key.public)
            yield "made with an unused one", Ticket(made.number, made.mac)

    def _wishes(self, at: Moment) -> Sayings:
        yield "his own number", NumberWanted(NumberMaker.UNIT, bytes(16))
        yield "somebody else's number", NumberWanted(NumberMaker.MODULE)
        yield "somebody else's number", NumberWanted(NumberMaker.MOBILE)
        for message in at.known:
            if isinstance(message, Number):
                yield "a number that he heard", NumberWanted(NumberMaker.UNIT, message.random)

    def _numbers(self, at: Moment) -> Sayings:
        yield "his own", Number(bytes(16))

    def _settled(self, at: Moment) -> Sayings:
        yield "untruly", NumberSettled()


class _Issuer:
    """A card whose key the intruder holds: it signs without anybody's approval. The name stands for it."""

    def __init__(self, vault: CheckedVault, name: str) -> None:
        self.vault = vault
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Issuer) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def issued(vault: CheckedVault, name: str, public: PublicKey, serial: str = SERIAL) -> bytes:
    """A certificate for this module and this key, by the card in `vault`, whose key the intruder holds; DER."""
    return _issued(_Issuer(vault, name), public, serial)


@lru_cache(maxsize=1024)
def _issued(issuer: _Issuer, public: PublicKey, serial: str) -> bytes:
    customer = card_of(issuer.vault).customer
    number = digest(issuer.name, public, serial)[:16]
    draft = draft_certificate(
        Role.MODULE, serial, public, customer, random=number, not_before=NOW, not_after=NOW + 24 * 3600
    )
    return draft.assemble(issuer.vault.sign(given(issuer.vault.find("signing")), draft.to_be_signed))


_Make = Callable[[Intruder, Moment], Sayings]
_MADE: Final[dict[type, _Make]] = {
    ModuleKey: Intruder._keys,  # noqa: SLF001 - below here, for the reader's order
    Personalized: Intruder._confirmations,  # noqa: SLF001
    Status: Intruder._statuses,  # noqa: SLF001
    GenerateKeyPair: Intruder._orders,  # noqa: SLF001
    ApprovalAwaited: Intruder._waits,  # noqa: SLF001
    Certificates: Intruder._chains,  # noqa: SLF001
    Proof: Intruder._macs,  # noqa: SLF001
    PakeShare: Intruder._shares,  # noqa: SLF001
    Ticket: Intruder._tickets,  # noqa: SLF001
    NumberWanted: Intruder._wishes,  # noqa: SLF001
    Number: Intruder._numbers,  # noqa: SLF001
    NumberSettled: Intruder._settled,  # noqa: SLF001
}
