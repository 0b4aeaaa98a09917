"""The project's own plugins and what each provides, known even where they are not installed.

A test regenerates this table from the plugins themselves and compares.
"""

from __future__ import annotations

from collections.abc import Mapping

FIRST_PARTY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pyimgano-models-patchknn": {
        "detector": ("vision_anomalydino", "vision_patchcore", "vision_softpatch", "vision_superad"),
    },
    "pyimgano-robustness": {
        "command": ("robust-benchmark",),
        "corruption": (
            "blur",
            "color_temperature",
            "defocus",
            "dust",
            "geo_jitter",
            "glare",
            "jpeg",
            "lighting",
            "low_contrast",
            "motion_blur",
            "resolution_loss",
            "sensor_noise",
            "vignetting",
        ),
        "dataset": ("conditions",),
    },
}
