"""Maps at the pixels they belong to: crops are reported and not stretched, padding is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bridge_models import PATCHCORE, fitted, needs_anomalib, needs_lite0, texture

from pyimgano_anomalib.cropped import CroppedMap

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")


def ramps(size: tuple[int, int]) -> Any:
    """Return an image, (3, H, W), whose first channels are the x and y of the pixel centres."""
    height, width = size
    x = torch.arange(width).add(0.5).expand(height, width)
    y = torch.arange(height).add(0.5)[:, None].expand(height, width)
    return torch.stack([x, y, torch.zeros(height, width)]).float()


STEPS: dict[str, list[dict[str, Any]]] = {
    "resize": [{"name": "Resize", "arguments": {"size": [64, 48], "antialias": True}}],
    "crop": [
        {"name": "Resize", "arguments": {"size": [64, 64], "antialias": True}},
        {"name": "CenterCrop", "arguments": {"size": [40, 48]}},
    ],
    "short side": [
        {"name": "Resize", "arguments": {"size": 64, "antialias": True}},
        {"name": "CenterCrop", "arguments": {"size": [64, 64]}},
    ],
    "crop alone": [{"name": "CenterCrop", "arguments": {"size": [50, 60]}}],
    "pad": [{"name": "Pad", "arguments": {"padding": [8, 4, 8, 4]}}, {"name": "Resize", "arguments": {"size": [64, 64]}}],
}


SQUARE = [{"name": "SquarePad", "arguments": {}}, {"name": "Resize", "arguments": {"size": [64, 64], "antialias": True}}]


@pytest.mark.parametrize("size", [(80, 112), (120, 90), (64, 64)])
@pytest.mark.parametrize("kind", [*STEPS, pytest.param("square", marks=needs_anomalib)])
def test_the_part_that_a_model_sees_is_where_a_ramp_says_it_is(kind: str, size: tuple[int, int]) -> None:
    from pyimgano_anomalib.transforms import rebuilt, seen_part

    transform = rebuilt({**STEPS, "square": SQUARE}[kind])
    part = seen_part(transform, size)
    seen = transform(ramps(size)).numpy()
    rows, columns = seen.shape[1:]
    middle_row, middle_column = rows // 2, columns // 2
    x = part.left + (np.arange(columns) + 0.5) * (part.right - part.left) / columns
    y = part.top + (np.arange(rows) + 0.5) * (part.bottom - part.top) / rows
    inner = slice(columns // 4, -columns // 4)  # away from padding and from the filter's edge
    np.testing.assert_allclose(seen[0, middle_row, inner], x[inner], atol=0.2)
    inner = slice(rows // 4, -rows // 4)
    np.testing.assert_allclose(seen[1, inner, middle_column], y[inner], atol=0.2)


def test_a_transform_survives_being_written_down() -> None:
    from torchvision.transforms import v2

    from pyimgano_anomalib.transforms import described, rebuilt

    original = v2.Compose(
        [
            v2.Resize((50, 60), antialias=True, interpolation=v2.InterpolationMode.BICUBIC),
            v2.Compose([v2.CenterCrop(40), v2.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])]),
        ]
    )
    image = torch.rand(3, 90, 70, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rebuilt(described(original))(image), original(image))


def test_a_transform_that_cannot_be_kept_is_refused() -> None:
    from torchvision.transforms import v2

    from pyimgano.errors import WeightsError
    from pyimgano_anomalib.transforms import described

    with pytest.raises(WeightsError, match="ColorJitter, which cannot be kept"):
        described(v2.Compose([v2.ColorJitter(0.1)]))


def cropped(grid: np.ndarray, source: tuple[int, int], box: tuple[float, float, float, float]) -> CroppedMap:
    return CroppedMap(grid.astype(np.float32), source, box=box)


def test_pixels_outside_the_crop_are_the_smallest_and_those_inside_are_in_place() -> None:
    grid = np.arange(16, dtype=np.float32).reshape(4, 4) - 3
    found = cropped(grid, (8, 10), (3, 2, 7, 6))
    shown = found.render()
    np.testing.assert_array_equal(shown[2:6, 3:7], grid)
    outside = np.ones((8, 10), bool)
    outside[2:6, 3:7] = False
    assert (shown[outside] == -3).all()
    part = found.scored
    assert (part.top, part.bottom, part.left, part.right) == (2, 6, 3, 7)
    assert part.share((8, 10)) == pytest.approx(16 / 80)
    assert part.normalised((8, 10)) == pytest.approx([0.3, 0.25, 0.7, 0.75])


def test_a_grid_over_all_of_the_image_renders_as_any_other_map() -> None:
    from pyimgano.maps import AnomalyMap

    grid = np.random.default_rng(0).random((7, 9)).astype(np.float32)
    for source in ((30, 50), (7, 9), (23, 31)):
        whole = cropped(grid, source, (0, 0, source[1], source[0])).render()
        np.testing.assert_allclose(whole, AnomalyMap(grid, source).render(), atol=2e-3)


def test_a_grid_that_covers_padding_too_loses_it() -> None:
    grid = np.repeat(np.array([[9, 9], [1, 2], [3, 4], [9, 9]], np.float32), 2, axis=1)
    shown = cropped(grid, (2, 4), (0, -1, 4, 3)).render()
    np.testing.assert_array_equal(shown, grid[1:3])


def test_steps_are_done_and_other_sizes_are_rendered() -> None:
    found = cropped(np.ones((4, 4)), (8, 8), (2, 2, 6, 6)).then(lambda values: values * 2)
    assert isinstance(found, CroppedMap)
    assert found.render().max() == 2
    assert found.render((16, 16)).shape == (16, 16)


@needs_anomalib
@needs_lite0
def test_a_crop_is_said_once_with_the_region_to_set_and_a_defect_stays_in_its_place(caplog: pytest.LogCaptureFixture) -> None:
    images = [texture(number, 128, 128) for number in range(4)]
    model = fitted(PATCHCORE, images, image_size=[128, 128], center_crop=[96, 96])
    image = texture(50, 128, 128)
    image[20:44, 80:104] = (255, 0, 0)
    caplog.clear()
    result = model.score_images([image, image])[0]
    model.score_images([image])
    found = result.anomaly_map
    assert (found.scored.top, found.scored.bottom) == (16, 112)
    peak = np.unravel_index(int(found.render().argmax()), (128, 128))
    assert 16 <= peak[0] <= 48
    assert 76 <= peak[1] <= 108
    said = [line for line in caplog.messages if "is not scored" in line]
    assert len(said) == 1
    assert "44 % of it" in said[0]
    assert "roi_xyxy_norm=[0.1250, 0.1250, 0.8750, 0.8750]" in said[0]


@needs_anomalib
@needs_lite0
def test_a_map_that_covers_the_image_is_a_plain_one() -> None:
    from pyimgano.maps import AnomalyMap

    result = fitted(PATCHCORE).score_images([texture(50)])[0]
    assert type(result.anomaly_map) is AnomalyMap
