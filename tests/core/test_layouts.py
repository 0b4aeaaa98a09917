"""Layouts of public datasets, as their archives unpack: what is read, how masks are read, and how mistakes are answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from layouts import SIZE, image, mask, spot
from PIL import Image as PillowImage

import pyimgano
from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.masks import read_defects_config, read_loco_channels, read_mask
from pyimgano.datasets.splits import split_groups, split_train_calibration
from pyimgano.errors import CalibrationError, DatasetError, ImageError, PyimganoError
from pyimgano.registry import load_benchmark_split, load_dataset

HEIGHT_WIDTH = SIZE[::-1]


def refused(name: str, root: Path, **options: Any) -> PyimganoError:
    """Return the error that loading gives; it has a next step."""
    with pytest.raises((DatasetError, ImageError)) as caught:
        load_dataset(name, root, **options).load()
    assert caught.value.next_step
    return caught.value


def names(samples: tuple[Sample, ...]) -> list[str]:
    return [sample.path.name for sample in samples]


def truth(sample: Sample) -> np.ndarray:
    assert sample.mask_path is not None
    return read_mask(sample.mask_path, HEIGHT_WIDTH)


# MVTec AD


@pytest.mark.parametrize("name", ["mvtec", "mvtec_ad"])
def test_mvtec_is_read_in_natural_order_and_files_beside_folders_are_ignored(tmp_path: Path, name: str) -> None:
    split = load_dataset(name, layouts.mvtec(tmp_path), category="bottle").load()
    assert names(split.train) == [f"{number}.png" for number in range(12)]
    assert [sample.defect_type for sample in split.test] == ["broken_large"] * 2 + ["contamination"] * 2 + ["good"]
    assert [sample.label for sample in split.test] == [1, 1, 1, 1, 0]
    assert split.test[0].mask_path == tmp_path / "bottle/ground_truth/broken_large/000_mask.png"
    assert split.test[4].mask_path is None


def test_custom_is_another_name_of_folder(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path) / "bottle"
    assert load_dataset("custom", root).load() == load_dataset("folder", root).load()


def test_categories_are_those_that_are_there(tmp_path: Path) -> None:
    dataset = load_dataset("mvtec", layouts.mvtec(tmp_path))
    (tmp_path / "papers").mkdir()
    assert dataset.categories() == ["bottle", "grid"]
    assert len(dataset.CATEGORIES) == 15
    assert {"metal_nut", "zipper"} < set(dataset.CATEGORIES)


def test_a_wrong_category_lists_those_that_exist(tmp_path: Path) -> None:
    error = refused("mvtec", layouts.mvtec(tmp_path), category="botle")
    assert error.problem == f"{tmp_path} has no category 'botle'"
    assert error.next_step == f"did you mean bottle? {tmp_path} has: bottle, grid"


def test_a_category_may_not_lead_out_of_the_root(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path / "inner")
    layouts.mvtec(tmp_path, "bottle")
    assert "has no category '../bottle'" in refused("mvtec", tmp_path / "inner", category="../bottle").problem


def test_the_category_may_be_left_out_where_there_is_one_only(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path / "one", "screw")
    assert len(load_dataset("mvtec", tmp_path / "one").load().train) == 12
    layouts.mvtec(tmp_path / "two")
    error = refused("mvtec", tmp_path / "two")
    assert "holds 2 categories, and none was chosen" in error.problem
    assert error.next_step.endswith("bottle, grid")


@pytest.mark.parametrize("inside", ["bottle", "bottle/train", "bottle/train/good", "bottle/test"])
@pytest.mark.parametrize("options", [{}, {"category": "bottle"}])
def test_a_root_inside_a_category_is_told_the_right_one(tmp_path: Path, inside: str, options: dict[str, str]) -> None:
    layouts.mvtec(tmp_path)
    error = refused("mvtec", tmp_path / inside, **options)
    assert f"did you mean root={tmp_path} and category=bottle?" in error.next_step


def test_a_root_above_the_right_one_is_told_so(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path / "data")
    assert refused("mvtec", tmp_path).next_step == f"did you mean root={tmp_path / 'data'}?"


def test_a_root_without_categories_says_what_is_looked_for(tmp_path: Path) -> None:
    error = refused("btad", tmp_path)
    assert error.problem == f"{tmp_path} holds no category with a folder train/ok"
    assert "01, 02" in error.next_step


def test_a_defective_image_without_mask_is_refused_and_the_expected_path_named(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path)
    gone = tmp_path / "bottle/ground_truth/broken_large/001_mask.png"
    gone.unlink()
    assert str(gone) in refused("mvtec", tmp_path, category="bottle").problem


@pytest.mark.parametrize("name", ["000_mask.PNG", "000.bmp", "000_mask.tif", "000.TIFF"])
def test_masks_are_found_whatever_their_suffix(tmp_path: Path, name: str) -> None:
    folder = layouts.mvtec(tmp_path, "bottle") / "bottle/ground_truth/broken_large"
    (folder / "000_mask.png").unlink()
    mask(folder / name)
    assert (truth(load_dataset("mvtec", tmp_path).load().test[0]) == (spot() > 0)).all()


def test_defective_images_that_differ_in_the_suffix_only_are_refused(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path, "bottle")
    image(tmp_path / "bottle/test/broken_large/000.bmp")
    error = refused("mvtec", tmp_path)
    assert "000.bmp" in error.problem
    assert "000.png" in error.problem


# VisA


def test_raw_and_prepared_visa_give_the_same_split(tmp_path: Path) -> None:
    raw = load_dataset("visa", layouts.visa_raw(tmp_path / "raw"), category="candle").load()
    prepared = load_dataset("visa", layouts.visa_prepared(tmp_path / "prepared")).load()
    for split in (raw, prepared):
        assert names(split.train) == ["0000.JPG", "0001.JPG", "0002.JPG"]
        assert {sample.path.name: (sample.label, sample.defect_type) for sample in split.test} == {
            "0003.JPG": (0, "good"),
            "000.JPG": (1, "bad"),
            "001.JPG": (1, "bad"),
        }
        for sample in split.test:
            assert (sample.mask_path is None) is (sample.label == 0)
            if sample.label:
                assert (truth(sample) == (spot() > 0)).all()


def test_prepared_visa_is_found_above_and_below_1cls(tmp_path: Path) -> None:
    layouts.visa_prepared(tmp_path)
    assert load_dataset("visa", tmp_path).load() == load_dataset("visa", tmp_path / "1cls").load()


def test_raw_visa_without_its_table_says_where_to_get_it(tmp_path: Path) -> None:
    (layouts.visa_raw(tmp_path) / "split_csv/1cls.csv").unlink()
    error = refused("visa", tmp_path, category="pcb1")
    assert error.problem == f"{tmp_path} has no split_csv/1cls.csv"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,", "is defective but the cell mask is empty"),
        ("candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,no.png", "has no mask"),
        ("candle,train,normal,candle/none.JPG,", "none.JPG does not exist"),
        ("candle,val,normal,candle/none.JPG,", "unknown split or label val, normal"),
        ("candle,train", "has no image, label"),
        ("candle,train,normal,a.JPG,b.png,c", "has more cells than the header"),
    ],
)
def test_a_faulty_line_of_the_visa_table_is_named_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    table = layouts.visa_raw(tmp_path) / "split_csv/1cls.csv"
    count = len(table.read_text(encoding="utf-8").splitlines())
    with table.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    error = refused("visa", tmp_path, category="candle")
    assert error.problem.startswith(f"{table}:{count + 1}: ")
    assert says in error.problem


# BTAD


@pytest.mark.parametrize(
    ("category", "suffixes"), [("01", (".bmp", ".png")), ("02", (".png", ".png")), ("03", (".bmp", ".bmp"))]
)
def test_btad_masks_are_found_by_stem(tmp_path: Path, category: str, suffixes: tuple[str, str]) -> None:
    split = load_dataset("btad", layouts.btad(tmp_path), category=category).load()
    assert (len(split.train), [sample.label for sample in split.test]) == (3, [1, 0])
    defective, good = split.test
    assert defective.mask_path is not None
    assert (defective.path.suffix, defective.mask_path.suffix) == suffixes
    assert (truth(defective) == (spot() > 0)).all()
    assert (defective.defect_type, good.defect_type) == ("ko", "good")


def test_a_ko_image_without_mask_is_refused(tmp_path: Path) -> None:
    (layouts.btad(tmp_path) / "03/ground_truth/ko/0001.bmp").unlink()
    assert str(tmp_path / "03/ground_truth/ko/0001.png") in refused("btad", tmp_path, category="03").problem


# MVTec LOCO


def test_loco_masks_are_folders_whose_every_value_counts(tmp_path: Path) -> None:
    split = load_dataset("mvtec_loco", layouts.loco(tmp_path)).load()
    logical = next(sample for sample in split.test if sample.defect_type == "logical_anomalies")
    assert logical.mask_path == tmp_path / "pushpins/ground_truth/logical_anomalies/000"
    expected = spot() > 0
    expected[12:, :3] = True
    assert (truth(logical) == expected).all()
    assert truth(logical).sum() == 40 + 12


def test_loco_validation_images_are_the_calibration_images(tmp_path: Path) -> None:
    split = load_benchmark_split("mvtec_loco", layouts.loco(tmp_path), "pushpins", calibration_fraction=0.9)
    assert [len(part) for part in (split.train, split.calibration, split.test)] == [3, 2, 3]
    assert {sample.path.parent for sample in split.calibration} == {tmp_path / "pushpins/validation/good"}


def test_loco_channels_keep_value_and_shape_of_every_defect(tmp_path: Path) -> None:
    base = layouts.loco(tmp_path) / "pushpins"
    folder = base / "ground_truth/logical_anomalies/000"
    mask(folder / "002.png", spot(7))
    channels = read_loco_channels(folder)
    assert [value for value, _ in channels] == [7, 255, 7]
    assert [int(marked.sum()) for _, marked in channels] == [40, 12, 40]
    config = load_dataset("mvtec_loco", tmp_path).defects_config()
    assert {value: config[value].defect_name for value, _ in channels} == {7: "extra_pin", 255: "missing_pin"}
    assert (config[7].saturation_threshold, config[7].relative_saturation) == (40, False)


@pytest.mark.parametrize("values", [0, (7, 255)])
def test_a_loco_channel_of_no_value_or_two_is_refused(tmp_path: Path, values: Any) -> None:
    pixels = np.zeros(HEIGHT_WIDTH, np.uint8)
    pixels[0, :2] = values
    path = mask(tmp_path / "000/000.png", pixels)
    with pytest.raises(DatasetError, match="values besides 0") as caught:
        read_loco_channels(path.parent)
    assert str(path) in caught.value.problem


@pytest.mark.parametrize(
    "text", ["", "{}", '[{"defect_name": "a"}]', json.dumps([{**layouts.LOCO_DEFECTS[0], "pixel_value": 0}])]
)
def test_a_damaged_defects_config_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "defects_config.json"
    with pytest.raises(DatasetError, match=r"defects_config.json cannot be read"):
        read_defects_config(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_defects_config(path)
    assert str(path) in caught.value.problem


def test_loco_takes_anomalies_one_folder_deeper_and_masks_that_are_files(tmp_path: Path) -> None:
    base = layouts.loco(tmp_path) / "pushpins"
    image(base / "test/logical_anomalies/two_pins/000.png")
    mask(base / "ground_truth/logical_anomalies/two_pins/000.png")
    image(base / "test/structural_anomalies/bent/000.png")
    mask(base / "ground_truth/structural_anomalies/bent/000/000.png", spot(3))
    image(base / "test/structural_anomalies/001.png")
    mask(base / "ground_truth/structural_anomalies/001_mask.png", spot(3))
    split = load_dataset("mvtec_loco", tmp_path).load()
    found = {(s.defect_type, s.meta.get("defect"), s.path.stem): int(truth(s).sum()) for s in split.test if s.label}
    assert found == {
        ("logical_anomalies", None, "000"): 52,
        ("logical_anomalies", "two_pins", "000"): 40,
        ("structural_anomalies", None, "000"): 40,
        ("structural_anomalies", None, "001"): 40,
        ("structural_anomalies", "bent", "000"): 40,
    }


def test_a_loco_image_without_masks_is_refused_and_never_given_an_empty_one(tmp_path: Path) -> None:
    folder = layouts.loco(tmp_path) / "pushpins/ground_truth/structural_anomalies/000"
    (folder / "000.png").unlink()
    assert str(folder) in refused("mvtec_loco", tmp_path).problem


# MVTec AD 2


def test_ad2_has_lighting_and_groups_and_its_own_calibration_images(tmp_path: Path) -> None:
    split = load_dataset("mvtec_ad2", layouts.ad2(tmp_path)).load()
    assert [len(part) for part in (split.train, split.calibration, split.test)] == [3, 1, 8]
    bad = [sample for sample in split.test if sample.label]
    assert [sample.meta["lighting"] for sample in bad] == ["overexposed", "regular", "shift_1", "underexposed"]
    assert len({sample.group for sample in bad}) == 1
    assert len({sample.group for sample in (*split.train, *split.calibration, *split.test)}) == 3 + 1 + 2
    assert all((truth(sample) == (spot() > 0)).all() for sample in bad)


@pytest.mark.parametrize(("split", "lighting"), [("test_private", "regular"), ("test_private_mixed", "mixed")])
def test_private_ad2_images_have_no_labels(tmp_path: Path, split: str, lighting: str) -> None:
    loaded = load_benchmark_split("mvtec_ad2", layouts.ad2(tmp_path), "can", split=split)
    assert [(sample.label, sample.mask_path, sample.meta["lighting"]) for sample in loaded.test] == [(None, None, lighting)] * 2
    assert {sample.path.parent.name for sample in loaded.test} == {split}


def test_an_ad2_split_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    layouts.ad2(tmp_path)
    (tmp_path / "can/test_private").rename(tmp_path / "private")
    error = refused("mvtec_ad2", tmp_path, split="test_private")
    assert "has no folder test_private" in error.problem
    assert "test_private_mixed, test_public" in error.next_step


def test_the_public_names_are_the_classes(tmp_path: Path) -> None:
    for name, layout, build in (
        ("MVTecLOCODataset", "mvtec_loco", layouts.loco),
        ("MVTecAD2Dataset", "mvtec_ad2", layouts.ad2),
    ):
        dataset = load_dataset(layout, build(tmp_path / layout))
        assert type(dataset) is getattr(pyimgano, name)
        assert set(dataset.categories()) < set(dataset.CATEGORIES)
        split = dataset.load()
        assert dataset.get_train_paths() == [sample.path for sample in split.train]
        paths, labels, mask_paths = dataset.get_test_paths()
        assert len(paths) == len(labels) == len(mask_paths) == len(split.test)
        assert [path is None for path in mask_paths] == [label == 0 for label in labels]


# Masks


def save(path: Path, picture: PillowImage.Image, **settings: Any) -> Path:
    picture.save(path, **settings)
    return path


def palette() -> PillowImage.Image:
    """Return a palette mask whose index 0 is white, so that colours mislead."""
    picture = PillowImage.fromarray(spot(2)).convert("P")
    picture.putdata(spot(2).ravel().tolist())
    picture.putpalette([255, 255, 255, 255, 0, 0, 0, 0, 0])
    return picture


def opaque(background: int) -> PillowImage.Image:
    pixels = np.zeros((*HEIGHT_WIDTH, 4), np.uint8)
    pixels[..., 3] = background
    pixels[layouts.SPOT] = (255, 0, 0, 255)
    return PillowImage.fromarray(pixels)


MASKS: dict[str, Callable[[], PillowImage.Image]] = {
    "ids": lambda: PillowImage.fromarray(spot(1)),
    "16 bits, small": lambda: PillowImage.fromarray(spot(1, "uint16")),
    "16 bits, only the high byte": lambda: PillowImage.fromarray(spot(256, "uint16")),
    "1 bit": lambda: PillowImage.fromarray(spot()).convert("1"),
    "palette": palette,
    "RGB": lambda: PillowImage.fromarray(spot()).convert("RGB"),
    "blue": lambda: PillowImage.merge("RGB", [PillowImage.fromarray(spot(value)) for value in (0, 0, 1)]),
    "RGBA, opaque": lambda: opaque(255),
    "RGBA, transparent": lambda: opaque(0),
    "grey with alpha": lambda: PillowImage.fromarray(spot()).convert("LA"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_every_value_but_zero_is_a_defect(tmp_path: Path, kind: str) -> None:
    marked = read_mask(save(tmp_path / "m.png", MASKS[kind]()), HEIGHT_WIDTH)
    assert marked.dtype == np.bool_
    assert (marked == (spot() > 0)).all()


@pytest.mark.parametrize("suffix", ["bmp", "tif", "PNG"])
def test_other_formats_are_read_by_the_same_rule(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"m.{suffix}", PillowImage.fromarray(spot(3)))
    assert (read_mask(path, HEIGHT_WIDTH) == (spot() > 0)).all()


def test_ringing_around_the_marks_of_a_jpeg_is_no_defect(tmp_path: Path) -> None:
    path = save(tmp_path / "m.jpg", PillowImage.fromarray(spot()), quality=30)
    with PillowImage.open(path) as picture:
        faint = np.asarray(picture)
    assert ((faint > 0) & (spot() == 0)).any(), "this file does not ring"
    assert (read_mask(path, HEIGHT_WIDTH) == (spot() > 0)).all()


def test_a_mask_of_another_size_is_refused_and_never_resized(tmp_path: Path) -> None:
    path = mask(tmp_path / "m.png")
    with pytest.raises(DatasetError) as caught:
        read_mask(path, SIZE)
    assert caught.value.problem == f"{path} is 24x16 pixels but its image is 16x24"


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 20])
def test_a_damaged_mask_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.png"
    with pytest.raises(ImageError, match="no such mask"):
        read_mask(path, HEIGHT_WIDTH)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="not a readable mask") as caught:
        read_mask(path, HEIGHT_WIDTH)
    assert str(path) in caught.value.problem


def test_an_empty_folder_of_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no image files"):
        read_mask(tmp_path, HEIGHT_WIDTH)


# Manifests


def manifest(folder: Path, rows: list[dict[str, Any]], name: str = "manifest.jsonl") -> Path:
    """Write a manifest and the images and masks that it lists."""
    for row in rows:
        if "image_path" in row:
            image(folder / row["image_path"])
        if "mask_path" in row:
            mask(folder / row["mask_path"])
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


GOOD_ROWS = [{"image_path": f"img/{number}.png", "label": 0, "split": "train"} for number in range(3)]


def test_a_manifest_is_read_relative_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        *GOOD_ROWS,
        {"image_path": "img/v.png", "split": "val"},
        {
            "image_path": "bad/x.png",
            "label": 1,
            "split": "test",
            "mask_path": "bad/x_mask.png",
            "meta": {"line": 3},
            "group_id": 9,
        },
        {"image_path": "bad/y.png", "split": "test"},
    ]
    monkeypatch.chdir(tmp_path)
    split = load_dataset("manifest", manifest(tmp_path / "data", rows).relative_to(tmp_path)).load()
    assert names(split.train) == ["0.png", "1.png", "2.png"]
    assert names(split.calibration) == ["v.png"]
    defective, withheld = split.test
    assert (defective.label, defective.defect_type, defective.group, defective.meta) == (1, "defective", "9", {"line": 3})
    assert (truth(defective) == (spot() > 0)).all()
    assert (withheld.label, withheld.mask_path) == (None, None)


def test_the_condition_of_a_row_is_in_its_meta_whatever_the_format(tmp_path: Path) -> None:
    taken = [{**row, "condition": "day", "meta": {"line": 3}} for row in GOOD_ROWS[:2]]
    rows = [*taken, GOOD_ROWS[2], {"image_path": "n.png", "split": "test", "label": 0, "condition": 7}]
    split = load_dataset("manifest", manifest(tmp_path, rows)).load()
    assert [dict(sample.meta) for sample in split.train] == [{"line": 3, "condition": "day"}] * 2 + [{}]
    assert split.test[0].meta == {"condition": "7"}
    table = tmp_path / "parts.csv"
    table.write_text("image_path,split,label,condition\nimg/0.png,train,0,day\nn.png,test,0,night\n", encoding="utf-8")
    split = load_dataset("manifest", table).load()
    assert [sample.meta["condition"] for sample in (*split.train, *split.test)] == ["day", "night"]


def test_a_csv_says_the_same_as_json_lines(tmp_path: Path) -> None:
    bad = {"image_path": "b.png", "label": 1, "split": "test", "mask_path": "m.png", "meta": {"a": 1}, "category": "01"}
    rows = [*({**row, "category": "01"} for row in GOOD_ROWS), bad]
    lines = manifest(tmp_path, rows)
    table = tmp_path / "parts.csv"
    cells = "".join(f"{row['image_path']},0,train,,,01\n" for row in GOOD_ROWS)
    table.write_bytes(
        b"\xef\xbb\xbfimage_path,label,split,mask_path,meta,category\r\n"
        + (cells + 'b.png,1,test,m.png,"{""a"": 1}",01\n').encode()
    )
    assert load_dataset("manifest", table).load() == load_dataset("manifest", lines).load()
    assert load_dataset("manifest", tmp_path).load() == load_dataset("manifest", lines).load()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"label": 0}', "image_path: is required"),
        ('{"image_path": "img/0.png", "lable": 0}', "did you mean label?"),
        ('{"image_path": "new.png", "label": 2}', "label: must be at most 1 (got 2)"),
        ('{"image_path": "new.png", "split": "tset"}', "split: must be 'train', 'calibration' or 'test'"),
        ('{"image_path": "new.png", "split": "train"}', "new.png does not exist"),
        (
            '{"image_path": "only.png", "split": "train", "condition": "day", "meta": {"condition": "night"}}',
            "has a condition, and another one in its meta",
        ),
        ('{"image_path": "img/0.png", "split": "train"}', "is listed in"),
        ('{"image_path": "only.png"}', "has neither label nor split"),
        ('{"image_path": "only.png", "split": "test", "mask_path": "m.png"}', "has a mask_path but no label"),
        ('{"image_path": "only.png", "label": 1, "mask_path": "m.png"}', "m.png does not exist"),
        ('{"image_path": "only.png", "label": 1, "split": "train"}', "is defective but in train"),
    ],
)
def test_a_faulty_line_of_a_manifest_is_named_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    path = manifest(tmp_path, GOOD_ROWS)
    image(tmp_path / "only.png")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + line + "\n")
    error = refused("manifest", path)
    assert error.problem.startswith(f"{path}:5")
    assert says in error.problem


def test_a_group_in_two_splits_is_refused_with_both_lines(tmp_path: Path) -> None:
    rows = [*GOOD_ROWS, {"image_path": "a.png", "split": "train", "group_id": "part 7"}]
    path = manifest(tmp_path, [*rows, {"image_path": "b.png", "split": "test", "label": 0, "group_id": "part 7"}])
    problem = refused("manifest", path).problem
    assert problem == f"{path}:5: group part 7 is in test, but in train in {path}:4"


def test_rows_without_split_are_held_out_by_group_and_seed(tmp_path: Path) -> None:
    rows = [{"image_path": f"{number}.png", "label": 0, "group_id": f"part {number // 3}"} for number in range(30)]
    rows += [{"image_path": "scratched.png", "label": 1, "group_id": "part 0"}, {"image_path": "bent.png", "label": 1}]
    path = manifest(tmp_path, rows)

    def groups(**options: Any) -> tuple[set[str | None], set[str | None]]:
        split = load_dataset("manifest", path, **options).load()
        assert len(split.train) + len(split.test) == 32
        assert {sample.label for sample in split.train} == {0}
        return {sample.group for sample in split.train}, {sample.group for sample in split.test}

    train, test = groups()
    assert not train & test
    assert {"part 0", None} < test
    assert len(test) == 2 + 2
    assert groups() == (train, test)
    assert len({tuple(sorted(map(str, groups(seed=seed)[1]))) for seed in range(5)}) > 1
    assert len(groups(test_fraction=0.5)[1]) == 2 + 4


def test_rows_without_split_follow_their_group(tmp_path: Path) -> None:
    rows = [*GOOD_ROWS, {"image_path": "a.png", "split": "test", "label": 0, "group_id": "g"}]
    split = load_dataset("manifest", manifest(tmp_path, [*rows, {"image_path": "b.png", "label": 0, "group_id": "g"}])).load()
    assert (names(split.train), names(split.test)) == (["0.png", "1.png", "2.png"], ["a.png", "b.png"])


def test_masks_of_some_defective_rows_only_are_refused(tmp_path: Path) -> None:
    rows = [*GOOD_ROWS, {"image_path": "a.png", "label": 1, "mask_path": "m.png"}, {"image_path": "b.png", "label": 1}]
    path = manifest(tmp_path, rows)
    assert refused("manifest", path).problem == f"{path}:5: {tmp_path / 'b.png'} is defective but has no mask_path"


def test_a_manifest_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, [*GOOD_ROWS, {"image_path": "a.png", "label": 1, "mask_path": "m.png"}])
    image(tmp_path / "m.png", (16, 24), grey=True)
    assert refused("manifest", path).problem == f"{tmp_path / 'm.png'} is 16x24 pixels but its image is 24x16"


def test_a_manifest_of_several_categories_needs_a_choice(tmp_path: Path) -> None:
    rows = [{"image_path": f"{kind}.png", "category": kind, "split": "train"} for kind in ("nut", "bolt")]
    path = manifest(tmp_path, rows)
    assert load_dataset("manifest", path).categories() == ["bolt", "nut"]
    assert refused("manifest", path).next_step.endswith("has: bolt, nut")
    assert refused("manifest", path, category="nuts").next_step.startswith("did you mean nut?")
    assert names(load_dataset("manifest", path, category="nut").load().train) == ["nut.png"]


def test_faults_of_other_categories_do_not_stand_in_the_way(tmp_path: Path) -> None:
    path = manifest(tmp_path, [{"image_path": f"{kind}.png", "category": kind, "split": "train"} for kind in ("nut", "bolt")])
    (tmp_path / "bolt.png").unlink()
    assert names(load_dataset("manifest", path, category="nut").load().train) == ["nut.png"]
    assert "bolt.png does not exist" in refused("manifest", path, category="bolt").problem


def test_a_row_without_category_among_rows_with_one_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, [{**GOOD_ROWS[0], "category": "nut"}, GOOD_ROWS[1]])
    assert refused("manifest", path).problem == f"{path}:2: has no category, though other lines have"


def test_a_manifest_without_good_rows_says_so(tmp_path: Path) -> None:
    path = manifest(tmp_path, [{"image_path": "a.png", "label": 1}])
    assert refused("manifest", path).problem == f"{path} lists no images to learn from"


def test_a_root_without_manifest_or_with_two_says_so(tmp_path: Path) -> None:
    assert "is no manifest and holds none" in refused("manifest", tmp_path).problem
    for name in ("manifest.jsonl", "manifest.csv"):
        manifest(tmp_path, GOOD_ROWS, name)
    assert "holds manifest.jsonl and manifest.csv" in refused("manifest", tmp_path).problem


# Splits


def test_groups_stay_together_when_calibration_images_are_held_out() -> None:
    samples = tuple(Sample(Path(f"{number}.png"), group=f"part {number // 4}") for number in range(40))
    split = DatasetSplit(samples).with_calibration(0.3, seed=1)
    assert not {sample.group for sample in split.train} & {sample.group for sample in split.calibration}
    assert (len(split.train), len(split.calibration)) == (28, 12)


def test_without_groups_the_split_is_that_of_single_images() -> None:
    paths = [str(number) for number in range(17)]
    for seed in range(3):
        assert split_groups(paths, [None] * 17, 0.3, seed) == split_train_calibration(paths, 0.3, seed)


def test_one_group_alone_cannot_be_split() -> None:
    with pytest.raises(CalibrationError, match="all 3 images belong to the group 'a'"):
        split_groups([1, 2, 3], ["a"] * 3)


def test_a_benchmark_split_holds_out_by_fraction_and_seed(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path, "bottle")
    first = load_benchmark_split("mvtec", tmp_path, calibration_fraction=0.25, seed=3)
    assert (len(first.train), len(first.calibration), len(first.test)) == (9, 3, 5)
    assert load_benchmark_split("mvtec", tmp_path, calibration_fraction=0.25, seed=3) == first
    assert load_benchmark_split("mvtec", tmp_path, calibration_fraction=0.25, seed=4) != first


def test_the_command_line_trains_on_a_category(cli: Callable, tmp_path: Path) -> None:
    root, run = layouts.mvtec(tmp_path / "data"), tmp_path / "run"
    line = ["train", "--dataset", "mvtec", "--root", root, "-d", "category=bottle", "--model", "vision_filterbank"]
    done = cli(*line, "--resize", "32", "32", "--output", run)
    assert done.code == 0, done.err
    images = json.loads((run / "report.json").read_text(encoding="utf-8"))["images"]
    assert images == {"train": 10, "calibration": 2, "test": 5, "good": 1, "defective": 4}
