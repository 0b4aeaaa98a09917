"""The plugin where nothing but core is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pyimgano.discovery import discover


def test_it_is_listed_as_ok(cli: Callable) -> None:
    (line,) = [line.split() for line in cli("list-plugins").out.splitlines() if line.startswith("pyimgano-robustness")]
    assert line[2:] == ["ok", "1", "dataset,", "13", "corruptions,", "1", "command"]


def test_describing_it_imports_no_arrays_and_no_images(shell: Callable) -> None:
    code = (
        "import sys, pyimgano_robustness.plugin as p; assert len(p.register_corruptions()) == 13;"
        "assert not {'numpy', 'cv2', 'torch', 'pydantic'} & set(sys.modules), sorted(sys.modules)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_it_needs_no_torch() -> None:
    record = next(record for record in discover().records if record.distribution == "pyimgano-robustness")
    assert record.status == "ok"
    assert not any("torch" in module for module in sys.modules if module.startswith("pyimgano_robustness"))
