"""``pyimgano bundle set|recalibrate|sign|wheelhouse``: what makes a new bundle of one, or goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyimgano.calibration import ThresholdRules
from pyimgano.cli import flags
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.options import from_pairs

if TYPE_CHECKING:
    from pyimgano.workbench.edit import Edited
    from pyimgano.workbench.signing import SigningKey

KEYS = (
    "Keys that can be set: category, threshold, and all below defects, prediction, preprocessing and adaptation.tiling; "
    "'pyimgano bundle info BUNDLE --json' shows them."
)

Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="DIR", help="Write the changed bundle here and leave this one as it is.")
]
SignKey = Annotated[
    Path | None, typer.Option("--sign-key", metavar="FILE", help="Sign it with this Ed25519 private key, PEM or OpenSSH.")
]


def set_values(
    bundle: Folder,
    pairs: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as threshold=12.5 or defects.min_area=20; none unsets.")
    ],
    output: Output = None,
    sign_key: SignKey = None,
) -> None:
    """Change settings and seal anew.

    The history in the bundle says what was changed, when, and which bundle it was before.
    """
    from pyimgano.workbench import edit
    from pyimgano.workbench.bundle import Bundle

    key = _key(sign_key)
    loaded = Bundle.load(bundle)
    unsigned = _unsigned(bundle, key)
    _say(edit.set_values(loaded, from_pairs(pairs), output or bundle, key), output or bundle, unsigned)


@settings_flags(rules=ThresholdRules)
def recalibrate(
    rules: dict[str, Any],
    bundle: Folder,
    images: Annotated[
        list[str],
        typer.Option(
            "--images", metavar="PATH", help="Folder, file or quoted pattern of good parts that training has not seen."
        ),
    ],
    output: Output = None,
    sign_key: SignKey = None,
    device: flags.Device = "auto",
    batch_size: flags.BatchSize = 16,
    amp: flags.Amp = False,
    threads: flags.Threads = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals around thresholds.")] = 0,
) -> None:
    """Set thresholds from other good parts.

    Nothing is learned again. The rules are those of training where no flag says otherwise. The history in the bundle keeps the
    old thresholds.
    """
    from pyimgano.contracts import Runtime
    from pyimgano.inference.inputs import expand
    from pyimgano.workbench import edit
    from pyimgano.workbench.bundle import Bundle, check_writable

    key = _key(sign_key)
    loaded = Bundle.load(bundle)
    files = expand(images)
    check_writable(output or bundle, overwrite=output is None)
    runtime, unsigned = Runtime(device, batch_size, amp, threads, seed), _unsigned(bundle, key)
    done = edit.recalibrate(loaded, files, rules, output or bundle, runtime, key)
    typer.echo(f"calibrated on {len(files)} images of good parts")
    _say(done, output or bundle, unsigned)


def sign(
    bundle: Folder,
    sign_key: Annotated[
        Path, typer.Option("--sign-key", metavar="FILE", help="Ed25519 private key, PEM or OpenSSH; ssh-keygen -t ed25519.")
    ],
) -> None:
    """Sign a bundle with a private key.

    infer --require-signature then accepts it with the public one. Its identity stays.
    """
    from pyimgano.workbench import edit
    from pyimgano.workbench.bundle import Bundle
    from pyimgano.workbench.seal import Seal
    from pyimgano.workbench.signing import SigningKey, signer

    edit.sign(Bundle.load(bundle), SigningKey(sign_key))
    typer.echo(f"{bundle} is signed with {signer(Seal.read(bundle))}")


def wheelhouse(
    bundle: Folder,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the wheels, beside the bundle.")],
    find_links: Annotated[
        list[str] | None, typer.Option("--find-links", metavar="DIR", help="Where else wheels are; may be given again.")
    ] = None,
) -> None:
    """Collect the wheels that a bundle needs.

    In the versions of this environment, to install them on a machine like this one without a network. pip fetches them, as its
    own configuration and PIP_INDEX_URL say.
    """
    from pyimgano.workbench.bundle import Bundle
    from pyimgano.workbench.wheelhouse import REQUIREMENTS, collect

    wheels = collect(Bundle.load(bundle).config, folder, find_links or ())
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    typer.echo(f"{len(wheels)} wheels, {size:.1f} MB, in {folder}")
    typer.echo(f"next       pip install --no-index --find-links {folder} --require-hashes -r {folder / REQUIREMENTS}")


def _key(path: Path | None) -> SigningKey | None:
    from pyimgano.workbench.signing import SigningKey

    return SigningKey(path) if path is not None else None


def _unsigned(bundle: Path, key: SigningKey | None) -> bool:
    """Return whether a signature is lost by an edit."""
    from pyimgano.workbench.seal import SIGNATURE

    return key is None and (bundle / SIGNATURE).exists()


def _say(done: Edited, target: Path, unsigned: bool) -> None:
    from pyimgano.workbench.faults import shown

    if not done.changes:
        typer.echo(f"nothing changes: {target} says that already")
        return
    for change in done.changes:
        if "_provenance" not in change.key:
            typer.echo(f"{change.key}: {shown(change.old)} -> {shown(change.new)}")
    typer.echo(f"sealed     {target}\nidentity   {done.before[:12]} -> {done.after[:12]}")
    if unsigned:
        typer.echo(f"signature  gone, because the bundle has changed: pyimgano bundle sign {target} --sign-key KEY")
