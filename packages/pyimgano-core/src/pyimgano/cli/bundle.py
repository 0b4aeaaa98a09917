"""``pyimgano bundle``: look into bundles and compare them; what changes them is in ``bundle_edit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyimgano.cli import bundle_edit
from pyimgano.cli.tables import print_json, table

if TYPE_CHECKING:
    from pyimgano.calibration import ThresholdRecord
    from pyimgano.workbench.bundle import Bundle
    from pyimgano.workbench.history import History
    from pyimgano.workbench.seal import Seal

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="Verify, compare, edit and recalibrate bundles."
)
app.command("set", epilog=bundle_edit.KEYS)(bundle_edit.set_values)
for _edit in (bundle_edit.recalibrate, bundle_edit.sign, bundle_edit.wheelhouse):
    app.command()(_edit)

Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def verify(
    bundle: Folder,
    require_signature: Annotated[
        Path | None, typer.Option(metavar="PUBLIC_KEY", help="Also check that it is signed with this Ed25519 key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle against its seal.

    Every byte is compared, and every fault listed; exits with 1 if there is any.
    """
    from pyimgano.errors import BundleError
    from pyimgano.workbench.seal import Seal
    from pyimgano.workbench.signing import check_signature

    seal, signer = None, None
    faults: list[BundleError] = []
    try:
        seal = Seal.read(bundle)
        faults += seal.faults()
        signer = check_signature(seal, require_signature) if require_signature is not None else None
    except BundleError as error:
        faults.append(error)
    if as_json:
        rows = [{"problem": fault.problem, "mend": fault.next_step} for fault in faults]
        print_json({"bundle": seal.digest if seal else None, "whole": not faults, "signer": signer, "faults": rows})
    else:
        typer.echo("\n".join(f"{fault.problem}\n  mend: {fault.next_step}" for fault in faults) or _whole(seal, signer))
    if faults:
        raise typer.Exit(1)


@app.command()
def info(
    bundle: Folder,
    licences: Annotated[
        bool, typer.Option("--licences", help="Only the pretrained weights, their source and licence.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a bundle is.

    Its model, settings, thresholds and where they come from, files, and what was changed since training.
    """
    from pyimgano.workbench.bundle import Bundle
    from pyimgano.workbench.history import History
    from pyimgano.workbench.licences import weights_of
    from pyimgano.workbench.seal import Seal
    from pyimgano.workbench.signing import signer

    loaded = Bundle.load(bundle)
    weights = weights_of(loaded.config)
    if licences:
        rows = [[one.component, one.weights, one.source, one.licence] for one in weights]
        none = f"{loaded.config.model.name} uses no pretrained weights"
        if as_json:
            print_json([vars(one) for one in weights])
        else:
            typer.echo(table(["COMPONENT", "WEIGHTS", "SOURCE", "LICENCE"], rows) if rows else none)
        return
    seal, history = Seal.read(bundle), History.read(bundle)
    if as_json:
        facts = {
            "bundle": loaded.digest,
            "signed_by": signer(seal),
            "config": loaded.config,
            "weights": list(map(vars, weights)),
        }
        print_json(facts | {"history": history.steps})
        return
    typer.echo("\n".join([*_facts(loaded, seal, signer(seal)), *_steps(history, loaded.digest or "")]))


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="OLD", help="Folder of the bundle to compare with.")],
    second: Annotated[Path, typer.Argument(metavar="NEW", help="Folder of the bundle that is compared.")],
    as_json: AsJson = False,
) -> None:
    """List what differs between two bundles.

    Exits with 1 if anything does.
    """
    from pyimgano.workbench.compare import differences
    from pyimgano.workbench.faults import shown

    found = differences(first, second)
    if as_json:
        print_json([{"file": file, **change.model_dump()} for file, change in found])
    elif found:
        rows = [[file, change.key, shown(change.old), shown(change.new)] for file, change in found]
        typer.echo(table(["FILE", "VALUE", first.name, second.name], rows))
    else:
        typer.echo(f"{first} and {second} are the same")
    if found:
        raise typer.Exit(1)


def _whole(seal: Seal | None, signer: str | None) -> str:
    assert seal is not None
    size = sum(entry.size for entry in seal.entries.values())
    by = f", signed with {signer}" if signer else ", signed, not checked: pass --require-signature" if seal.signed else ""
    return f"{seal.folder} is whole: {len(seal.entries)} files, {_bytes(size)}{by}\nidentity {seal.digest}"


def _facts(bundle: Bundle, seal: Seal, signer: str | None) -> list[str]:
    config = bundle.config
    settings = {"tiling": config.adaptation.tiling, "preprocessing": config.preprocessing, "prediction": config.prediction}
    rows = [
        ("identity", bundle.digest),
        ("signed", f"says {signer}; bundle verify --require-signature checks it" if signer else "no"),
        ("category", config.category or "-"),
        ("model", f"{config.model.name} {config.model.version or ''}"),
        ("made", f"{config.created_utc} by pyimgano {config.pyimgano_version}"),
        ("threshold", f"image {_threshold(config.score_threshold())}"),
        ("", f"pixel {_threshold(config.pixel_threshold())}"),
        ("defects", f"{'listed' if config.defects.enabled else 'on request'}{_given(config.defects.config())}"),
        *((name, _given(model).removeprefix("; ") or "-") for name, model in settings.items()),
        ("postprocess", ", ".join(step.name for step in config.adaptation.postprocess) or "-"),
        ("files", ", ".join(f"{name} {_bytes(entry.size)}" for name, entry in sorted(seal.entries.items()))),
    ]
    return [f"{name:<15}{value}" for name, value in rows]


def _given(model: Any) -> str:
    """Return what is not the default."""
    values = model.model_dump(exclude_defaults=True, exclude={"pixel_threshold"})
    return "".join(f"; {name}={value}" for name, value in values.items())


def _threshold(record: ThresholdRecord | None) -> str:
    if record is None:
        return "none"
    count = getattr(record, "calibration_count", None) or getattr(record, "calibration_map_count", None)
    images = f", {count} images" if count else ""
    return f"{record.value:.6g} ({record.method}, {record.split or record.source}{images})"


def _steps(history: History, digest: str) -> list[str]:
    from pyimgano.workbench.faults import shown

    lines = []
    for step, after in history.identities(digest):
        images = f" on {step.images} images" if step.images is not None else ""
        lines.append(f"{'history':<15}{step.time_utc} {step.command}{images}: {step.before[:12]} -> {after[:12]}")
        lines += [
            f"{'':<17}{change.key}: {shown(change.old)} -> {shown(change.new)}"
            for change in step.changes
            if "_provenance" not in change.key
        ]
    return lines


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.3g} GB"
