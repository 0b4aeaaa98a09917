"""The benchmark's HTML report: what a reader finds in it, for whole, partial, hostile and damaged folders."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_runs import SEVERITIES, rewrite, write_category, write_comparison, write_run

from pyimgano.errors import MissingDependencyError, OutputError
from pyimgano.metrics.image import image_curve
from pyimgano.reporting.html import write_html
from pyimgano.reporting.pages.vocabulary import DASH, rate

pytestmark = pytest.mark.extras

HEAD = '"dataset": "d", "category": "c", "model": "m"'


def rendered(folder: Path) -> str:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    return write_html(folder).read_text(encoding="utf-8")


def single(folder: Path, **changes: Any) -> str:
    """Return the page of a run with one category."""
    return rendered(write_run(folder, write_category(folder, **changes)))


def text_of(page: str) -> str:
    """Return what a reader sees, on one line."""
    return re.sub(
        r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.S)))
    )


class Outline(HTMLParser):
    """What a page is made of; fails on tags that are closed out of turn."""

    VOID = frozenset({"meta", "br", "img", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def values(self, *names: str) -> list[str]:
        return [value for _, name, value in self.attributes if name in names]


def test_a_run_is_told_in_the_order_that_a_reader_asks(tmp_path: Path) -> None:
    report = write_category(tmp_path)
    page = rendered(write_run(tmp_path, report))
    counts = report["results"]["metrics"]
    text = text_of(page)
    assert "vision_example on folder/gear" in text
    assert (
        f"At the threshold fixed on 30 held-out good images, {counts['tp']} of 30 defective parts were found and "
        f"{counts['fp']} of 50 good parts were called defective."
    ) in text
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Key numbers", "Thresholds", "Curves and scores", "Types of defect", "Worst misses", "Worst false alarms",
        "Configuration", "Time", "Environment",
    ]  # fmt: skip
    for fact in ("5f0c1d2e3a4b5c6d", "0.53 to 0.58", "0.999 quantile", "false-alarm rate 0.05", "sigma=2.0", "layer2, layer3",
                 "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "110 ms", "acme 1, ok"):  # fmt: skip
        assert fact in text, fact


def test_every_number_at_a_threshold_names_it_and_the_oracle_stands_apart(tmp_path: Path) -> None:
    report = write_category(tmp_path)
    text = text_of(rendered(write_run(tmp_path, report)))
    results, value = report["results"], f"{report['thresholds']['image']['value']:.4g}"
    for key in ("recall", "false_alarm_rate", "precision", "f1", "specificity", "accuracy"):
        assert f"{rate(results['metrics'][key])} at {value}" in text, key
    for key in ("pixel_segf1", "region_recall", "bg_fpr"):
        assert f"{rate(results['pixel_metrics'][key])} at 0.55" in text, key
    assert f"at the threshold {value}, fixed on 30 held-out good images" in text
    assert "Oracle (tuned on test labels)" in text
    oracle = results["oracle"]
    assert f"{rate(oracle['f1'])} at {oracle['threshold']:.4g}" in text
    assert f"{rate(oracle['pixel_segf1'])} at {oracle['pixel_threshold']:.4g}" in text


def test_a_threshold_that_was_set_is_not_said_to_be_calibrated(tmp_path: Path) -> None:
    report = write_category(tmp_path)
    report["thresholds"]["image"] |= {"method": "fixed", "source": "explicit", "calibration_count": None, "interval": None}
    rewrite(tmp_path, report)
    text = text_of(rendered(write_run(tmp_path, report)))
    assert "At the threshold set by hand, " in text
    assert "30 held-out good images, " not in text.partition("Pixels")[0]


@pytest.mark.parametrize("categories", [1, 3])
def test_the_page_stands_alone(tmp_path: Path, categories: int) -> None:
    page = rendered(write_run(tmp_path, *(write_category(tmp_path, f"part {n}", seed=n) for n in range(categories))))
    outline = Outline(page)
    assert outline.tags["script"] == outline.tags["link"] == 0
    assert outline.tags["svg"] == 4 * categories
    assert outline.tags["img"] == 25 * categories
    assert all(value.startswith("data:image/jpeg;base64,") for value in outline.values("src"))
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    targets = outline.values("href", "xlink:href") + re.findall(r"url\((#[^)]*)\)", page)
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert outline.tags["text"] > 60 * categories
    assert "default-src 'none'" in page


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    assert single(tmp_path / "a") == single(tmp_path / "b")
    assert [path.name for path in (tmp_path / "a").iterdir() if path.name.startswith(".")] == []


def test_what_is_null_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    page = single(tmp_path, masks=False, threshold=False)
    text = text_of(page)
    assert "There is no image threshold, so no part was called; a defective part outscores a good one with chance 0." in text
    assert f"Defective parts found {DASH} there is no image threshold" in text
    assert f"SegF1 {DASH} no pixel metrics, because 30 defective images have no mask" in text
    assert "Pixels: no pixel metrics, because 30 defective images have no mask" in text
    assert "No figure: no pixel metrics" in text
    assert "No threshold was fixed." in text
    assert "Defective parts of lowest score There is no threshold, so nothing was called." in text
    assert "None" not in text
    assert "at the threshold" not in page
    Outline(page)


def test_a_ratio_over_nothing_gives_its_own_reason(tmp_path: Path) -> None:
    report = write_category(tmp_path)
    report["results"]["metrics"]["precision"] = None
    report["results"]["extra_metrics"]["spro,limit=0.05"] = None
    report["results"]["metrics"]["recall"] = None
    nothing = "precision and spro,limit=0.05 are undefined: nothing was called defective"
    report["results"]["warnings"] = ["average_precision, recall and pixel_auroc are undefined: of some other reason", nothing]
    rewrite(tmp_path, report)
    text = text_of(rendered(write_run(tmp_path, report)))
    assert f"share of the parts called defective that are nothing was called defective {DASH}" in text
    assert f"spro,limit=0.05 nothing was called defective {DASH}" in text
    assert f"share of the defective parts that were found of some other reason {DASH}" in text


@pytest.mark.parametrize(("good", "defects", "said"), [
    (50, {}, "were called defective; no defective part was tested."), (0, SEVERITIES, "were found; no good part was tested."),
])  # fmt: skip
def test_one_class_has_no_curves(tmp_path: Path, good: int, defects: dict[str, float], said: str) -> None:
    text = text_of(single(tmp_path, good=good, defects=defects))
    assert said in text
    assert text.count("No figure: the test images are all good or all defective") == 2


def test_mistakes_are_told_from_closest_calls(tmp_path: Path) -> None:
    missed = text_of(single(tmp_path / "missed"))
    assert re.search(r"Missed score \S+ \N{LESS-THAN OR EQUAL TO} threshold \S+ test/scratch/\d+.jpg \(scratch\)", missed)
    assert re.search(r"5 of \d+ are shown", missed)
    found = single(tmp_path / "found", defects={"pitting": 30.0})
    assert "<h2>Closest calls: nothing was missed</h2>" in found
    assert re.search(r"Found score \S+ > threshold", text_of(found))
    assert "<h2>Closest calls: no false alarm</h2>" in single(tmp_path / "none", seed=3)


def test_several_categories_are_linked_and_their_warnings_said_once(tmp_path: Path) -> None:
    short = "only 9 images to calibrate on"
    reports = [write_category(tmp_path, name, seed=n, masks=n != 1) for n, name in enumerate(("bolt", "gear", "nut"))]
    for report in reports:
        report["warnings"] = [*report["warnings"], short]
    partial = "pixel_segf1 is the mean of 2 of 3 categories"
    warnings = [partial, *(f"{one['category']}: {text}" for one in reports for text in one["warnings"])]
    page = rendered(write_run(tmp_path, *reports, warnings=warnings, failed={"disc": "no images\ncheck --root"}))
    text, outline = text_of(page), Outline(page)
    assert "At the thresholds fixed for each of 3 categories, " in text
    assert "of 90 defective parts were found" in text
    assert "disc failed and is in no number here: no images check --root" in text
    listing = text.partition("Key numbers")[0]
    assert listing.count(short) == 1
    assert "have no mask (gear)" in listing
    assert "F1 over all pixels of all images mean of 2 of 3 categories" in text
    assert "at each category's own threshold" in text
    assert [value for tag, name, value in outline.attributes if tag == "a" and name == "href"] == ["#c1", "#c2", "#c3"]
    assert outline.tags["details"] == 3
    assert ("details", "open", "") not in outline.attributes


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror="'
    report = write_category(
        tmp_path, evil, defects={evil: 2.0}, named=lambda kind, place: f"test/{evil}/{place}.jpg", model=f"acme:{evil}",
        options={evil: [evil]}, weights={"source": evil}, postprocess=[{"name": evil, "options": {evil: evil}}],
        warnings=[evil], environment={"plugins": {evil: {"version": evil, "status": evil}}}, preset=evil, timing={"fit_s": 1},
    )  # fmt: skip
    page = rendered(write_run(tmp_path, report, failed={evil: evil}))
    outline = Outline(page)
    assert outline.tags["script"] == 0
    assert "onerror" not in {name for _, name, _ in outline.attributes}
    assert page.count("&lt;script&gt;") > 30
    root, folder = tmp_path / "all", "one#\N{LATIN SMALL LETTER E WITH ACUTE} '1'"
    run = write_run(root / folder, write_category(root / folder, evil), write_category(root / folder, "gear"))
    head = json.loads((run / "report.json").read_text(encoding="utf-8"))
    write_comparison(root, {**head, "folder": folder, "label": evil}, {**head, "folder": "javascript:alert(1)", "label": "b"})
    outline = Outline(rendered(root))
    assert outline.tags["script"] == 0
    assert outline.values("href") == ["./one%23%C3%A9%20%271%27/report.html"] * 3


def test_pictures_are_only_read_inside_the_run(tmp_path: Path) -> None:
    run, secret = tmp_path / "run", tmp_path / "secret.jpg"
    secret.write_bytes(b"\xff\xd8\xffSECRET")
    report = write_category(run)
    folder = run / "categories" / "gear"
    (folder / "worst" / "link.jpg").symlink_to(secret)
    (folder / "worst" / "empty.jpg").write_bytes(b"")
    names = [
        "../../../secret.jpg",
        str(secret),
        "worst/link.jpg",
        "worst/none.jpg",
        "worst/\0.jpg",
        "report.json",
        "worst/empty.jpg",
    ]
    names += ["worst", "x" * 5000]
    for name, record in zip(names, report["worst"]["misses"] + report["worst"]["false_alarms"], strict=False):
        record["panels"]["image"] = name
    rewrite(run, report)
    text = text_of(page := rendered(write_run(run, report)))
    assert "U0VDUkVU" not in page
    assert text.count("not shown, because its path leads out of the run's folder") == 4
    assert text.count("missing: ") == 3
    assert text.count("neither JPEG nor PNG") == 2


def test_a_category_that_lies_elsewhere_is_not_read(tmp_path: Path) -> None:
    report = write_category(tmp_path / "other")
    (tmp_path / "run" / "categories").mkdir(parents=True)
    (tmp_path / "run" / "categories" / "gear").symlink_to(tmp_path / "other" / "categories" / "gear")
    with pytest.raises(OutputError, match="lacks a report of gear"):
        rendered(write_run(tmp_path / "run", report))


@pytest.mark.parametrize(("file", "content", "problem"), [
    ("report.json", "", "report.json"),
    ("report.json", "[1]", "report.json"),
    ("report.json", '{"dataset": "folder"}', "report.json: category: Field required"),
    ("categories/gear/report.json", f'{{{HEAD}, "results": {{"auroc": "x"}}}}', "results.auroc: "),
    ("categories/gear/report.json", f'{{{HEAD}, "results": {{"auroc": NaN}}}}', "results.auroc: "),
    ("categories/gear/report.json", f'{{{HEAD}, "curves": {{"pro": {{"fpr": [0, 1], "pro": [1]}}}}}}', "curves.pro: "),
    ("categories/gear/report.json", f'{{{HEAD}, "schema_version": 2}}', "schema version 2"),
    ("categories/gear/per_image.jsonl", '{"score": 1, "truth": 0}\n{"score": 1, "truth": 2}\n', "per_image.jsonl:2: truth"),
])  # fmt: skip
def test_a_damaged_file_is_named_and_the_old_page_stays(tmp_path: Path, file: str, content: str, problem: str) -> None:
    before = single(tmp_path)
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=re.escape(problem)) as caught:
        write_html(tmp_path)
    assert caught.value.next_step
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    with pytest.raises(OutputError, match=r"report\.json cannot be read"):
        write_html(tmp_path)


def test_scores_that_are_missing_cost_only_their_figures(tmp_path: Path) -> None:
    report = write_category(tmp_path)
    (tmp_path / "categories" / "gear" / "per_image.jsonl").unlink()
    page = rendered(write_run(tmp_path, report))
    assert text_of(page).count("No figure: per_image.jsonl is missing") == 3
    assert Outline(page).tags["svg"] == 1


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_the_missing_extra_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as caught:
        write_html(write_run(tmp_path, write_category(tmp_path)))
    assert caught.value.problem == "report.html needs jinja2 and matplotlib"
    assert sys.executable in caught.value.next_step
    assert re.search(r'install .*"pyimgano-core\[report\]", then run the same command again$', caught.value.next_step)
    assert not (tmp_path / "report.html").exists()


def row_of(page: str, label: str) -> list[str]:
    """Return the cells of the first row with a label."""
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", page, flags=re.S)
    cells = next(row for row in rows if re.match(rf"{re.escape(label)}\b", text_of(row).strip()))
    return [text_of(cell).strip() for cell in re.findall(r"<td class=\"number\">(.*?)</td>", cells, flags=re.S)]


def test_a_comparison_marks_the_best_in_words(tmp_path: Path) -> None:
    runs = []
    for number, name in enumerate(("strong", "weak", "blind")):
        folder = tmp_path / name
        reports = [write_category(folder, part, seed=number, masks=name != "blind") for part in ("bolt", "gear")]
        write_run(folder, *reports)
        runs.append(
            {**json.loads((folder / "report.json").read_text(encoding="utf-8")), "folder": name, "label": f"{name},k=1"}
        )
    for run, auroc, alarms, f1 in zip(runs, (0.99, 0.91, 0.95), (0.2, 0.1, 0.3), (0.8004, 0.8, 0.7), strict=True):
        run["results"]["auroc"] = auroc
        run["results"]["metrics"] |= {"false_alarm_rate": alarms, "f1": f1}
    page = rendered(write_comparison(tmp_path, *runs))
    assert row_of(page, "Image AUROC") == ["0.990 best", "0.910", "0.950"]
    assert row_of(page, "False-alarm rate") == ["0.200", "0.100 best", "0.300"]
    assert row_of(page, "F1") == ["0.800 tied", "0.800 tied", "0.700"]
    assert row_of(page, "SegF1")[2] == f"{DASH} 1"
    assert re.search(r'<ol class="notes">\s*<li>no pixel metrics, because 30 defective images have no mask</li>', page)
    assert row_of(page, "Threshold") == ["per category"] * 3
    text = text_of(page)
    assert "Of 3 models, strong,k=1 separates good from defective parts best (Image AUROC 0.990)" in text
    tied = {**runs[1], "label": "twin"}
    assert "Of 2 models, weak,k=1 and twin separate good from defective parts equally well" in text_of(
        rendered(write_comparison(tmp_path, runs[1], tied))
    )
    assert "blind,k=1: no pixel metrics, because 30 defective images have no mask" in text.replace(" :", ":")
    outline = Outline(page)
    assert {f"./{name}/report.html" for name in ("strong", "weak", "blind")} == set(outline.values("href"))
    assert len(row_of(page, "bolt")) == 3
    for name in ("strong", "weak", "blind"):
        assert "vision_example on folder" in (tmp_path / name / "report.html").read_text(encoding="utf-8")


def test_a_comparison_survives_a_damaged_or_distant_model(tmp_path: Path) -> None:
    root = tmp_path / "all"
    run = write_run(root / "one", write_category(root / "one"))
    head = json.loads((run / "report.json").read_text(encoding="utf-8")) | {"label": "a"}
    gone, distant = {**head, "folder": "gone", "label": "b"}, {**head, "folder": "../one", "label": "c"}
    page = rendered(write_comparison(root, {**head, "folder": "one"}, gone, distant))
    assert Outline(page).values("href") == ["./one/report.html"]
    assert "its folder lies outside of this one" in page
    assert "its folder is missing or damaged" in page
    assert str(tmp_path) not in page
    assert "../one" not in page
    threshold = row_of(page, "Threshold")
    assert threshold[0].endswith(" 1")
    assert "fixed on 30 held-out good images" in page


@pytest.mark.parametrize(("value", "text"), [
    (None, DASH), (0.0, "0.000"), (1.0, "1.000"), (0.99996, ">0.9999"), (0.9996, "0.9996"), (0.06, "0.060"),
    (0.0049123, "0.00491"), (4.1e-5, "0.0000410"), (3e-9, "3.00e-09"), (1.163, "1.163"), (1, "1.000"),
])  # fmt: skip
def test_rates_keep_three_digits(value: float | None, text: str) -> None:
    assert rate(value) == text


def test_drawn_curves_have_the_areas_that_are_reported() -> None:
    figures = pytest.importorskip("pyimgano.reporting.figures", exc_type=ImportError)
    rng = np.random.default_rng(4)
    truth, scores = rng.random(200) < 0.3, rng.integers(0, 12, 200) / 3.0
    true, false = figures._counts(truth, scores)
    curve = image_curve(truth, scores)
    assert np.trapezoid(true / true[-1], false / false[-1]) == pytest.approx(curve.area())
    precision = true[1:] / (true[1:] + false[1:])
    assert (np.diff(true) / true[-1] * precision).sum() == pytest.approx(curve.average_precision())


@pytest.mark.parametrize("seed", range(20))
def test_no_bar_straddles_the_threshold(seed: int) -> None:
    figures = pytest.importorskip("pyimgano.reporting.figures", exc_type=ImportError)
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.normal(0, 100), rng.uniform(1e-3, 50), 40)
    threshold = float(values[seed])
    edges, places = figures._bins(values, threshold)
    assert threshold in edges
    assert ((values > threshold) == (edges[places] >= threshold)).all()
    slack = (edges[1] - edges[0]) * 1e-9
    assert (edges[places] - slack <= values).all()
    assert (values <= edges[places + 1] + slack).all()


def test_a_score_histogram_counts_as_the_detector_calls() -> None:
    figures = pytest.importorskip("pyimgano.reporting.figures", exc_type=ImportError)
    truth, scores = np.array([False, False, False, True, True]), np.array([0.1, 0.5, 0.7, 0.5, 0.9])
    svg = figures.score_figure(truth, scores, 0.5, (0.4, 0.6), "p")
    assert "3 good, 1 false alarm (hatched)" in svg
    assert "2 defective, 1 missed (hatched)" in svg
    assert "score, log scale" in figures.score_figure(truth, np.array([1e-3, 1, 2, 5, 900.0]), 3.0, None, "p")
    assert "no defective images" in figures.score_figure(truth[:3], np.full(3, 0.5), None, None, "p")
