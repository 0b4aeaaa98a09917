"""Detached signatures of bundles: Ed25519 over the seal's first line, by the library ``cryptography`` (extra ``sign``)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyimgano.discovery.requirements import install_command
from pyimgano.errors import BundleError, MissingDependencyError, OptionsError
from pyimgano.reporting.strict_json import document
from pyimgano.workbench.seal import MANIFEST, SIGNATURE, Seal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PASSPHRASE = "PYIMGANO_SIGN_PASSPHRASE"  # noqa: S105, the name of a variable
"""The environment variable with the passphrase of a private key that has one."""
_MAKE = "make a pair of keys with: ssh-keygen -t ed25519 -f line.key"
_UNSIGNED = "sign it with: pyimgano bundle sign BUNDLE --sign-key KEY"


class SigningKey:
    """A private Ed25519 key.

    Parameters
    ----------
    path
        PEM (PKCS 8) or OpenSSH; its passphrase, where it has one, is in the environment variable `PASSPHRASE`.

    Raises
    ------
    OptionsError
        If it cannot be read, is of another kind, or its passphrase is missing or wrong.
    MissingDependencyError
        If ``cryptography`` is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._key = _private(path)

    def signature(self, digest: str) -> bytes:
        """Return the signature file for a bundle of this identity."""
        public = self._key.public_key()
        signed = self._key.sign(_message(digest))
        values = {"algorithm": "ed25519", "public_key": _text(_raw(public)), "signature": _text(signed)}
        return document(values).encode()


def check_signature(seal: Seal, public_key: Path) -> str:
    """Return the fingerprint of a public key if it is the one that a bundle was signed with.

    Parameters
    ----------
    public_key
        A file with an Ed25519 key, PEM or OpenSSH.

    Raises
    ------
    BundleError
        If the bundle is not signed, with another key, or the signature is not one of this bundle.
    """
    key = _public(public_key)
    if not seal.signed:
        raise BundleError(f"bundle {seal.folder} is not signed", _UNSIGNED)
    by, signature = _read(seal.folder / SIGNATURE)
    if by != _raw(key):
        raise BundleError(
            f"bundle {seal.folder} is signed with the key {_fingerprint(by)}, not with that of {public_key}, "
            f"{_fingerprint(_raw(key))}",
            "do not use this bundle unless you know whose key that is",
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _message(seal.digest))
    except InvalidSignature:
        raise BundleError(
            f"{seal.folder / SIGNATURE} is not a signature of this bundle: it was changed after it was signed",
            "do not use this bundle",
        ) from None
    return _fingerprint(by)


def signer(seal: Seal) -> str | None:
    """Return the fingerprint of the key that a bundle says it was signed with, unchecked; None where it is not signed."""
    return _fingerprint(_read(seal.folder / SIGNATURE)[0]) if seal.signed else None


def _message(digest: str) -> bytes:
    return f"{digest}  {MANIFEST}\n".encode()


def _read(path: Path) -> tuple[bytes, bytes]:
    """Return public key and signature of a signature file."""
    try:
        content = {"algorithm": None, **json.loads(path.read_bytes())}
        found = tuple(base64.b64decode(content[name], validate=True) for name in ("public_key", "signature"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is not a bundle's signature ({error})", "sign the bundle again") from None
    if content["algorithm"] != "ed25519":
        raise BundleError(f"{path} has the algorithm {content['algorithm']!r}, not ed25519", "sign the bundle again")
    return found[0], found[1]


def _private(path: Path) -> Ed25519PrivateKey:
    _needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    data = _data(path)
    word = os.environ.get(PASSPHRASE)
    if data.startswith(b"ssh-") or b" PUBLIC KEY-" in data:
        raise OptionsError(f"{path} is a public key; signing needs the private one", _MAKE)
    load: Any = load_ssh_private_key if b"OPENSSH" in data else load_pem_private_key
    try:
        key = load(data, word.encode() if word else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionsError(
            f"{path} is not a private key that can be read: {error}",
            f"if it has a passphrase, put it into the environment variable {PASSPHRASE}; or {_MAKE}",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise OptionsError(f"{path} is a key of another kind than Ed25519", _MAKE)
    return key


def _public(path: Path) -> Ed25519PublicKey:
    _needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

    data = _data(path)
    if b"PRIVATE KEY-" in data:
        raise OptionsError(
            f"{path} is a private key; checking needs the public one", f"pass {path}.pub, say, and keep this one secret"
        )
    try:
        key = load_ssh_public_key(data) if data.startswith(b"ssh-") else load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionsError(f"{path} is not a public key that can be read: {error}", _MAKE) from None
    if not isinstance(key, Ed25519PublicKey):
        raise OptionsError(f"{path} is a key of another kind than Ed25519", _MAKE)
    return key


def _needs_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "signatures need the library cryptography, which is not installed", install_command("pyimgano-core[sign]")
        ) from None


def _data(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OptionsError(f"key {path} cannot be read ({error.strerror})", _MAKE) from None


def _raw(key: Ed25519PublicKey) -> bytes:
    raw: bytes = key.public_bytes_raw()
    return raw


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _fingerprint(public: bytes) -> str:
    """Return what ``ssh-keygen -l`` shows for a raw Ed25519 key."""
    parts = (b"ssh-ed25519", public)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
