"""On which device a model runs, where its pretrained weights come from, and the record of both."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

from pyimgano.errors import OptionsError
from pyimgano_anomalib.arguments import PRETRAINED
from pyimgano_anomalib.library import model_class, version
from pyimgano_anomalib.options import OnePassOptions
from pyimgano_anomalib.pretrained import Source, find_source
from pyimgano_anomalib.table import Row

_NETWORKS = ("backbone", "encoder_name", "teacher_backbone")


def source_for(row: Row, options: OnePassOptions) -> Source | None:
    """Return the weights that options name or a package ships; None where anomalib gets them, or none are asked for.

    Raises
    ------
    OptionsError
        For weights for a model that has no pretrained network.
    """
    if options.backbone_weights is not None and not row.pretrained:
        raise OptionsError(
            f"{row.detector}.backbone_weights: anomalib's {row.model} has no pretrained network", "leave it away"
        )
    if options.arguments.get(PRETRAINED) is False:
        return None
    return find_source(options.backbone_weights, network_of(row, options))


def network_of(row: Row, options: OnePassOptions) -> str:
    """Return the name of the pretrained network of a model, as far as its arguments tell."""
    known = inspect.signature(model_class(row.model).__init__).parameters
    for name in _NETWORKS:
        if name in known:
            return str(options.arguments.get(name, known[name].default))
    return row.model


def record_of(row: Row, options: OnePassOptions, source: Source | None, sha256: str) -> dict[str, Any] | None:
    """Return where the pretrained weights of a model come from, as a bundle notes it; None for a model that has none."""
    if not row.pretrained:
        return None
    noted = {"architecture": network_of(row, options), "sha256": sha256, "anomalib": version()}
    if options.arguments.get(PRETRAINED) is False:
        return {**noted, "source": "random"}
    if source is not None:
        return {**noted, **source.record}
    return {**noted, "source": "download by anomalib", **({"licence": row.licence} if row.licence else {})}


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """Return a sha256 over names and contents."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode())
        total.update(files[name])
    return total.hexdigest()
