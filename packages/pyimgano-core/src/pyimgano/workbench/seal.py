"""The seal of a bundle: the digests of its files, and everything in the folder that does not agree with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pyimgano.errors import BundleError
from pyimgano.reporting.strict_json import document

SCHEMA_VERSION = 1
CONFIG, STATE, REPORT, ENVIRONMENT = "infer_config.json", "state.safetensors", "report.json", "environment.json"
HISTORY = "history.json"
MANIFEST, SEAL, SIGNATURE = "manifest.json", "manifest.sha256", "signature.json"
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".whl")
AGAIN = "copy the bundle again from where it was exported, or export it again"
_ALLOWED = frozenset({".json", ".safetensors"})


class Entry(NamedTuple):
    """What the manifest says of a file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Seal:
    """A manifest that its seal fits; whether the files fit the manifest is for `faults` to say.

    Attributes
    ----------
    folder
        Where it lies.
    digest
        The sha256 of the manifest: the bundle's identity.
    entries
        What the manifest says of every file, by name.
    signed
        Whether there is a signature, which only a public key can tell to be right.
    """

    folder: Path
    digest: str
    entries: Mapping[str, Entry]
    signed: bool

    @classmethod
    def read(cls, folder: Path) -> Seal:
        """Return the seal of a folder.

        Raises
        ------
        BundleError
            If there is none, manifest or signature do not fit it, or the manifest is of another version.
        """
        _check_folder(folder)
        manifest, signature = folder / MANIFEST, folder / SIGNATURE
        for path in (manifest, folder / SEAL):
            if path.is_symlink() or not path.is_file():
                raise BundleError(
                    f"{path} is missing: this is not a sealed bundle", "use --infer-config for a loose infer_config.json"
                )
        signed = signature.is_symlink() or signature.exists()
        if signed and (signature.is_symlink() or not signature.is_file()):
            raise BundleError(f"{signature} is not a file", AGAIN)
        content = _read(manifest)
        said = _read(folder / SEAL)
        expected = seal_lines(content, _read(signature) if signed else None)
        if said != expected:
            raise _broken_seal(folder, said, expected, signed)
        return cls(folder, hashlib.sha256(content).hexdigest(), _entries(manifest, content), signed)

    def faults(self) -> Iterator[BundleError]:
        """Yield an error for every file that is missing, changed, unexpected or outside the folder."""
        if not {CONFIG, STATE} <= self.entries.keys():
            yield BundleError(f"{self.folder / MANIFEST} names no {CONFIG} or no {STATE}", AGAIN)
        for name, entry in self.entries.items():
            try:
                _check_file(self.folder, name, entry)
            except BundleError as error:
                yield error
        known = {*self.entries, MANIFEST, SEAL, SIGNATURE}
        for path in sorted(self.folder.iterdir()):
            if path.name not in known:
                yield BundleError(f"{path} does not belong to the bundle", "remove the file: it is not in the manifest")

    def check(self) -> Seal:
        """Return the seal itself if nothing is at fault, or raise the first fault."""
        for fault in self.faults():
            raise fault
        return self


def manifest_of(entries: Mapping[str, Entry]) -> bytes:
    """Return the manifest that lists files."""
    files = {name: {"sha256": entry.sha256, "bytes": entry.size} for name, entry in entries.items()}
    return document({"schema_version": SCHEMA_VERSION, "files": files}).encode()


def seal_lines(manifest: bytes, signature: bytes | None) -> bytes:
    """Return what the seal of a manifest says, as ``sha256sum --check`` reads it."""
    lines = f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n"
    if signature is not None:
        lines += f"{hashlib.sha256(signature).hexdigest()}  {SIGNATURE}\n"
    return lines.encode()


def entry_of(content: bytes | Path) -> Entry:
    """Return what a manifest says of a file, given as bytes or by its path."""
    if isinstance(content, bytes):
        return Entry(hashlib.sha256(content).hexdigest(), len(content))
    return Entry(sha256_of(content), content.stat().st_size)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file directly inside the folder.

    Raises
    ------
    BundleError
        For a name that leads out of it, or below it.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or len(pure.parts) != 1 or name in ("", ".", "..") or set(name) & set("\\:\0"):
        raise BundleError(f"{folder}: the file name {name!r} leads out of the folder", "do not use this bundle")
    return folder / name


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, as hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror})", AGAIN) from None


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.is_file() and folder.suffix.lower() in ARCHIVES:
        raise BundleError(f"bundle {folder} is an archive, not a folder", "unpack it, and name the folder that comes out")
    what = "is not a folder" if folder.exists() else "does not exist"
    raise BundleError(f"bundle {folder} {what}", "pyimgano train --export-deploy-bundle DIR makes one")


def _broken_seal(folder: Path, said: bytes, expected: bytes, signed: bool) -> BundleError:
    if said.startswith(expected) and not signed and SIGNATURE.encode() in said:
        return BundleError(f"{folder / SIGNATURE} is missing: the bundle was signed", AGAIN)
    if signed and said and expected.startswith(said) and said.endswith(b"\n"):
        return BundleError(f"{folder / SIGNATURE} does not belong to the bundle", "remove it, or sign: pyimgano bundle sign")
    if signed and said.partition(b"\n")[0] == expected.partition(b"\n")[0]:
        return BundleError(f"{folder / SEAL} does not match {SIGNATURE}: one of them was changed", AGAIN)
    return BundleError(f"{folder / SEAL} does not match {MANIFEST}: one of them was changed", AGAIN)


def _entries(path: Path, manifest: bytes) -> dict[str, Entry]:
    try:
        content = json.loads(manifest)
        version = content["schema_version"]
        entries = {str(name): Entry(str(entry["sha256"]), int(entry["bytes"])) for name, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{path} is not a bundle's manifest ({error})", AGAIN) from None
    check_schema_version(version, path)
    return entries


def check_schema_version(version: object, path: Path) -> None:
    """Raise `BundleError` for a file that was written by another schema than this one, naming both."""
    if type(version) is not int or version != SCHEMA_VERSION:
        newer = type(version) is int and version > SCHEMA_VERSION
        raise BundleError(
            f"{path} has schema version {version!r}, this pyimgano reads {SCHEMA_VERSION}",
            "install a newer pyimgano-core" if newer else "export it again",
        )


def _check_file(folder: Path, name: str, entry: Entry) -> None:
    path = inside(folder, name)
    if path.suffix not in _ALLOWED:
        raise BundleError(f"{path}: bundles hold JSON and safetensors only, never code or pickles", "do not use this bundle")
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{path} is missing", AGAIN)
    if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
        raise BundleError(f"{path} was changed since the bundle was sealed (sha256 differs)", AGAIN)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror})", AGAIN) from None
