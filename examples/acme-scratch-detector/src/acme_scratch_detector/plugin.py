# Copyright (c) 2026 Acme Industries. Confidential; see LICENSE.
"""What this distribution provides; importing it imports nothing heavy."""

from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [
        DetectorSpec(
            name="acme_scratch",
            summary="Thin scratches, by line filters in many directions",
            factory="acme_scratch_detector.detector:ScratchDetector",
            options="acme_scratch_detector.options:ScratchOptions",
            tags=frozenset({"acme", "classical", "pixel_map"}),
            presets={
                "brushed-along-rows": {"ignore_direction": 0.0, "ignore_within": 20.0},
                "fine": {"width": 1.0, "length": 9.0},
            },
        )
    ]
