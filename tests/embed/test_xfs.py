"""The table to XFS4IoT is complete: every state, every error that a program can meet at a controller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from world import CARD_NUMBER, World

from insitu.embed import Controller, ModuleEnded, NoAnswer, NotRunning, Status, xfs
from insitu.embed.xfs import CertificateState, CompletionCode, EncryptionState, ErrorCode, completion
from insitu.protocol.engine import InsituError
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores.atomic import StoreUncertain

# As the specification has them.
ENCRYPTION_STATES = {"ready", "notReady", "notInitialized", "busy", "undefined", "initialized"}
CERTIFICATE_STATES = {"unknown", "primary", "secondary", "notReady"}
COMPLETION_CODES = {
    *("success", "commandErrorCode", "canceled", "deviceNotReady", "hardwareError", "internalError", "invalidCommand"),
    *("invalidRequestID", "timeOut", "unsupportedCommand", "invalidData", "userError", "unsupportedData"),
    *("fraudAttempt", "sequenceError", "authorisationRequired", "noCommandNonce", "invalidToken"),
}
ERROR_CODES = {
    "Crypto.GenerateAuthentication": {
        *("accessDenied", "keyNotFound", "keyNoValue", "useViolation", "modeOfUseNotSupported", "invalidKeyLength"),
        *("algorithmNotSupported", "cryptoMethodNotSupported", "noChipTransactionActive"),
    },
    "PinPad.GetPinBlock": {
        *("keyNotFound", "accessDenied", "keyNoValue", "useViolation", "noPin", "formatNotSupported"),
        *("invalidKeyLength", "algorithmNotSupported", "dukptOverflow", "cryptoMethodNotSupported"),
    },
    "KeyManagement.Initialization": {
        *("accessDenied", "randomInvalid", "keyNoValue", "keyNotFound", "useViolation", "modeOfUseNotSupported"),
        *("macInvalid", "signatureInvalid"),
    },
    "KeyManagement.ImportKey": {
        *("keyNotFound", "accessDenied", "duplicateKey", "keyNoValue", "useViolation", "formatNotSupported"),
        *("invalidKeyLength", "noKeyRam", "signatureNotSupported", "signatureInvalid", "randomInvalid"),
        *("algorithmNotSupported", "modeNotSupported", "cryptoMethodNotSupported", "invalidValue", "formatInvalid"),
        "contentInvalid",
    },
    "KeyManagement.LoadCertificate": {
        *("accessDenied", "formatInvalid", "invalidCertificateState", "signatureInvalid", "randomInvalid"),
        "modeNotSupported",
    },
}

LEAVES_OUT = """
import insitu.embed
from insitu.protocol.engine import InsituError
from insitu.transports.errors import TransportError
def family(kind):
    yield kind
    for each in kind.__subclasses__():
        yield from family(each)
met = {*family(InsituError), *family(TransportError)}
from insitu.embed.xfs import ERRORS
print(*sorted(f"{each.__module__}.{each.__name__}" for each in met - set(ERRORS)))
print(len(met))
"""


def test_the_words_are_those_of_the_specification():
    assert {each.value for each in EncryptionState} == ENCRYPTION_STATES
    assert {each.value for each in CertificateState} == CERTIFICATE_STATES
    assert {each.value for each in CompletionCode} <= COMPLETION_CODES
    ours = {code.value for code in ErrorCode}
    assert {name: {code.value for code in codes} for name, codes in xfs.COMMANDS.items()} == {
        name: codes & ours for name, codes in ERROR_CODES.items()
    }
    assert {code for codes in xfs.COMMANDS.values() for code in codes} == set(ErrorCode)


def test_every_state_has_its_line():
    assert set(xfs.STATES) == set(ModuleState)
    used = {status.certificate_state for status, _ in xfs.STATES.values()} | {CertificateState.NOT_READY}
    assert set(CertificateState) - used == {CertificateState.SECONDARY}


def test_every_error_that_is_loaded_with_a_controller_has_its_line():
    """In a process of its own: here the errors of other parties are loaded, too."""
    done = subprocess.run([sys.executable, "-c", LEAVES_OUT], capture_output=True, text=True, check=True, timeout=60)
    left_out, met = done.stdout.splitlines()
    assert left_out == ""
    assert int(met) > 40


def test_an_error_code_stands_with_its_completion_code_and_no_other():
    for ends in xfs.ERRORS.values():
        assert (ends.error_code is not None) == (ends.completion_code is CompletionCode.COMMAND_ERROR_CODE)


def test_the_document_is_written_by_the_code(request: pytest.FixtureRequest):
    written = (request.config.rootpath / "docs" / "xfs4iot.md").read_text()
    assert written == "\n".join(xfs.document()) + "\n"
    for error, ends in xfs.ERRORS.items():
        assert f"{error.__name__} | {ends.completion_code.value} |" in written


def test_a_class_of_ours_that_is_not_named_means_what_its_base_means():
    class Later(NoAnswer):
        pass

    assert completion(Later("later")).completion_code is CompletionCode.TIME_OUT
    assert completion(ZeroDivisionError()).completion_code is CompletionCode.INTERNAL_ERROR
    assert completion(None).completion_code is CompletionCode.SUCCESS


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status("S", ModuleState.OPERATING, 0, True, (), {"mac": "KCV(CMAC)=1"}), ("ready", "primary")),
        (Status("S", ModuleState.OPERATING, 0, False, (), {}), ("initialized", "primary")),
        (Status("S", ModuleState.RESET, 1, False, (), {}), ("notInitialized", "primary")),
        (NotRunning("stopped"), ("notReady", "notReady")),
        (ModuleEnded("ended"), ("notReady", "notReady")),
        (InsituError("blank"), ("notReady", "notReady")),
        (StoreUncertain("cut"), ("undefined", "unknown")),
        (NoAnswer("late"), ("undefined", "unknown")),
    ],
)
def test_status(status: Status | InsituError, expected: tuple[str, str]):
    said = xfs.key_management_status(status)
    assert (said.encryption_state.value, said.certificate_state.value) == expected


def test_what_a_real_module_answers(world: World, host: str, store: dict[str, Any], tmp_path: Path):
    def ends(call: Any, *arguments: Any, **named: Any) -> str:
        try:
            call(*arguments, **named)
        except Exception as error:
            how = completion(error)
        else:
            how = completion(None)
        return (how.error_code or how.completion_code).value

    module = Controller(**store)
    assert ends(module.status) == "deviceNotReady"
    assert ends(Controller(tmp_path / "none", passphrase_file=store["passphrase_file"]).start) == "deviceNotReady"
    with module:
        assert xfs.key_management_status(module.status()).encryption_state is EncryptionState.INITIALIZED
        assert ends(Controller(**store).start) == "deviceNotReady"
        assert ends(module.mac, b"data") == "keyNotFound"
        assert ends(module.encrypt_pin_block, "12", CARD_NUMBER) == "invalidData"
        assert ends(module.authorize, CARD_NUMBER, "A", 1, "EUR") == "deviceNotReady"
        assert ends(module.settle, 7, 0) == "sequenceError"
        assert ends(module.reset_by_hand) == "success"
        assert ends(module.reset_by_hand) == "accessDenied"
        assert ends(module.mac, b"data") == "accessDenied"
        assert xfs.key_management_status(module.status()).encryption_state is EncryptionState.NOT_INITIALIZED
