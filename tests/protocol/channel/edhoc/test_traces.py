"""RFC 9529: both traces, run through the tables with the private keys of the traces; every value of them is compared.

What the key schedule, the hashes and the ciphers are given and give back is recorded as it happens, so the
intermediate values are those of a handshake and not of a second calculation in the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from edhoc_pair import End, Key, run, vectors

from insitu.protocol.channel.cose import Aead
from insitu.protocol.channel.edhoc import (
    SUITES,
    ChannelKeys,
    Credential,
    CredentialFound,
    Established,
    InitiatorConfig,
    InitiatorState,
    Method,
    ResponderConfig,
    ResponderState,
    Stage,
)
from insitu.protocol.channel.edhoc.curves import EphemeralKey
from insitu.protocol.channel.edhoc.ead import encode_ead
from insitu.protocol.channel.edhoc.hashes import Hash
from insitu.protocol.channel.edhoc.initiator import ReadMessage2, Ready
from insitu.protocol.channel.edhoc.responder import Listening, ReadMessage1, ReadMessage3
from insitu.protocol.engine import Agree, KeyKind, PublicKey, Sign, Started, UsageError
from insitu.protocol.messages.codec import decode, decode_sequence, encode

S = TypeVar("S", bound=Stage)

TRACES = ("edhoc/rfc9529_trace1_method0_suite0_x5t.json", "edhoc/rfc9529_trace2_method3_suite6_2_kid_ccs.json")


@dataclass
class Record:
    """Everything that went through the primitives: the inputs in order, and what came out."""

    digests: dict[bytes, bytes] = field(default_factory=dict)
    extracts: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    expands: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    seals: list[tuple[bytes, bytes, bytes, bytes, bytes]] = field(default_factory=list)
    secrets: list[bytes] = field(default_factory=list)

    @contextmanager
    def recording(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            digest, extract, expand, seal, agree = (
                Hash.digest,
                Hash.extract,
                Hash.expand,
                Aead.seal,
                EphemeralKey.agree,
            )

            def keep_digest(this: Hash, data: bytes) -> bytes:
                return self.digests.setdefault(data, digest(this, data))

            def keep_extract(this: Hash, salt: bytes, secret: bytes) -> bytes:
                self.extracts.append((salt, secret, extract(this, salt, secret)))
                return self.extracts[-1][2]

            def keep_expand(this: Hash, key: bytes, info: bytes, length: int) -> bytes:
                out = expand(this, key, info, length)
                assert self.expands.setdefault(info, (key, out)) == (key, out), "both sides derive the same"
                return out

            def keep_seal(this: Aead, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
                self.seals.append((key, nonce, plaintext, aad, seal(this, key, nonce, plaintext, aad)))
                return self.seals[-1][4]

            def keep_agree(this: EphemeralKey, peer: Any) -> bytes:
                self.secrets.append(agree(this, peer))
                return self.secrets[-1]

            patch.setattr(Hash, "digest", keep_digest)
            patch.setattr(Hash, "extract", keep_extract)
            patch.setattr(Hash, "expand", keep_expand)
            patch.setattr(Aead, "seal", keep_seal)
            patch.setattr(EphemeralKey, "agree", keep_agree)
            yield

    def expanded(self, label: int, *, key: bytes | None = None) -> tuple[bytes, bytes, bytes]:
        """info, context and output of the one derivation with this label (before key updates)."""
        found = [
            (info, decode_sequence(info)[1], out)
            for info, (used, out) in self.expands.items()
            if decode_sequence(info)[0] == label and key in (None, used)
        ]
        ((info, context, out),) = found
        assert type(context) is bytes
        return info, context, out


class AnySuites(InitiatorConfig):
    """RFC 9529's second initiator prefers suite 6 without having a key for it."""

    def __post_init__(self) -> None:
        with suppress(UsageError):
            super().__post_init__()


@dataclass
class Trace:
    """One trace, run."""

    whole: dict[str, Any]
    config: InitiatorConfig
    record: Record
    initiator: End
    responder: End
    frames: list[bytes]

    def raw(self, name: str) -> bytes:
        return bytes.fromhex(self.whole["values"][name])


def _credential(values: dict[str, str], side: str, public: PublicKey) -> Credential:
    id_cred = decode(bytes.fromhex(values[f"id_cred_{side}"]))
    cred = bytes.fromhex(values[f"cred_{side}"])
    match id_cred:
        case {4: bytes(kid)}:
            return Credential.kid(cred, kid)
        case {34: (-15, bytes())}:
            certificate = decode(cred)
            assert type(certificate) is bytes
            return Credential.x5t(certificate, public)
    raise AssertionError("the traces have kid and x5t")


@pytest.fixture(scope="module", params=TRACES, ids=["signatures-x5t", "static-kid"])
def trace(request: pytest.FixtureRequest) -> Trace:
    whole = vectors(request.param)
    values = whole["values"]
    method = Method(whole["method"])
    kind = KeyKind.ED25519 if method is Method.SIGNATURES else KeyKind.P256
    curve = SUITES[whole["selected_suite"]].exchange
    keys = {side: Key(kind, bytes.fromhex(values[f"sk_{side}_raw"]), exact=True) for side in "ir"}
    credentials = {side: _credential(values, side, key.public) for side, key in keys.items()}
    scalars = [each["x_raw"] for each in (whole.get("first_attempt"), values) if each]
    config = AnySuites(
        method=method,
        suites=tuple(whole["suites_i"]),
        credential=credentials["i"],
        key=keys["i"].handle,
        c_i=bytes.fromhex(values["c_i_raw"]),
    )
    responding = ResponderConfig(
        methods=frozenset({method}),
        suites=(whole["selected_suite"],),
        credential=credentials["r"],
        key=keys["r"].handle,
        c_r=bytes.fromhex(values["c_r_raw"]),
    )
    initiator = End(
        InitiatorState.READY,
        # the first message_1 of the second trace offers suite 6 (X25519) with a key of P-256
        Ready(config, lambda _, attempt: EphemeralKey.from_private(curve, bytes.fromhex(scalars[attempt]))),
        keys["i"],
        lambda _: CredentialFound(credentials["r"]),
    )
    responder = End(
        ResponderState.LISTENING,
        Listening(responding, lambda curve, _: EphemeralKey.from_private(curve, bytes.fromhex(values["y_raw"])), 0),
        keys["r"],
        lambda _: CredentialFound(credentials["i"]),
    )
    record = Record()
    with record.recording():
        frames = run(initiator, responder)
        for end in (initiator, responder):
            assert isinstance(end.data, Established)
            end.data.exporter(0, b"", 16)
            end.data.exporter(1, b"", 8)
    return Trace(whole, config, record, initiator, responder, frames)


def stage_of(end: End, kind: type[S]) -> S:
    (found,) = (stage for stage in end.stages if isinstance(stage, kind))
    return found


def values_of(trace: Trace) -> dict[str, bytes]:
    """What the run made of each of the values, under the name that it has in the vectors."""
    record, raw = trace.record, trace.raw
    message_1, message_2, message_3, message_4 = trace.frames[-4:]
    method, suites_i, g_x, c_i = decode_sequence(message_1)
    read_2 = stage_of(trace.initiator, ReadMessage2)
    read_3 = stage_of(trace.responder, ReadMessage3)
    (content_2,) = decode_sequence(message_2)
    (content_3,), (content_4,) = decode_sequence(message_3), decode_sequence(message_4)
    assert type(content_2) is bytes
    assert type(g_x) is bytes
    assert type(content_3) is bytes
    assert type(content_4) is bytes
    g_y = content_2[: len(g_x)]
    claims = {"i": (trace.initiator, read_3.content), "r": (trace.responder, read_2.content)}
    out: dict[str, bytes] = {
        "method": encode(method),
        "suites_i": encode(suites_i),
        "x_raw": raw("x_raw"),  # what was put in; that it was used shows in G_X
        "y_raw": raw("y_raw"),
        "g_x_raw": g_x,
        "g_x": encode(g_x),
        "g_y_raw": g_y,
        "g_y": encode(g_y),
        "c_i_raw": stage_of(trace.responder, ReadMessage1).message_1.c_i,
        "c_i": encode(c_i),
        "c_r_raw": read_2.c_r,
        "c_r": encode(decode_sequence(read_2.plaintext_2)[0]),
        "message_1": message_1,
        "message_2": message_2,
        "message_3": message_3,
        "message_4": message_4,
        "h_message_1_raw": record.digests[message_1],
        "h_message_1": encode(record.digests[message_1]),
        "g_xy_raw": record.extracts[0][1],
        "salt_raw": record.extracts[0][0],
        "prk_2e_raw": record.extracts[0][2],
        "plaintext_2": read_2.plaintext_2,
        "ciphertext_2_raw": content_2[len(g_x) :],
        "plaintext_3": record.seals[0][2],
        "a_3": record.seals[0][3],
        "ciphertext_3_raw": content_3,
        "plaintext_4": record.seals[1][2],
        "a_4": record.seals[1][3],
        "ciphertext_4_raw": content_4,
    }
    for side, (end, content) in claims.items():
        out[f"id_cred_{side}"] = content.id_cred.encoded
        number = {"r": 2, "i": 3}[side]
        out[f"sig_or_mac_{number}_raw"] = content.proof
        out[f"sig_or_mac_{number}"] = encode(content.proof)
        assert isinstance(end.data, Established)
        out[f"cred_{side}"] = end.data.facts.own.cred
        out[f"sk_{side}_raw"] = raw(f"sk_{side}_raw")
        public = end.data.facts.own.public.data
        for effect in end.effects:
            if isinstance(effect, Sign):
                out[f"message_to_be_signed_{number}"] = effect.message
        if len(public) == 32:
            out[f"pk_{side}_raw"] = public
            certificate = decode(end.data.facts.own.cred)
            assert type(certificate) is bytes
            out[f"cred_{side}_raw"] = certificate
        else:
            out[f"pk_{side}_x_raw"], out[f"pk_{side}_y_raw"] = public[1:33], public[33:]
    facts = stage_of(trace.initiator, Established).facts
    for number, items in enumerate((facts.ead_1, facts.ead_2, facts.ead_3, facts.ead_4), 1):
        out[f"ead_{number}"] = encode_ead(items)
    for number in (2, 3, 4):
        (th,) = (data for data in record.digests.values() if data == raw(f"th_{number}_raw"))
        out[f"th_{number}_raw"], out[f"th_{number}"] = th, encode(th)
        (out[f"input_th_{number}"],) = (source for source, digest in record.digests.items() if digest == th)
    for name, label in {"k_3": 3, "iv_3": 4, "k_4": 8, "iv_4": 9}.items():
        out[f"info_{name}"], context, out[f"{name}_raw"] = record.expanded(label)
        assert context == out[f"th_{name[-1]}_raw"]
    for number, label in ((2, 2), (3, 6)):
        out[f"info_mac_{number}"], context, mac = record.expanded(label)
        out[f"context_{number}"], out[f"context_{number}_bstr"] = context, encode(context)
        out[f"mac_{number}_raw"], out[f"mac_{number}"] = mac, encode(mac)
    out["info_keystream_2"], _, out["keystream_2_raw"] = record.expanded(0, key=out["prk_2e_raw"])
    out["info_prk_out"], _, out["prk_out_raw"] = record.expanded(7)
    out["info_prk_exporter"], _, out["prk_exporter_raw"] = record.expanded(10)
    exporter = out["prk_exporter_raw"]
    out["info_oscore_master_secret"], _, out["oscore_master_secret_raw"] = record.expanded(0, key=exporter)
    out["info_oscore_master_salt"], _, out["oscore_master_salt_raw"] = record.expanded(1, key=exporter)
    out["client_sender_id_raw"], out["server_sender_id_raw"] = facts.c_r, facts.c_i  # RFC 9528 appendix A.1
    out |= _static(trace, out) if trace.config.method is Method.STATIC else _signed(out)
    return out | _updated(trace)


def _signed(out: dict[str, bytes]) -> dict[str, bytes]:
    return {"prk_3e2m_raw": out["prk_2e_raw"], "prk_4e3m_raw": out["prk_2e_raw"]}


def _static(trace: Trace, out: dict[str, bytes]) -> dict[str, bytes]:
    record = trace.record
    more: dict[str, bytes] = {}
    more["info_salt_3e2m"], _, more["salt_3e2m_raw"] = record.expanded(1, key=out["prk_2e_raw"])
    ((_, more["g_rx_raw"], more["prk_3e2m_raw"]),) = {
        each for each in record.extracts if each[0] == more["salt_3e2m_raw"]
    }
    more["info_salt_4e3m"], _, more["salt_4e3m_raw"] = record.expanded(5)
    ((_, more["g_iy_raw"], more["prk_4e3m_raw"]),) = {
        each for each in record.extracts if each[0] == more["salt_4e3m_raw"]
    }
    # the peer's point, with the y that was chosen for it or its negative
    for name, end in (("g_x", trace.responder), ("g_y", trace.initiator)):
        (point,) = (effect.peer.data for effect in end.effects if isinstance(effect, Agree))
        assert point[1:33] == out[f"{name}_raw"]
        y = int.from_bytes(point[33:], "big")
        both = {candidate.to_bytes(32, "big") for candidate in (y, P256_PRIME - y)}
        (more[f"{name}_y_raw"],) = both & {trace.raw(f"{name}_y_raw")}
    return more


P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1


def _updated(trace: Trace) -> dict[str, bytes]:
    context = trace.raw("context_key_update_raw")
    out = {"context_key_update_raw": context, "context_key_update": encode(context)}
    answers = set()
    for end in (trace.initiator, trace.responder):
        assert isinstance(end.data, Established)
        keys = end.data.keys
        before = ChannelKeys(keys.suite, 0, keys._prk_out, keys._prk_exporter)
        after = before.key_update(context)
        answers.add((after._prk_out, after._prk_exporter, after.exporter(0, b"", 16), after.exporter(1, b"", 8)))
    (answer,) = answers
    names = ("prk_out", "prk_exporter", "oscore_master_secret", "oscore_master_salt")
    return out | {f"{name}_key_update_raw": value for name, value in zip(names, answer, strict=True)}


def test_every_value(trace):
    expected = {name: value for name, value in trace.whole["values"].items() if isinstance(value, str)}
    got = {name: value.hex() for name, value in values_of(trace).items()}
    unnamed = {"ead_4", "plaintext_4"} - expected.keys()  # both empty; the second trace leaves them out
    assert got.keys() - unnamed == expected.keys()
    for name, value in expected.items():
        assert got[name] == value, name


def test_application_algorithms(trace):
    """The values that are no strings of bytes."""
    for step in trace.whole["steps"]:
        if "value" in step:
            suite = SUITES[trace.whole["selected_suite"]]
            got = {"app_aead_alg": suite.application_aead, "app_hash_alg": suite.application_hash}
            assert got[step["key"]] == step["value"]


def test_both_sides_agree(trace):
    assert trace.initiator.established
    assert trace.responder.established
    one, other = trace.initiator.data.facts, trace.responder.data.facts
    assert (one.own, one.peer) == (other.peer, other.own)
    for name in ("method", "suite", "c_i", "c_r", "ead_1", "ead_2", "ead_3", "ead_4", "th_4"):
        assert getattr(one, name) == getattr(other, name)


def test_the_suite_is_algorithm_by_algorithm_that_of_the_trace(trace):
    suite, expected = SUITES[trace.whole["selected_suite"]], trace.whole["suite"]
    aead = {"AES-CCM-16-64-128": 10}[expected["edhoc_aead"]]
    assert suite.aead.number == aead
    assert suite.hash.name.upper() == expected["edhoc_hash"].replace("-", "")
    assert suite.mac_bytes == expected["mac_length"]
    assert suite.exchange.value == expected["ecdh"]
    assert suite.signature.name.upper() == expected["signature"].upper()


def test_the_first_attempt_of_the_second_trace(trace):
    first = trace.whole.get("first_attempt")
    if first is None:
        assert len(trace.frames) == 4
        return
    config = replace(trace.config, c_i=bytes.fromhex(first["c_i_raw"]))
    scalar = bytes.fromhex(first["x_raw"])
    end = End(
        InitiatorState.READY,
        Ready(config, lambda *_: EphemeralKey.from_private(KeyKind.P256, scalar)),
        trace.initiator.key,
        lambda _: None,
    )
    (message_1,) = end.feed(Started())
    assert message_1.hex() == first["message_1"]
    method, suites_i, g_x, c_i = decode_sequence(message_1)
    assert (encode(method).hex(), encode(suites_i).hex()) == (first["method"], first["suites_i"])
    assert (encode(g_x).hex(), g_x.hex(), encode(c_i).hex()) == (first["g_x"], first["g_x_raw"], first["c_i"])
    assert trace.frames[1].hex() == first["error"] == "02" + first["suites_r"]
