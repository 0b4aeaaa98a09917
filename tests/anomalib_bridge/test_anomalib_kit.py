"""The plugin and two of its detectors pass the conformance kit, with the reasons for what they cannot keep."""

from __future__ import annotations

from bridge_models import PADIM, PATCHCORE, TINY, needs_anomalib, needs_lite0

from pyimgano.testing import Settings
from pyimgano.testing.run import trials


@needs_anomalib
@needs_lite0
def test_one_pass_models_keep_what_their_specs_promise() -> None:
    settings = Settings(options={name: TINY[name] for name in (PADIM, PATCHCORE)})
    chosen = [
        trial for trial in trials("pyimgano-anomalib", settings) if trial.target.name in ("pyimgano-anomalib", PADIM, PATCHCORE)
    ]
    results = [trial.result() for trial in chosen]
    assert [(found.component, found.check, found.reason) for found in results if found.bad] == []
    passed = {found.component for found in results if (found.check, found.outcome) == ("save_load", "passed")}
    assert passed == {PADIM, PATCHCORE}
