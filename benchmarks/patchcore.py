"""PatchCore against anomalib's: images per second and peak memory, with the same weights, input size and memory bank.

Needs anomalib (`nox -s bench` installs it). Images are solar cells at 256x256; the bank is a coreset of 240 of them, 24,576
patches. Both sides get uint8 arrays in batches of 8 and return a score and a map of the image's size. WideResNet-50 has random
weights, which serve for speed, though their features vary along fewer directions than trained ones: the search by bounds gains
more from that than it would otherwise, so it is measured without it too. Memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from pyimgano import Runtime, load_dataset
from pyimgano.images import ImageSource, resize
from pyimgano.registry import build_detector, find
from pyimgano_patchknn.index import FaissKNNIndex
from pyimgano_patchknn.weights import find_weights, timm_name

BACKBONES = {"efficientnet_lite0": ("blocks.2", "blocks.4"), "wide_resnet50": ("layer2", "layer3")}
PRETRAINED = "efficientnet_lite0"
SIZE = (256, 256)
LEARNED, SCORED, BATCH = 240, 64, 8
FEW = 0.001
"""Share of patches kept where the memory of a fit is measured: anomalib's choice of a tenth would take hours."""

Images = Sequence[np.ndarray]
Answers = tuple[np.ndarray, np.ndarray]


def files(start: int, count: int) -> list[Path]:
    """Return photographs of solar cells."""
    split = load_dataset("elpv").load()
    return [sample.path for sample in (*split.train, *split.test)][start : start + count]


def cells(start: int, count: int) -> list[np.ndarray]:
    """Return solar cells, (256, 256, 3) uint8."""
    return [resize(image, SIZE) for image in ImageSource(files(start, count))]


def options(backbone: str, folder: Path) -> dict[str, object]:
    return {"backbone": backbone, "layers": BACKBONES[backbone], "weights": str(folder / "weights.safetensors")}


def prepare(backbone: str, folder: Path) -> None:
    """Write the weights that both sides use and our detector, fitted."""
    torch.manual_seed(0)
    tensors = timm.create_model(timm_name(backbone)).state_dict()
    tensors |= find_weights(backbone, None, pretrained=True).tensors if backbone == PRETRAINED else {}
    save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "weights.safetensors")
    detector = build_detector(find("detector", "vision_patchcore"), options(backbone, folder), Runtime(device="cpu"))
    detector.fit(cells(0, LEARNED))
    save_file(detector.state(), folder / "state.safetensors")


def ours(backbone: str, folder: Path, amp: bool = False, plain: bool = False) -> Callable[[Images], Answers]:
    """Return our scorer; `plain` takes the search by bounds away."""
    runtime = Runtime(device="cpu", batch_size=BATCH, amp=amp)
    detector = build_detector(find("detector", "vision_patchcore"), options(backbone, folder), runtime)
    detector.load_state(load_file(folder / "state.safetensors"))
    if plain:
        detector.banks_[0].index = FaissKNNIndex(detector.banks_[0].vectors)

    def score(images: Images) -> Answers:
        results = detector.score_images(images)
        return np.array([one.score for one in results]), np.stack([one.anomaly_map.render() for one in results])

    return score


def theirs(backbone: str, folder: Path) -> Callable[[Images], Answers]:
    """Return anomalib's scorer, with its own transforms."""
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    architecture = timm_name(backbone).partition(".")[0]
    model = PatchcoreModel(layers=BACKBONES[backbone], backbone=architecture, pre_trained=False, num_neighbors=1).eval()
    network = model.feature_extractor.feature_extractor
    tensors = load_tensors(folder / "weights.safetensors")
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    model.memory_bank = torch.from_numpy(load_file(folder / "state.safetensors")["bank0.vectors"])
    config = timm.create_model(architecture, features_only=True).default_cfg
    transform = Compose([Resize(SIZE, antialias=True), Normalize(config["mean"], config["std"])])

    @torch.inference_mode()
    def score(images: Images) -> Answers:
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        answer = model(transform(batch))
        return answer.pred_score.numpy().ravel(), answer.anomaly_map.numpy()[:, 0]

    return score


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's coefficient of all values of two sets of maps; ties do not matter among as many floats."""
    ranks = [np.argsort(np.argsort(values.ravel())).astype(np.float64) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def seconds(score: Callable[[Images], Answers], images: Images) -> float:
    started = time.perf_counter()
    score(images)
    return time.perf_counter() - started


def compare_speed(backbone: str, folder: Path, rounds: int) -> None:
    """Print images per second of both and the ratio of times; the two take turns."""
    batches = [cells(LEARNED + place, BATCH) for place in range(0, SCORED, BATCH)]
    peer = theirs(backbone, folder)
    maps = peer(batches[0])[1]
    kinds = {"float32": {}, "float32, no bounds": {"plain": True}, "--amp": {"amp": True}}
    for kind, settings in kinds.items():
        score = ours(backbone, folder, **settings)
        correlation = rank_correlation(score(batches[0])[1], maps)
        times = [(seconds(peer, batch), seconds(score, batch)) for _ in range(rounds) for batch in batches]
        ratio = statistics.median(slow / fast for slow, fast in times)
        slow, fast = (BATCH / statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{backbone}, {kind}: {fast:.1f} images/s against {slow:.1f}, {ratio:.2f} times; rank correlation {correlation:.4f}"
        )


def fit_ours(backbone: str, folder: Path) -> None:
    settings = {**options(backbone, folder), "coreset_sampling_ratio": FEW}
    detector = build_detector(find("detector", "vision_patchcore"), settings, Runtime(device="cpu", batch_size=BATCH))
    detector.fit(ImageSource(files(0, LEARNED), transform=lambda image: resize(image, SIZE)))


@torch.no_grad()
def fit_theirs(backbone: str) -> None:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    architecture = timm_name(backbone).partition(".")[0]
    model = PatchcoreModel(layers=BACKBONES[backbone], backbone=architecture, pre_trained=False).train()
    for start in range(0, LEARNED, BATCH):
        model(torch.from_numpy(np.stack(cells(start, BATCH))).permute(0, 3, 1, 2).float() / 255)
    model.subsample_embedding(FEW)


def measure_memory(job: str, side: str, backbone: str, folder: Path) -> None:
    """Fit or score and print by how much memory grew after the imports, in MiB."""
    if side == "theirs":
        import anomalib.models.image.patchcore.torch_model  # noqa: F401
    import pyimgano_patchknn.backbone  # noqa: F401

    before = _memory("VmRSS")
    if job == "fit":
        fit_ours(backbone, folder) if side == "ours" else fit_theirs(backbone)
    else:
        score = (ours if side == "ours" else theirs)(backbone, folder)
        for place in range(0, SCORED, BATCH):
            score(cells(LEARNED + place, BATCH))
    print((_memory("VmHWM") - before) // 1024)


def _memory(key: str) -> int:
    return int(re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def compare_memory(backbone: str, folder: Path) -> None:
    """Print the peak memory of a fit and of scoring, each in a process of its own."""
    line = [sys.executable, __file__, "--memory"]
    for job in ("fit", "score"):
        grown = [
            int(subprocess.run([*line, job, side, backbone, folder], check=True, capture_output=True, text=True).stdout)
            for side in ("ours", "theirs")
        ]
        share = grown[0] / grown[1]
        print(f"{backbone}, {job}: peak memory above imports {grown[0]} MiB against {grown[1]} MiB, {share:.2f} of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="how often all images are scored")
    parser.add_argument("--memory", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        measure_memory(*arguments.memory[:3], Path(arguments.memory[3]))
    else:
        for name in BACKBONES:
            with tempfile.TemporaryDirectory() as place:
                prepare(name, Path(place))
                compare_speed(name, Path(place), arguments.rounds)
                compare_memory(name, Path(place))
