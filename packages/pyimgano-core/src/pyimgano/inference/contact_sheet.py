"""The images of the highest scores on one sheet: a PNG to print, or a page that also fits a phone."""

from __future__ import annotations

import base64
import heapq
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from pyimgano.calibration import PixelThreshold
from pyimgano.defects.labels import INK, RED
from pyimgano.defects.overlays import GREY, draw_heat, encode_jpeg
from pyimgano.errors import OutputError
from pyimgano.images import Image
from pyimgano.inference.result import InferenceResult
from pyimgano.reporting.files import write_whole

COUNT = 24
SIDE = 320
SUFFIXES = (".png", ".html")
_TEXT, _GAP, _LINE, _HEAD = 15, 14, 20, 44
_GREEN = (26, 115, 54)


@dataclass(frozen=True)
class Entry:
    """One image of the sheet; `picture` is a JPEG file, or None while there is none."""

    index: int
    input: str
    score: float
    label: int | None
    picture: bytes | None = None

    @property
    def name(self) -> str:
        """Return the file's name with its folder's, because many folders hold a ``000.png``."""
        path = Path(self.input)
        return f"{path.parent.name}/{path.name}" if path.parent.name else path.name

    @property
    def verdict(self) -> str:
        """Return the label in words."""
        return {None: "no label", 0: "good", 1: "DEFECT"}.get(self.label, f"rejected ({self.label})")

    @property
    def colour(self) -> tuple[int, int, int]:
        """Return the colour of the verdict, RGB."""
        return {0: _GREEN, 1: RED}.get(-1 if self.label is None else self.label, INK)


class ContactSheet:
    """Keeps small pictures of the highest scores, however many results there are, and lays them out in the end.

    Parameters
    ----------
    path
        The file: ``.png`` or ``.html``.
    count
        How many images it shows.
    threshold
        Of pixels, for heat and outlines.

    Raises
    ------
    OutputError
        For another kind of file.
    """

    def __init__(self, path: Path, count: int = COUNT, threshold: PixelThreshold | None = None) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise OutputError(
                f"--contact-sheet {path} is neither a .png nor a .html file", "name one that ends in .html or .png"
            )
        self.path = path
        self._count = count
        self._threshold = threshold
        self._heap: list[tuple[float, int, Entry]] = []
        self._seen = 0

    def add(self, result: InferenceResult) -> None:
        """Take a result; its picture is only drawn if its score is among the highest so far."""
        if result.score is None:
            return
        self._seen += 1
        entry = Entry(result.index, str(result.path or result.name), result.score, result.label)
        if self._is_high(entry):
            self._push(replace(entry, picture=self._picture(result)))

    def expect(self, index: int, given: str, score: float, label: int | None) -> None:
        """Take a score of an earlier run, whose picture is still to come."""
        self._seen += 1
        entry = Entry(index, given, score, label)
        if self._is_high(entry):
            self._push(entry)

    def without_picture(self) -> list[Entry]:
        """Return the entries whose picture is still to come."""
        return [entry for entry in self.entries() if entry.picture is None]

    def fill(self, result: InferenceResult) -> None:
        """Put in the picture of an expected entry."""
        if result.image is not None:
            picture = self._picture(result)
            self._heap = [
                (score, place, replace(entry, picture=picture) if entry.index == result.index else entry)
                for score, place, entry in self._heap
            ]

    def entries(self) -> list[Entry]:
        """Return what is on the sheet, the highest score first."""
        return [entry for _, _, entry in sorted(self._heap, key=lambda item: item[:2], reverse=True)]

    def write(self, threshold: float | None) -> None:
        """Write the file whole; `threshold`, of scores, is named in its title."""
        shown = self.entries()
        title = f"The {len(shown)} highest scores of {self._seen} images" if shown else "No image has a score"
        limit = f"; a defect is above {threshold:.4g}" if threshold is not None else ""
        text = title + limit
        data = _page(text, shown) if self.path.suffix.lower() == ".html" else _sheet(text, shown)
        write_whole(self.path, data)

    def _is_high(self, entry: Entry) -> bool:
        return len(self._heap) < self._count or (entry.score, -entry.index) > self._heap[0][:2]

    def _push(self, entry: Entry) -> None:
        item = (entry.score, -entry.index, entry)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, item)
        else:
            heapq.heapreplace(self._heap, item)

    def _picture(self, result: InferenceResult) -> bytes | None:
        if result.image is None:
            return None
        small = _fitted(result.image)
        if result.anomaly_map is not None:
            small = draw_heat(small, result.anomaly_map.overview((small.shape[0], small.shape[1])), self._threshold)
        return encode_jpeg(small)


def _fitted(image: Image) -> Image:
    """Return the image with its longer side at `SIDE`."""
    scale = SIDE / max(image.shape[:2])
    height, width = (max(8, round(side * scale)) for side in image.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)


def _sheet(title: str, entries: Sequence[Entry]) -> bytes:
    """Return the sheet as a PNG file."""
    pictures = [_opened(entry) for entry in entries]
    width = max([SIDE, *(picture.width for picture in pictures)])
    height = max([1, *(picture.height for picture in pictures)]) + 2 * _LINE + 6
    columns = max(1, min(len(entries), 6 if len(entries) <= 36 else math.ceil(math.sqrt(len(entries)))))
    rows = math.ceil(len(entries) / columns)
    size = (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP + _HEAD)
    sheet = PillowImage.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), shortened(title, size[0] - 2 * _GAP, 20), INK, _font(20))
    for place, (entry, picture) in enumerate(zip(entries, pictures, strict=True)):
        x = _GAP + place % columns * (width + _GAP)
        y = _GAP + _HEAD + place // columns * (height + _GAP)
        sheet.paste(picture, (x, y + height - 2 * _LINE - 6 - picture.height))
        below = y + height - 2 * _LINE
        draw.text((x, below), entry.verdict, entry.colour, _font(_TEXT), stroke_width=0.4, stroke_fill=entry.colour)
        numbers = f"{place + 1}.  score {entry.score:.4g}"
        draw.text((x + width - _font(_TEXT).getlength(numbers), below), numbers, INK, _font(_TEXT))
        draw.text((x, below + _LINE), shortened(entry.name, width, _TEXT), GREY, _font(_TEXT))
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _opened(entry: Entry) -> PillowImage.Image:
    if entry.picture is None:
        return PillowImage.new("RGB", (SIDE, SIDE), (225, 225, 225))
    return PillowImage.open(io.BytesIO(entry.picture))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def shortened(text: str, width: int, size: int) -> str:
    """Return text that is at most `width` pixels wide, shortened in the middle; the font knows Western letters only."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    font, keep, shown = _font(size), len(text), text
    while keep > 2 and font.getlength(shown) > width:
        keep -= 1
        shown = f"{text[: (keep + 1) // 2]}...{text[len(text) - keep // 2 :]}"
    return shown


_STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 2200px; background: #fff; color: #1b1f24; font: 15px/1.4 system-ui, sans-serif;
  -webkit-text-size-adjust: 100%; }
h1 { margin: .3rem 0 1rem; font-size: 1.25rem; line-height: 1.3; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); gap: 1rem; margin: 0; padding: 0;
  list-style: none; }
li { border: 1px solid #d8dee4; display: flex; flex-direction: column; }
.picture { flex: 1; display: flex; align-items: center; justify-content: center; background: #f6f8fa; min-height: 6rem; }
img { display: block; width: 100%; max-height: 75vh; object-fit: contain; }
.text { padding: .5rem .6rem; }
.line { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 .6rem; font-variant-numeric: tabular-nums; }
.name { color: #57606a; overflow-wrap: anywhere; font-size: .9rem; }
@media print { li { break-inside: avoid; } }
"""


def _page(title: str, entries: Sequence[Entry]) -> bytes:
    """Return the sheet as one HTML file without script, network or second file."""
    items = "\n".join(_item(place, entry) for place, entry in enumerate(entries, start=1))
    head = html.escape(title)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{head}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{head}</h1>\n<ol>\n{items}\n</ol>\n</body>\n</html>\n"
    )
    return page.encode("utf-8", "replace")


def _item(place: int, entry: Entry) -> str:
    name, verdict = html.escape(entry.name), html.escape(entry.verdict)
    red, green, blue = entry.colour
    picture = "the image can no longer be read"
    if entry.picture is not None:
        data = base64.b64encode(entry.picture).decode()
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{name} with its heat">'
    return (
        f'<li><div class="picture">{picture}</div><div class="text"><div class="line">'
        f'<strong style="color: rgb({red} {green} {blue})">{verdict}</strong>'
        f"<span>{place}. score {entry.score:.4g}</span></div>"
        f'<div class="name" title="{html.escape(entry.input)}">{name}</div></div></li>'
    )
