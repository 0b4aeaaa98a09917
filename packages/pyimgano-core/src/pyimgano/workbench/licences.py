"""The pretrained weights inside a bundle: where they come from and under which licence."""

from __future__ import annotations

from dataclasses import dataclass

from pyimgano.workbench.infer_config import InferConfig

UNKNOWN = "not recorded: ask whoever made the weights"


@dataclass(frozen=True)
class WeightsLicence:
    """Weights of one component: architecture, source, licence, sha256 and what they were trained on, where it is recorded."""

    component: str
    weights: str
    source: str
    licence: str
    sha256: str | None = None
    trained_on: str | None = None


def weights_of(config: InferConfig) -> list[WeightsLicence]:
    """Return the pretrained weights that a bundle holds; none for detectors without."""
    record = config.model.weights
    if not record:
        return []
    random = record.get("source") == "random"
    return [
        WeightsLicence(
            config.model.name,
            str(record.get("architecture") or record.get("file") or "?"),
            " ".join(str(record[key]) for key in ("source", "hub_id") if record.get(key)) or "not recorded",
            "none needed: random values" if random else str(record.get("licence") or record.get("license") or UNKNOWN),
            record.get("sha256"),
            record.get("trained_on"),
        )
    ]
