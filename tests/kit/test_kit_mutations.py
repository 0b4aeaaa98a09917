"""The kit finds nothing in good components, and names the check that each of many small mistakes breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyimgano.testing import Result
from pyimgano.testing.checks import all_checks

COMPONENTS = (
    *("acme_nearest", "acme_parts", "acme_dimmed", "acme_shifted"),
    *("acme_scaled", "acme_raised", "acme_found", "acme_ranked", "acme_missed"),
    "acme-look",
)

SCORE_ONE = "        found = cells(image)\n        grid"
MAP = "AnomalyMap(grid, image.shape[:2])"
COUNT_ELSEWHERE = ("@app.command()\ndef count", "@rest.command()\ndef count")
NAMES_ELSEWHERE = ("@app.command()\ndef names", "@rest.command()\ndef names")
GRID = "        return ImageScore(float(grid.max())"

MISTAKES = {
    # what is changed of which component, and the checks that fail; `...` where it is so gross that others do, too
    # detectors
    "similarity for distance": ("acme_nearest", [("float(grid.max())", "-float(grid.max())")], {"direction"}),
    "logarithm of a contrast of zero": (
        "acme_nearest",
        [("float(grid.max())", "float(grid.max() + np.log(image.std()))")],
        {"constant_images"},
    ),
    "a square root of what may be negative": (
        "acme_nearest",
        [("float(grid.max())", "float(np.sqrt(9 - grid.max()))")],
        {"finite"},
        ...,
    ),
    "scores scaled by the batch": (
        "acme_nearest",
        [
            (
                "        return [self._score_one(image) for image in images]",
                "        found = [self._score_one(image) for image in images]\n"
                "        top = max(result.score for result in found)\n"
                "        return [ImageScore(result.score / top, result.anomaly_map) for result in found]",
            )
        ],
        {"batch_independence", "mixed_sizes", "few_images"},
    ),
    "maps scaled by the batch": (
        "acme_nearest",
        [
            (
                "        return [self._score_one(image) for image in images]",
                "        found = [self._score_one(image) for image in images]\n"
                "        top = max(result.score for result in found)\n"
                "        return [ImageScore(r.score, AnomalyMap(r.anomaly_map.grid / top, r.anomaly_map.source))"
                " for r in found]",
            )
        ],
        {"map_batch_independence"},
    ),
    "results sorted by score": (
        "acme_nearest",
        [("[self._score_one(image) for image in images]", "sorted(map(self._score_one, images), key=lambda r: -r.score)")],
        {"order_independence", "batch_independence", "map_batch_independence", "mixed_sizes"},
    ),
    "writes into the image": (
        "acme_nearest",
        [(SCORE_ONE, "        image[:2] = 0\n" + SCORE_ONE)],
        {"inputs_unchanged", "paths_and_arrays"},
    ),
    "seeds the shared generator": (
        "acme_nearest",
        [("        rng = ", "        np.random.seed(0)\n        rng = ")],
        {"global_random_state"},
    ),
    "draws from the shared generator": (
        "acme_nearest",
        [("rng.permutation(len(found))", "np.random.permutation(len(found))")],
        {"global_random_state", "determinism"},
    ),
    "ignores the seed": (
        "acme_nearest",
        [("np.random.default_rng(self.runtime.seed)", "np.random.default_rng()")],
        {"determinism"},
    ),
    "not fitted after loading": (
        "acme_nearest",
        [('        self.bank_ = arrays["bank"]\n        self.mark_fitted()', '        self.bank_ = arrays["bank"]')],
        {"save_load"},
    ),
    "state without what was learned": ("acme_nearest", [('{"bank": self.bank_}', "{}")], {"save_load"}),
    "state in half precision": (
        "acme_nearest",
        [('{"bank": self.bank_}', '{"bank": self.bank_.astype(np.float16)}')],
        {"save_load"},
    ),
    "state of Python objects": (
        "acme_nearest",
        [('{"bank": self.bank_}', '{"bank": np.array([self.bank_, None], dtype=object)}')],
        {"save_load", "determinism"},
    ),
    "scores before fit": (
        "acme_nearest",
        [
            (
                "    def _fit(self, images):\n",
                "    bank_ = np.zeros((1, 6))\n\n    def __init__(self, options, runtime):\n"
                "        super().__init__(options, runtime)\n        self.mark_fitted()\n\n    def _fit(self, images):\n",
            )
        ],
        {"not_fitted"},
    ),
    "fit returns nothing": (
        "acme_nearest",
        [("    def _fit(self", "    def fit(self, images):\n        super().fit(images)\n\n    def _fit(self")],
        {"fits"},
    ),
    "learns nothing from images": (
        "acme_nearest",
        [("cells(image).reshape(-1, 6) for image in images])", "np.full((9, 6), 120.0) for image in images])")],
        {"learns", "map_alignment"},
    ),
    "map of the middle stretched over the image": (
        "acme_nearest",
        [(MAP, "AnomalyMap(grid[2:-2, 2:-2] if min(grid.shape) > 4 else grid, image.shape[:2])")],
        {"map_alignment"},
    ),
    "a square crop, as CLIP's preprocessing makes one": (
        "acme_nearest",
        [
            (
                SCORE_ONE,
                "        side = min(image.shape[:2])\n"
                "        top, left = ((extent - side) // 2 for extent in image.shape[:2])\n"
                "        shape, image = image.shape[:2], image[top : top + side, left : left + side]\n" + SCORE_ONE,
            ),
            (MAP, "AnomalyMap(grid, shape)"),
        ],
        {"map_alignment"},
    ),
    "map with swapped axes": ("acme_nearest", [(MAP, "AnomalyMap(grid.T, image.shape[:2])")], {"map_alignment"}),
    "map upside down": ("acme_nearest", [(MAP, "AnomalyMap(grid[::-1], image.shape[:2])")], {"map_alignment"}),
    "width and height swapped": ("acme_nearest", [(MAP, "AnomalyMap(grid, image.shape[1::-1])")], {"finite"}, ...),
    "no map though one is declared": ("acme_nearest", [(f", {MAP}", "")], {"maps_flag"}),
    "a map though none is declared": (
        "acme_nearest",
        [('presets={"small": {"bank_size": 50}},', 'presets={"small": {"bank_size": 50}}, maps=False,')],
        {"maps_flag"},
    ),
    "says zero-shot and learns": (
        "acme_nearest",
        [('presets={"small"', 'learning="zero_shot", presets={"small"')],
        {"fits", "learns_nothing"},
    ),
    "says few-shot and refuses few": (
        "acme_nearest",
        [
            ('presets={"small"', 'learning="few_shot", presets={"small"'),
            (
                "        rng = ",
                "        if len(images) < 4:\n            raise DetectorError('too few images')\n        rng = ",
            ),
            ("from pyimgano.errors import DatasetError", "from pyimgano.errors import DatasetError, DetectorError"),
        ],
        {"few_images"},
    ),
    "all zero where the bank is smaller than k": (
        "acme_nearest",
        [
            (
                "        k = min(self.options.k, len(self.bank_))",
                "        k = self.options.k\n        if len(self.bank_) < k:\n"
                "            return np.zeros(len(queries), np.float32)",
            )
        ],
        {"few_images"},
    ),
    "an error that becomes a score of zero": (
        "acme_nearest",
        [
            (
                "        return [self._score_one(image) for image in images]",
                "        return [self._safely(image) for image in images]\n\n"
                "    def _safely(self, image):\n        try:\n            assert image.shape[0] < image.shape[1]\n"
                "            return self._score_one(image)\n        except Exception:\n"
                "            return ImageScore(0.0, AnomalyMap(np.zeros((2, 2), np.float32), image.shape[:2]))",
            )
        ],
        {"mixed_sizes", "map_alignment"},
    ),
    "an unreadable image that becomes a score of zero": (
        "acme_nearest",
        [
            (
                "    def _score(self, images):",
                "    def score_images(self, images):\n        try:\n            return super().score_images(images)\n"
                "        except ImageError:\n"
                "            none = AnomalyMap(np.zeros((2, 2), np.float32), (64, 96))\n"
                "            return [ImageScore(0.0, none) for _ in images]\n\n    def _score(self, images):",
            ),
            ("from pyimgano.errors import DatasetError", "from pyimgano.errors import DatasetError, ImageError"),
        ],
        {"unreadable_image"},
    ),
    "an error without the path": (
        "acme_nearest",
        [
            (
                "    def _score(self, images):",
                "    def score_images(self, images):\n        try:\n            return super().score_images(images)\n"
                "        except ImageError:\n            raise ImageError('bad image') from None\n\n"
                "    def _score(self, images):",
            ),
            ("from pyimgano.errors import DatasetError", "from pyimgano.errors import DatasetError, ImageError"),
        ],
        {"unreadable_image"},
    ),
    "images of one size alone": (
        "acme_nearest",
        [
            (
                "        return [self._score_one(image) for image in images]",
                "        return [self._score_one(i) for i in np.stack(images)]",
            )
        ],
        {"mixed_sizes"},
    ),
    "an option that is accepted and ignored": (
        "acme_nearest",
        [("min(self.options.k, len(self.bank_))", "min(5, len(self.bank_))")],
        {"options_are_read"},
    ),
    "pretrained weights that nobody records": (
        "acme_nearest",
        [('presets={"small"', 'weights="download", presets={"small"')],
        {"weights_flag"},
    ),
    "an embedder that is not taken": (
        "acme_nearest",
        [('presets={"small"', 'embedder=True, presets={"small"')],
        {"embedder_flag"},
    ),
    "a device that nobody knows": (
        "acme_nearest",
        [('presets={"small"', 'devices=("gpu",), presets={"small"')],
        {"devices_flag"},
    ),
    "keeps something for every image": (
        "acme_nearest",
        [(GRID, "        self.__dict__.setdefault('hooks', []).append(len(grid))\n" + GRID)],
        {"repeatable"},
    ),
    "goes on learning while it scores": (
        "acme_nearest",
        [(GRID, "        self.bank_ = np.concatenate([self.bank_, found.reshape(-1, 6)])\n" + GRID)],
        {"repeatable"},
        ...,
    ),
    "blue for red in files": (
        "acme_nearest",
        [
            (
                "    def _score(self, images):",
                "    def _score_source(self, images):\n"
                "        read = lambda item: cv2.imread(item) if isinstance(item, str) else item\n"
                "        for item in images.items:\n            if isinstance(item, str):\n                load(item)\n"
                "        return self._score([read(item) for item in images.items])\n\n    def _score(self, images):",
            ),
            ("from pyimgano.options", "from pyimgano.images import load\nfrom pyimgano.options"),
        ],
        {"paths_and_arrays"},
    ),
    "scores of another pass": (
        "acme_nearest",
        [
            (
                '    def state(self):\n        return {"bank"',
                "    def decision_function(self, images):\n"
                "        return np.array([r.anomaly_map.render().mean() for r in self.score_images(list(images))])\n\n"
                '    def state(self):\n        return {"bank"',
            )
        ],
        {"derived_methods"},
    ),
    "an option without description": (
        "acme_nearest",
        [(', description="Training cells that are kept.")', ")")],
        {"options_described"},
    ),
    "an option without bounds": ("acme_nearest", [("Field(300, ge=1, ", "Field(300, ")], {"options_bounded"}),
    "a preset out of bounds": ("acme_nearest", [('{"bank_size": 50}', '{"bank_size": 0}')], {"options_valid"}),
    "options that swallow typos": (
        "acme_nearest",
        [("class NearestOptions(Options):", 'class NearestOptions(Options):\n    model_config = {"extra": "allow"}')],
        {"options_resolve"},
    ),
    "a factory that is misspelt": ("acme_nearest", [('acme_parts:Nearest"', 'acme_parts:Nearst"')], {"factory_resolves"}),
    "a factory that takes no runtime": (
        "acme_nearest",
        [("    def _fit(self", "    def __init__(self, options):\n        pass\n\n    def _fit(self")],
        {"builds"},
    ),
    "a summary of two lines": ("acme_nearest", [("Distance of cells to", "Distance of cells\\nto")], {"summary"}),
    # datasets
    "calibrates on test images": (
        "acme_parts",
        [("tuple(train), ()", "tuple(train), tuple(s for s in test if not s.label)")],
        {"disjoint"},
    ),
    "small letters in a glob": ("acme_parts", [("path.suffix.lower()", "path.suffix")], {"loads"}),
    "defective images to learn from": (
        "acme_parts",
        [("tuple(train), ()", 'tuple([*train, *[Sample(p, 0, None, "bump") for p in pictures(root / "bad")]]), ()')],
        {"only_good_in_train"},
    ),
    "masks paired by order": (
        "acme_parts",
        [
            (
                'mask = self.options.root / "masks" / f"{path.stem}.png"',
                'names = sorted(self.options.root.glob("test/bump*")) + [path]\n'
                '        masks = [*sorted(self.options.root.glob("masks/*"))[::-1], Path("none")]\n'
                "        mask = masks[names.index(path)]",
            )
        ],
        {"masks_paired"},
    ),
    "an empty mask where there is none": (
        "acme_parts",
        [('return Sample(path, 1, mask, "bump")', 'return Sample(path, 1, self.options.root / "empty.png", "bump")')],
        {"masks_fit", "masks_paired"},
    ),
    "a mask that is not there": (
        "acme_parts",
        [('Sample(path, 1, mask, "bump")', 'Sample(path, 1, mask.with_suffix(".bmp"), "bump")')],
        {"masks_fit"},
    ),
    "masks that are not declared": (
        "acme_parts",
        [("            masks=True,\n        )\n    ]", "        )\n    ]")],
        {"masks_flag"},
    ),
    "masks that are declared and not given": (
        "acme_parts",
        [('Sample(path, 1, mask, "bump")', 'Sample(path, 1, None, "bump")')],
        {"masks_flag"},
    ),
    "a label that is a word": ("acme_parts", [('Sample(path, 1, mask, "bump")', 'Sample(path, 2, mask, "bump")')], {"labels"}),
    "a defect that is called good": ("acme_parts", [('1, mask, "bump")', "1, mask)")], {"labels"}),
    "another order every time": (
        "acme_parts",
        [("tuple(train), ()", "tuple(np.random.permutation(np.array(train, dtype=object))), ()")],
        {"stable_order", "global_random_state"},
    ),
    "nothing where the root is missing": (
        "acme_parts",
        [
            (
                '            raise DatasetError(f"{root} has no folder good", "name another root")',
                "            return DatasetSplit(())",
            )
        ],
        {"missing_root"},
    ),
    "images that are not there": (
        "acme_parts",
        [("[Sample(path) for", '[Sample(path.with_suffix(".bmp")) for')],
        {"files_exist"},
    ),
    # corruptions
    "severities that do not grow": (
        "acme_dimmed",
        [("0.1 * severity * params", "(0, 0.1, 0.2, 0.15, 0.4, 0.02)[severity] * params")],
        {"monotone"},
    ),
    "a first severity that does nothing": ("acme_dimmed", [("0.1 * severity", "0.1 * (severity - 1)")], {"changes_something"}),
    "noise from the shared generator": (
        "acme_dimmed",
        [("(image * (1", "(image * np.random.uniform(0.9, 1, image.shape) * (1")],
        {"global_random_state", "seed_decides", "pure"},
    ),
    "noise without a seed": (
        "acme_dimmed",
        [("(image * (1", "(image * np.random.default_rng().uniform(0.9, 1, image.shape) * (1")],
        {"seed_decides", "pure"},
    ),
    "an image of floats": ("acme_dimmed", [("params)).astype(np.uint8)", "params)).astype(np.float32)")], {"applies"}),
    "grey images forgotten": ("acme_dimmed", [("return (image * (1", "return (image[:, :, :3] * (1")], {"applies"}),
    "writes into the image it corrupts": (
        "acme_dimmed",
        [("        return (image", "        image.flags.writeable = True\n        image[0] = 0\n        return (image")],
        {"inputs_unchanged"},
    ),
    "mask with another border than the image": (
        "acme_shifted",
        [("            borderMode=cv2.BORDER_REFLECT,\n", "")],
        {"mask_follows"},
    ),
    "mask left behind": ("acme_shifted", [("return moved > 0", "return mask")], {"mask_follows"}),
    "a move that is not declared": ("acme_shifted", [(", moves_pixels=True)", ")")], {"stays_in_place"}),
    "a move that is declared and not made": (
        "acme_dimmed",
        [('factory="acme_parts:Dimmed"', 'factory="acme_parts:Dimmed", moves_pixels=True')],
        {"mask_follows"},
    ),
    # postprocessors
    "every map scaled by itself": (
        "acme_scaled",
        [
            (
                "(values - self.low) / (self.high - self.low)",
                "(values - values.min()) / (np.ptp(values) + self.high - self.high)",
            )
        ],
        {"keeps_order"},
    ),
    "values clipped to 1": (
        "acme_scaled",
        [
            (
                "return (values - self.low) / (self.high - self.low)",
                "return np.clip((values - self.low) / (self.high - self.low), 0, 1)",
            )
        ],
        {"keeps_order", "keeps_place"},
    ),
    "a border filled with 0": (
        "acme_scaled",
        [
            (
                "return (values - self.low) / (self.high - self.low)",
                "return np.pad(values[2:-2, 2:-2], 2) / (self.high - self.low)",
            )
        ],
        {"keeps_place"},
    ),
    "writes into the map": (
        "acme_scaled",
        [("        return (values - self.low)", "        values -= self.low\n        return values")],
        {"inputs_unchanged"},
    ),
    "state without the range": (
        "acme_scaled",
        [('{"low": self.low, "high": self.high}', '{"low": self.low, "high": 1.0}')],
        {"save_load"},
    ),
    "state that is no JSON": ("acme_scaled", [('{"low": self.low', '{"low": np.float32(self.low)')], {"save_load"}),
    "scores changed by a step on maps": (
        "acme_scaled",
        [("return replace(result, anomaly_map=", "return replace(result, score=result.score / 2, anomaly_map=")],
        {"acts_on_flag"},
    ),
    "maps as they are before fit": (
        "acme_scaled",
        [('raise NotFittedError("the maps of normal images are not known", "fit it first")', "return result")],
        {"not_fitted"},
    ),
    "learning that is not declared": ("acme_scaled", [(", fits=True", "")], {"fits_flag"}),
    "learning that is declared and not done": (
        "acme_raised",
        [('acts_on="score")', 'acts_on="score", fits=True)')],
        {"fits_flag"},
    ),
    "a range that follows the images": (
        "acme_scaled",
        [
            (
                "        return (values - self.low)",
                "        self.high = max(self.high, float(values.max()))\n        return (values - self.low)",
            )
        ],
        {"keeps_order"},
        ...,
    ),
    "the map dropped": (
        "acme_raised",
        [("return replace(result, score=3 * result.score + 1)", "return ImageScore(3 * result.score + 1)")],
        {"applies"},
    ),
    "similar scores for all": ("acme_raised", [("3 * result.score + 1", "min(3 * result.score, 10)")], {"keeps_order"}),
    # metrics
    "at least for above": (
        "acme_found",
        [
            (
                "(bad > evidence.threshold).mean() - (good > evidence.threshold)",
                "(bad >= evidence.threshold).mean() - (good >= evidence.threshold)",
            )
        ],
        {"strict_comparison"},
    ),
    "below for at most in pixels": (
        "acme_missed",
        [("values[mask] <= evidence", "values[mask] < evidence")],
        {"strict_comparison"},
    ),
    "a threshold tuned on the test labels": (
        "acme_found",
        [
            (
                '            raise UndefinedMetricError("there is no image threshold")',
                "            return max(float((bad > t).mean() - (good > t).mean()) for t in evidence.scores)",
            )
        ],
        {"no_threshold"},
    ),
    "no number for one class": (
        "acme_ranked",
        [
            (
                "        scores = evidence.scores\n",
                "        scores = evidence.scores\n"
                "        if len(set(evidence.labels.tolist())) < 2:\n            return float('nan')\n",
            )
        ],
        {"one_class"},
    ),
    "scores clamped to 1": (
        "acme_ranked",
        [("scores = evidence.scores", "scores = evidence.scores.clip(0, 1)")],
        {"scale_free"},
    ),
    "an epsilon": ("acme_ranked", [("bad[:, None] > good[None]", "bad[:, None] > good[None] + 1e-3")], {"scale_free"}),
    "the wrong way round": (
        "acme_found",
        [('factory="acme_parts:Found"', 'factory="acme_parts:Found", higher_is_better=False')],
        {"direction"},
    ),
    "masks that are not needed": (
        "acme_ranked",
        [('factory="acme_parts:Ranked"', 'factory="acme_parts:Ranked", needs_masks=True, level="pixel"')],
        {"needs_masks_flag"},
    ),
    "sorts the scores it is given": (
        "acme_ranked",
        [("scores = evidence.scores", "scores = evidence.scores\n        evidence.scores.sort()")],
        {"inputs_unchanged"},
        ...,
    ),
    "counts on the order of images": (
        "acme_ranked",
        [("(bad[:, None] > good[None]).mean()", "(bad > good).mean() + 0.1 * bad.argmax()")],
        {"order_independence"},
    ),
    "maps stacked though sizes differ": (
        "acme_missed",
        [("        shares = []", "        shares = []\n        np.stack([truth.load()[0] for truth in evidence.truths])")],
        {"computes", "one_class"},
    ),
    "a sample of the pixels from the shared generator": (
        "acme_missed",
        [("        shares = []", "        shares = []\n        np.random.random()")],
        {"global_random_state"},
    ),
    # commands
    "two lines about a command": (
        "acme-look",
        [('"Look at the parts of line 3"', '"Look at the parts\\nof line 3"')],
        {"summary"},
    ),
    "a function for an app": ("acme-look", [('app="acme_parts:app"', 'app="acme_parts:count"')], {"app_resolves"}),
    "an app without commands": (
        "acme-look",
        [("app = typer", "rest = typer.Typer()\napp = typer"), COUNT_ELSEWHERE, NAMES_ELSEWHERE],
        {"app_resolves"},
    ),
    "a subcommand without a word": (
        "acme-look",
        [('    """Print what they are called."""\n', "")],
        {"help_describes"},
    ),
    "an argument that is not explained": (
        "acme-look",
        [('def names(folder: Annotated[Path, typer.Argument(help="Where the pictures are.")])', "def names(folder: Path)")],
        {"help_explains"},
    ),
}


def bad(results: list[Result]) -> set[str]:
    return {result.check for result in results if result.bad}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_good_component_passes_every_check(examined: Callable, component: str) -> None:
    results = examined(component)
    assert {result.check: result.reason for result in results if result.bad} == {}
    passed = {result.check for result in results if result.outcome == "passed" and result.component == component}
    assert len(passed) >= (4 if component == "acme-look" else 9)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_check_that_a_mistake_breaks_is_named(examined: Callable, mistake: str) -> None:
    component, changes, expected, *others = MISTAKES[mistake]
    results = examined(component, *changes)
    named = bad(results) & expected if others else bad(results)
    assert named == expected, [(r.check, r.outcome, r.reason) for r in results if r.bad]
    assert all(result.reason for result in results if result.bad)
    assert all(result.next_step for result in results if result.outcome == "failed")


def test_every_check_of_a_component_is_broken_by_some_mistake() -> None:
    broken = set().union(*(mistake[2] for mistake in MISTAKES.values()))
    promised = {check.name for kind, check in all_checks() if kind != "plugin"}
    assert promised - broken == set()


@pytest.mark.parametrize("sign", [1, -1], ids=["light", "dark"])
def test_a_detector_of_light_or_of_dark_defects_alone_passes(examined: Callable, sign: int) -> None:
    distance = "        squared = ((queries[:, None] - self.bank_[None]) ** 2).sum(axis=2)\n"
    difference = f"np.maximum({sign} * (queries[:, None, :3] - self.bank_[None, :, :3]), 0)"
    one_way = f"        squared = ({difference} ** 2).sum(axis=2)\n"
    results = examined("acme_nearest", (distance, one_way))
    assert {result.check: result.reason for result in results if result.bad} == {}
