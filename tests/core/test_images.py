"""Images: every accepted form becomes the same RGB uint8 numbers, every bad one an error that names it and says what to do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano import images
from pyimgano.errors import ImageError
from pyimgano.images import SUFFIXES, ImageSource, from_array, load, read, resize

SIDE = 16
RED_GREEN_BLUE_ORANGE = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 120, 10))


def quarters(colours: tuple[tuple[int, ...], ...] = RED_GREEN_BLUE_ORANGE) -> NDArray[np.uint8]:
    """Return 16x16 pixels whose quarters have four colours: top left, top right, bottom left, bottom right."""
    tiles = [np.full((8, 8, 3), colour, np.uint8) for colour in colours]
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def corners(image: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """Return the colours inside the four quarters, in the order of `quarters`."""
    height, width = image.shape[:2]
    rows, columns = (height // 4, height - 1 - height // 4), (width // 4, width - 1 - width // 4)
    return [tuple(image[row, column].tolist()) for row in rows for column in columns]


def check_form(image: NDArray[np.uint8], shape: tuple[int, int]) -> None:
    assert image.dtype == np.uint8
    assert image.shape == (*shape, 3)
    assert image.flags.c_contiguous


def with_pixel(value: Any, dtype: Any) -> NDArray[Any]:
    return np.full((SIDE, SIDE), value, dtype)


# Arrays


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (0, np.uint8, 0),
        (7, np.uint8, 7),
        (255, np.uint8, 255),
        (False, np.bool_, 0),
        (True, np.bool_, 255),
        (0, np.uint16, 0),
        (128, np.uint16, 0),
        (129, np.uint16, 1),
        (257, np.uint16, 1),
        (32768, np.uint16, 128),
        (65535, np.uint16, 255),
        (0.0, np.float32, 0),
        (0.25, np.float32, 64),
        (0.5, np.float64, 128),
        (0.2, np.float16, 51),
        (1.0, np.float32, 255),
    ],
)
def test_every_pixel_type_becomes_the_same_number(given: Any, dtype: Any, expected: int) -> None:
    image = from_array(with_pixel(given, dtype))
    check_form(image, (SIDE, SIDE))
    assert (image == expected).all()


@given(st.integers(0, 65535))
def test_sixteen_bits_are_scaled_by_255_over_65535(value: int) -> None:
    assert from_array(np.full((8, 8), value, np.uint16))[0, 0, 0] == round(value * 255 / 65535)


@pytest.mark.parametrize("alpha", [0, 90, 255])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["hwc", "chw"])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_layout_and_channel_order_lead_to_the_same_colours(layout: Any, channels: Any, with_alpha: bool, alpha: int) -> None:
    array = quarters()[:, :, ::-1] if channels == "bgr" else quarters()
    if with_alpha:
        array = np.dstack([array, np.full((SIDE, SIDE), alpha, np.uint8)])
    if layout == "chw":
        array = np.moveaxis(array, -1, 0)
    image = from_array(array, layout=layout, channels=channels)
    check_form(image, (SIDE, SIDE))
    assert corners(image) == list(RED_GREEN_BLUE_ORANGE)


@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize(("dtype", "full"), [(np.uint16, 65535), (np.float32, 1.0), (np.float64, 1.0), (np.bool_, True)])
def test_colours_of_every_pixel_type_keep_their_channels(dtype: Any, full: float, with_alpha: bool) -> None:
    array = (quarters(((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))) > 0).astype(dtype) * dtype(full)
    if with_alpha:
        array = np.dstack([array, np.zeros((SIDE, SIDE), dtype)])
    image = from_array(array)
    check_form(image, (SIDE, SIDE))
    assert corners(image) == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


@pytest.mark.parametrize(("layout", "shape"), [("hwc", (9, 12)), ("hwc", (9, 12, 1)), ("chw", (9, 12)), ("chw", (1, 9, 12))])
def test_grey_arrays_become_three_equal_channels(layout: Any, shape: tuple[int, ...]) -> None:
    image = from_array(np.arange(108, dtype=np.uint8).reshape(shape), layout=layout)
    check_form(image, (9, 12))
    assert image[8, 11].tolist() == [107, 107, 107]
    assert image[1, 0].tolist() == [12, 12, 12]


def test_views_with_strange_strides_are_read_by_their_values() -> None:
    image = from_array(quarters()[::-1, ::-1])
    check_form(image, (SIDE, SIDE))
    assert corners(image) == list(RED_GREEN_BLUE_ORANGE)[::-1]
    assert corners(from_array(np.asfortranarray(quarters()))) == list(RED_GREEN_BLUE_ORANGE)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((SIDE, SIDE), np.int64), "dtype int64"),
        (np.zeros((SIDE, SIDE), np.int32), "dtype int32"),
        (np.zeros((SIDE, SIDE), np.complex64), "dtype complex64"),
        (np.full((SIDE, SIDE), "x"), "dtype <U1"),
        (np.zeros((SIDE, SIDE, 2), np.uint8), r"shape \(16, 16, 2\)"),
        (np.zeros((SIDE, SIDE, 5), np.uint8), r"shape \(16, 16, 5\)"),
        (np.zeros((3, SIDE, SIDE), np.uint8), r"shape \(3, 16, 16\)"),
        (np.zeros((1, SIDE, SIDE, 3), np.uint8), r"shape \(1, 16, 16, 3\)"),
        (np.zeros(SIDE, np.uint8), r"shape \(16,\)"),
        (np.zeros((0, 0, 3), np.uint8), "0x0 pixels is too small"),
        (np.zeros((1, 1), np.uint8), "1x1 pixels is too small"),
        (np.zeros((7, 100), np.uint8), "100x7 pixels is too small"),
        (with_pixel(np.nan, np.float32), "holds NaN or infinite"),
        (with_pixel(np.inf, np.float32), "holds NaN or infinite"),
        (with_pixel(1.5, np.float32), r"float values lie in \[1.5, 1.5\]"),
        (with_pixel(-0.1, np.float64), r"float values lie in \[-0.1, -0.1\]"),
    ],
)
def test_arrays_that_are_no_image_are_refused_with_advice(array: NDArray[Any], problem: str) -> None:
    with pytest.raises(ImageError, match=f"^array: {problem}") as caught:
        from_array(array)
    assert caught.value.next_step


def test_an_array_of_the_smallest_size_is_accepted() -> None:
    check_form(from_array(np.zeros((8, 8), np.uint8)), (8, 8))


# Files


@pytest.mark.parametrize(
    ("name", "settings", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.PNG", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {}, 0),
        ("a.tiff", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.webp", {"quality": 95}, 40),
        ("a.jpg", {"quality": 100, "subsampling": 0}, 4),
        ("a.jpeg", {"quality": 95, "progressive": True, "subsampling": 0}, 12),
    ],
)
def test_every_file_format_gives_the_colours_that_were_written(
    tmp_path: Path, name: str, settings: dict[str, Any], tolerance: int
) -> None:
    path = tmp_path / name
    assert path.suffix.lower() in SUFFIXES
    PillowImage.fromarray(quarters()).save(path, **settings)
    image = read(path)
    check_form(image, (SIDE, SIDE))
    assert np.abs(np.array(corners(image)) - np.array(RED_GREEN_BLUE_ORANGE)).max() <= tolerance


def test_a_file_and_its_array_are_the_same_image(tmp_path: Path) -> None:
    PillowImage.fromarray(quarters()).save(tmp_path / "a.png")
    for form in (tmp_path / "a.png", str(tmp_path / "a.png"), quarters()):
        assert np.array_equal(load(form), quarters())


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_files_of_16_bits_are_scaled_not_cut_off(tmp_path: Path, name: str) -> None:
    grey = np.tile(np.array([0, 129, 32768, 65535], np.uint16), (8, 4))
    PillowImage.fromarray(grey).save(tmp_path / name)
    assert read(tmp_path / name)[0, :4].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_a_big_endian_tiff_of_16_bits_reads_the_same(tmp_path: Path) -> None:
    grey = np.tile(np.array([0, 129, 32768, 65535], ">u2"), (8, 4))
    PillowImage.frombytes("I;16B", (16, 8), grey.tobytes()).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif")[0, :4, 0].tolist() == [0, 1, 128, 255]


def test_a_colour_png_of_16_bits_is_right_to_one_step(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((SIDE, SIDE, 3), (1000, 30000, 60000), np.uint16))
    colour = read(tmp_path / "a.png")[0, 0].astype(int)
    assert np.abs(colour - [233.46, 116.73, 3.89]).max() <= 1


def test_a_tiff_of_32_bit_integers_is_read_where_16_bits_hold_it_and_refused_where_not(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    PillowImage.fromarray(with_pixel(32768, np.int32)).save(path)
    assert (read(path) == 128).all()
    for outside in (65536, -1):
        PillowImage.fromarray(with_pixel(outside, np.int32)).save(path)
        with pytest.raises(ImageError, match="int32") as caught:
            read(path)
        assert str(path) in caught.value.problem


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    indexed = PillowImage.fromarray(np.arange(256, dtype=np.uint8).reshape(SIDE, SIDE) % 2)
    indexed.putpalette([200, 10, 30, 5, 250, 60] + [0] * 762)
    indexed.save(tmp_path / "a.png")
    assert PillowImage.open(tmp_path / "a.png").mode == "P"
    assert read(tmp_path / "a.png")[0, :2].tolist() == [[200, 10, 30], [5, 250, 60]]


def test_one_bit_files_are_black_and_white(tmp_path: Path) -> None:
    PillowImage.fromarray(np.eye(SIDE, dtype=bool)).save(tmp_path / "a.png")
    assert PillowImage.open(tmp_path / "a.png").mode == "1"
    assert read(tmp_path / "a.png")[0, :2].tolist() == [[255] * 3, [0] * 3]


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_alpha_is_dropped_and_not_blended(tmp_path: Path, name: str) -> None:
    clear = np.dstack([quarters(), np.full((SIDE, SIDE), 40, np.uint8)])
    PillowImage.fromarray(clear).save(tmp_path / name, **({"lossless": True, "exact": True} if name == "a.webp" else {}))
    assert corners(read(tmp_path / name)) == list(RED_GREEN_BLUE_ORANGE)


def test_grey_with_alpha_keeps_its_grey(tmp_path: Path) -> None:
    PillowImage.fromarray(np.dstack([with_pixel(77, np.uint8), with_pixel(3, np.uint8)])).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == 77).all()


def test_a_cmyk_jpeg_is_converted_and_not_inverted(tmp_path: Path) -> None:
    PillowImage.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read(tmp_path / "a.jpg")[0, 0].astype(int) - [255, 0, 0]).max() <= 8


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(1, "RGBO"), (2, "GROB"), (3, "OBGR"), (4, "BORG"), (5, "RBGO"), (6, "BROG"), (7, "OGBR"), (8, "GORB")],
)
def test_exif_orientation_turns_the_image_upright(tmp_path: Path, orientation: int, expected: str) -> None:
    wide = np.repeat(quarters(), 2, axis=1)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.fromarray(wide).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    image = read(tmp_path / "a.jpg")
    check_form(image, (32, 16) if orientation >= 5 else (16, 32))
    colours = dict(zip("RGBO", RED_GREEN_BLUE_ORANGE, strict=True))
    assert np.abs(np.array(corners(image)) - [colours[letter] for letter in expected]).max() <= 4


def test_a_float_tiff_between_0_and_1_is_scaled(tmp_path: Path) -> None:
    PillowImage.fromarray(np.tile(np.array([0, 0.25, 0.5, 1], np.float32), (8, 4))).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif")[0, :4, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("name", ["prüfteil ß.png", "部品-検査.png", "деталь.png", "a b%20#?.png", "🔩.png"])
def test_file_names_may_hold_any_letters(tmp_path: Path, name: str) -> None:
    PillowImage.fromarray(quarters()).save(tmp_path / name)
    assert np.array_equal(read(tmp_path / name), quarters())


def test_an_image_20000_pixels_wide_is_read_and_scaled(tmp_path: Path) -> None:
    strip = np.zeros((64, 20000, 3), np.uint8)
    strip[:, 10000:] = 200
    PillowImage.fromarray(strip).save(tmp_path / "a.png", compress_level=1)
    image = read(tmp_path / "a.png")
    check_form(image, (64, 20000))
    small = resize(image, (32, 100))
    assert (small[0, 49, 0], small[0, 50, 0]) == (0, 200)


# Files that are no image


def _truncated(suffix: str, share: float, **settings: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        PillowImage.fromarray(noise).save(path, format=suffix, **settings)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


BAD_FILES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "missing": ("a.png", lambda path: None, "no such image file"),
    "folder": ("a.png", lambda path: path.mkdir(), "no such image file"),
    "empty": ("a.png", lambda path: path.touch(), "is empty"),
    "text": ("a.png", lambda path: path.write_text("half a page of notes\n" * 40), "is not an image"),
    "png cut in half": ("a.png", _truncated("png", 0.5), "truncated"),
    "png without its last bytes": ("a.png", _truncated("png", 0.99), "truncated"),
    "jpeg cut in half": ("a.jpg", _truncated("jpeg", 0.5), "truncated"),
    "jpeg cut in its header": ("a.jpg", _truncated("jpeg", 0.05), "truncated"),
    "tiff cut in half": ("a.tif", _truncated("tiff", 0.5), "truncated"),
    "packed tiff cut in half": ("a.tif", _truncated("tiff", 0.5, compression="tiff_lzw"), "is not an image|truncated"),
    "bmp cut in half": ("a.bmp", _truncated("bmp", 0.5), "truncated"),
    "webp cut in half": ("a.webp", _truncated("webp", 0.5), "truncated"),
    "one pixel": ("a.png", lambda path: PillowImage.new("RGB", (1, 1)).save(path), "1x1 pixels is too small"),
    "thin": ("a.png", lambda path: PillowImage.new("RGB", (500, 7)).save(path), "500x7 pixels is too small"),
    "nan": ("a.tif", lambda path: PillowImage.fromarray(with_pixel(np.nan, np.float32)).save(path), "NaN or infinite"),
    "infinite": ("a.tif", lambda path: PillowImage.fromarray(with_pixel(np.inf, np.float32)).save(path), "NaN or infinite"),
    "float range": (
        "a.tif",
        lambda path: PillowImage.fromarray(with_pixel(255, np.float32)).save(path),
        r"lie in \[255, 255\]",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_an_image_error_that_names_it_and_what_to_do(tmp_path: Path, kind: str) -> None:
    name, make, problem = BAD_FILES[kind]
    path = tmp_path / name
    make(path)
    with pytest.raises(ImageError, match=problem) as caught:
        read(path)
    assert caught.value.problem.startswith(f"{path}: ")
    assert caught.value.next_step


def test_damage_in_the_middle_of_a_png_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _truncated("png", 1)(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ImageError, match="damaged"):
        read(path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read every file")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PillowImage.fromarray(quarters()).save(path)
    path.chmod(0)
    with pytest.raises(ImageError, match="may not be read by this user"):
        read(path)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000_000)
    path = tmp_path / "a.png"
    PillowImage.new("L", (1000, 1000)).save(path)
    check_form(read(path), (1000, 1000))
    PillowImage.new("L", (1000, 1001)).save(path)
    path.write_bytes(path.read_bytes()[:100])  # only the header is left: decoding would fail with another message
    with pytest.raises(ImageError, match="1000x1001 is more than 1 megapixels") as caught:
        read(path)
    assert str(path) in caught.value.problem
    assert caught.value.next_step
    with pytest.raises(ImageError, match="more than 1 megapixels"):
        from_array(np.zeros((1001, 1000), np.uint8))


# Resizing


def test_shrinking_averages_areas() -> None:
    specks = np.zeros((32, 64), np.uint8)
    specks[::4, ::4] = 160  # one pixel of every 4x4; sampling would miss them all
    small = resize(from_array(specks), (8, 16))
    check_form(small, (8, 16))
    assert (small == 10).all()


def test_growing_interpolates_between_pixels() -> None:
    step = np.repeat(np.array([0, 100], np.uint8), 8)[None, :].repeat(8, axis=0)
    large = resize(from_array(step), (16, 32))
    check_form(large, (16, 32))
    assert large[0, 13:19, 0].tolist() == [0, 0, 25, 75, 100, 100]


def test_resizing_to_the_same_size_changes_nothing() -> None:
    assert np.array_equal(resize(quarters(), (SIDE, SIDE)), quarters())


# Sources


class CountedPath:
    """A path that counts how often it is opened, and lets that take a while."""

    opened = 0
    seconds = 0.0
    lock = threading.Lock()

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        with CountedPath.lock:
            CountedPath.opened += 1
        time.sleep(CountedPath.seconds)
        return str(self.path)


@pytest.fixture
def numbered(tmp_path: Path) -> Iterator[list[CountedPath]]:
    """Give 40 files whose grey value is their number; the first take longest to decode."""
    CountedPath.opened, CountedPath.seconds = 0, 0.0
    paths = []
    for number in range(40):
        side = 400 if number < 4 else 8
        PillowImage.new("L", (side, side), number).save(tmp_path / f"{number}.png")
        paths.append(CountedPath(tmp_path / f"{number}.png"))
    return paths


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_source_keeps_the_order_and_can_be_iterated_again(numbered: list[CountedPath], workers: int) -> None:
    source = ImageSource(numbered, workers=workers, ahead=5)
    assert len(source) == 40
    for _ in range(2):
        assert [int(image[0, 0, 0]) for image in source] == list(range(40))


def test_a_source_takes_paths_and_arrays_mixed(numbered: list[CountedPath]) -> None:
    source = ImageSource([numbered[7], with_pixel(200, np.uint8), str(numbered[9].path)])
    assert [int(image[0, 0, 0]) for image in source] == [7, 200, 9]


def test_an_empty_source_yields_nothing() -> None:
    assert list(ImageSource([])) == []
    assert list(ImageSource([]).batches(4)) == []


def test_batches_are_full_but_for_the_last(numbered: list[CountedPath]) -> None:
    batches = list(ImageSource(numbered).batches(16))
    assert [len(batch) for batch in batches] == [16, 16, 8]
    assert int(batches[2][0][0, 0, 0]) == 32


def test_a_source_opens_nothing_before_it_is_iterated(numbered: list[CountedPath]) -> None:
    iter(ImageSource(numbered))
    assert CountedPath.opened == 0


@pytest.mark.parametrize(("workers", "ahead"), [(0, 16), (2, 3), (3, 8)])
def test_a_source_reads_no_further_ahead_than_it_may(numbered: list[CountedPath], workers: int, ahead: int) -> None:
    most = ahead + workers + 1 if workers else 1
    for consumed, _ in enumerate(ImageSource(numbered, workers=workers, ahead=ahead)):
        time.sleep(0.005)  # the threads would run away here
        assert CountedPath.opened - consumed <= most
    assert CountedPath.opened == 40


def test_leaving_a_source_early_neither_hangs_nor_reads_the_rest(numbered: list[CountedPath]) -> None:
    CountedPath.seconds = 0.02
    iterator = iter(ImageSource(numbered, workers=2, ahead=39))
    next(iterator)
    iterator.close()
    opened = CountedPath.opened
    assert opened <= 10
    time.sleep(0.05)
    assert CountedPath.opened == opened
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_file_in_a_source_is_named_after_the_good_ones_before_it(numbered: list[CountedPath], workers: int) -> None:
    numbered[3].path.write_text("no image")
    iterator = iter(ImageSource(numbered, workers=workers))
    assert [int(next(iterator)[0, 0, 0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ImageError, match=r"3\.png: is not an image"):
        next(iterator)


@pytest.mark.parametrize("workers", [0, 2])
def test_outcomes_carry_on_after_a_bad_file(numbered: list[CountedPath], workers: int) -> None:
    numbered[3].path.unlink()
    outcomes = list(ImageSource(numbered, workers=workers).outcomes())
    assert [item for item, _ in outcomes] == numbered
    errors = {place: str(outcome) for place, (_, outcome) in enumerate(outcomes) if isinstance(outcome, ImageError)}
    assert list(errors) == [3]
    assert str(numbered[3].path) in errors[3]
