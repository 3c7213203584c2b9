"""insitu manufacturer: root key, customers' signing keys, modules on the bench."""

from __future__ import annotations

from pathlib import Path

import click

from ..protocol.keys.certificates import fingerprint_text, trusted_root
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.manufacturer import Manufacturer
from .common import PATH, Group, about, check_place, create_store, open_store, say, store_options


@click.group(cls=Group)
def manufacturer() -> None:
    """The maker of modules: root key, customers, delivery."""


@manufacturer.command()
@store_options()
@click.option("--name", required=True, help="Name in the root certificate.")
@click.option("--root", type=PATH, required=True, help="Where to write the root certificate (PEM).")
def init(store: Path, passphrase_file: Path | None, passphrase_hook: str | None, name: str, root: Path) -> None:
    """Make the root key and its certificate."""
    with create_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        certificate = Manufacturer(vault).establish(name)
        pem.write_certificate(root, certificate)
    say(f"manufacturer {name}: root {fingerprint_text(trusted_root(certificate).fingerprint)}")


@manufacturer.command("sign-customer")
@store_options()
@click.option("--request", type=PATH, required=True, help="The customer's request (PKCS#10, PEM).")
@click.option("--out", type=PATH, required=True, help="Where to write the customer's certificate (PEM).")
def sign_customer(
    store: Path, passphrase_file: Path | None, passphrase_hook: str | None, request: Path, out: Path
) -> None:
    """Certify a customer's signing key."""
    wanted = pem.read_request(request)
    check_place(out)
    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault, about(request):
        certificate = Manufacturer(vault).sign_customer(wanted)
    pem.write_certificate(out, certificate)
    say(f"customer certified: {out}")


@manufacturer.command("initialize-module")
@store_options()
@store_options("module", prefix="module-")
@click.option("--serial", required=True, help="Serial number of the module.")
@click.option("--no-identity", is_flag=True, help="Without an identity key; such a module knows --trust physical only.")
@click.option(
    "--manufactured-key", is_flag=True, help="Also make the key pair that the first personalization may use by policy."
)
def initialize_module(
    store: Path,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    module: Path,
    module_passphrase_file: Path | None,
    module_passphrase_hook: str | None,
    serial: str,
    no_identity: bool,
    manufactured_key: bool,
) -> None:
    """Deliver a module: serial number, root key, and an identity made inside it."""
    from ..shell.module import Module  # which can also run; the other commands here load faster without

    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        maker = Manufacturer(vault)
        with create_store(module, StoreKind.MODULE, module_passphrase_file, module_passphrase_hook) as memory:
            Module(memory).initialize(
                serial,
                maker.root,
                None if no_identity else lambda made: maker.certify_identity(made.serial, made.key.public),
                manufactured_key=manufactured_key,
            )
    say(f"module {serial} delivered: {module}")
