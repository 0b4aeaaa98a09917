"""report.html: everything of a run in one file, and what happens without what draws it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.errors import OutputError
from pyimgano_robustness.html import write_html_where_possible

LINE = ["robust-benchmark", "--dataset", "folder", "--model", "vision_filterbank", "-o", "resize=[64,64]", "--limit-test", "6"]
CONDITIONS = ["--corruptions", "glare,geo_jitter", "--severities", "1", "5"]


@pytest.fixture
def run(cli: Callable, surface_root: Path, tmp_path: Path) -> Path:
    done = cli(*LINE, "--root", surface_root, *CONDITIONS, "--save-run", tmp_path / "run")
    assert done.code == 0, done.err
    return tmp_path / "run"


def test_the_page_shows_every_number_curve_and_strip_and_needs_no_other_file(run: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    page = (run / "report.html").read_text(encoding="utf-8")
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["robustness_summary"]["sentence"].replace(">", "&gt;") in page
    for severities in report["robustness"]["corruptions"].values():
        for record in severities.values():
            assert f"{record['results']['pixel_metrics']['pixel_segf1']:.3f}" in page
    assert page.count("<svg") == 4
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page


def test_a_greater_loss_is_a_deeper_colour(run: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    from pyimgano_robustness.page import _cell

    assert _cell("f1", 0.9, 0.9).heat == _cell("f1", 0.9, 0.95).heat == 0
    assert _cell("f1", 0.9, 0.65).heat == pytest.approx(0.5)
    assert _cell("bg_fpr", 0.1, 0.35).heat == pytest.approx(0.5)
    assert _cell("f1", 0.9, 0.1).heat == 1
    assert _cell("f1", 0.9, None).text == "-"


def test_what_is_no_robustness_report_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    (tmp_path / "report.json").write_text('{"schema_version": 1}', encoding="utf-8")
    with pytest.raises(OutputError, match="is not a robustness report"):
        write_html_where_possible(tmp_path)


def test_without_jinja2_the_run_is_kept_and_the_command_that_installs_it_is_named(
    cli: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyimgano_robustness.html.NEEDED", ("a_module_that_is_not_there",))
    done = cli(*LINE, "--root", surface_root, *CONDITIONS, "--save-run", tmp_path / "run")
    assert done.code == 0
    assert "pyimgano-robustness[report]" in done.err
    assert (tmp_path / "run" / "report.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()
