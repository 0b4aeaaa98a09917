"""Checks of what the spec of a detector declares; `maps` has that about maps."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from pyimgano.testing.checks import Checks
from pyimgano.testing.detectors import Subject, scores_of
from pyimgano.testing.results import CheckFailure

checks = Checks(needs=("fits",))

DEVICES = frozenset({"cpu", "cuda", "mps", "xpu"})


@checks.add()
def weights_flag(subject: Subject) -> None:
    """`weights` tells the truth: a detector with pretrained weights records where they come from."""
    declared, used = subject.spec.weights, subject.fitted.weights
    if declared == "none" and used is not None:
        raise CheckFailure("weights='none', but it records pretrained weights", "say bundled, download or checkpoint")
    if declared != "none" and not used:
        raise CheckFailure(
            f"weights={declared!r}, but after fit its `weights` say nothing", "set self.weights to name, source and digest"
        )


@checks.add(needs=("factory_resolves",))
def embedder_flag(subject: Subject) -> None:
    """`embedder` tells the truth: the factory takes the argument exactly where it is declared."""
    taken = _takes(subject.entry.factory(), "embedder")
    if taken != subject.spec.embedder:
        does = "takes" if taken else "does not take"
        raise CheckFailure(f"embedder={subject.spec.embedder}, but its factory {does} it", f"say embedder={taken}")


@checks.add()
def devices_flag(subject: Subject) -> None:
    """`devices` are known ones, and it runs on those that are here."""
    unknown = sorted(set(subject.spec.devices) - DEVICES)
    if unknown or not subject.spec.devices:
        raise CheckFailure(f"devices={subject.spec.devices!r}", f"name some of {', '.join(sorted(DEVICES))}")
    torch = sys.modules.get("torch")
    if "cuda" in subject.spec.devices and torch is not None and torch.cuda.is_available():
        scores_of(subject.learned(device="cuda"), subject.probes())


def _takes(factory: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(factory).parameters
    except ValueError:
        return False
