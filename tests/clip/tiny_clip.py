"""Tiny CLIPs for the tests: one with random values, and one that learns in a few seconds what scratches and spots look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch.nn import functional

from pyimgano_clip.prompts import PromptSet

SIDE = 64
PART = "surface"
MEAN, STD = 0.5, 0.08
TOWERS = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": SIDE, "patch_size": 16, "layers": 1, "width": 64, "head_width": 32, "pool_type": "avg"},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def surface(
    rng: np.random.Generator, kind: str = "good", size: tuple[int, int] = (SIDE, SIDE)
) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy surface with light falling off, RGB uint8 (H, W, 3), and the mask of its defect.

    `kind` is good, scratch, spot or dent.
    """
    height, width = size
    noise = cv2.GaussianBlur(rng.normal(0, 10, size).astype(np.float32), (0, 0), 1.0)
    light = np.linspace(-1, 1, width)[None] * rng.uniform(-8, 8) + np.linspace(-1, 1, height)[:, None] * rng.uniform(-8, 8)
    grey = rng.uniform(115, 140) + light + noise
    mask = np.zeros(size, np.uint8)
    centre = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height])
    scale = min(size) / SIDE
    if kind == "scratch":
        angle, length = rng.uniform(0, np.pi), rng.uniform(18, 32) * scale
        along = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        ends = [tuple(int(value) for value in np.rint(centre + sign * along)) for sign in (-1, 1)]
        cv2.line(mask, *ends, 1, max(round(3 * scale), 1))
        grey = grey + 70.0 * mask
    elif kind == "spot":
        cv2.circle(mask, tuple(int(value) for value in centre), round(rng.uniform(4, 8) * scale), 1, -1)
        grey = grey - 60.0 * mask
    elif kind == "dent":
        rows, columns = np.mgrid[:height, :width]
        radius = rng.uniform(6, 10) * scale
        inside = ((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / radius**2
        mask = (inside < 1).astype(np.uint8)
        grey = grey + mask * 60.0 * (columns - centre[0]) / radius
    tint = np.array([1.0, 0.97, 0.92]) + rng.uniform(-0.03, 0.03, 3)
    return np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8), mask.astype(bool)


def kind_of(number: int) -> str:
    """Return what the image of that number shows: every other one is good."""
    return "good" if number % 2 == 0 else ("scratch", "spot", "dent")[number // 2 % 3]


def surfaces(seed: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return images, masks and labels (1 is defective)."""
    rng = np.random.default_rng(seed)
    kinds = [kind_of(number) for number in range(count)]
    pairs = [surface(rng, kind) for kind in kinds]
    return [image for image, _ in pairs], [mask for _, mask in pairs], np.array([kind != "good" for kind in kinds], dtype=int)


def save_clip(model: torch.nn.Module, folder: Path, towers: Mapping[str, Any] = TOWERS) -> Path:
    """Write a CLIP as the model hub keeps it."""
    folder.mkdir(parents=True)
    config = {"model_cfg": towers, "preprocess_cfg": {"mean": [MEAN] * 3, "std": [STD] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def random_clip(folder: Path, towers: Mapping[str, Any] = TOWERS, seed: int = 0) -> Path:
    """Write a CLIP with random values."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return save_clip(open_clip.CLIP(**towers), folder, towers)


def train_clip(folder: Path, steps: int = 600, batch: int = 32, seed: int = 0) -> Path:
    """Train a CLIP on generated images and sentences about them, and write it.

    Each image of a batch is compared with each sentence of it: those about the same state belong together (Zhai et al., Sigmoid
    Loss for Language Image Pre-Training, 2023). The attention of the vision tower is weak and stays as it
    was drawn, because what it learns otherwise is to spread a defect over all patches.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return save_clip(_trained(steps, batch, np.random.default_rng(seed)), folder)


def _trained(steps: int, batch: int, rng: np.random.Generator) -> torch.nn.Module:
    model = open_clip.CLIP(**TOWERS).train()
    torch.nn.init.normal_(model.token_embedding.weight, std=0.1).requires_grad_(False)  # a large table, and slow to learn
    model.visual.transformer.resblocks[0].attn.requires_grad_(False).out_proj.weight.mul_(0.25)
    learned = [tensor for tensor in model.parameters() if tensor.requires_grad]
    tokenize = open_clip.SimpleTokenizer(context_length=TOWERS["text_cfg"]["context_length"])
    sentences = [tokenize(list(group)) for group in PromptSet().sentences(PART)]
    optimizer = torch.optim.AdamW(learned, lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        images, _, labels = surfaces(int(rng.integers(2**32)), batch)
        stated = rng.integers(0, 2, batch)
        texts = torch.stack([sentences[state][rng.integers(len(sentences[state]))] for state in stated])
        inputs = (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
        logits = 20 * model.encode_image(inputs, normalize=True) @ model.encode_text(texts, normalize=True).T
        together = torch.from_numpy(labels[:, None] == stated[None]).float()
        loss = functional.binary_cross_entropy_with_logits(logits, together)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()
