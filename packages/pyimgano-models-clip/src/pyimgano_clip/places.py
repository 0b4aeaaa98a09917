"""The usual weights of a few backbones, and where they lie on this machine; needs neither torch nor a network."""

from __future__ import annotations

import sys
from pathlib import Path

from pyimgano.specs import WeightsPlace
from pyimgano_clip.options import ClipOptions

USUAL_TAGS = {
    "ViT-B-32": "laion2b_s34b_b79k",
    "ViT-B-16": "laion2b_s34b_b88k",
    "ViT-B-16-plus-240": "laion400m_e31",
    "ViT-L-14": "laion2b_s32b_b82k",
    "ViT-L-14-336": "openai",
}
CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_REPOSITORIES = {
    ("ViT-B-32", "laion2b_s34b_b79k"): "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ("ViT-B-16", "laion2b_s34b_b88k"): "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    ("ViT-B-16-plus-240", "laion400m_e31"): "timm/vit_base_patch16_plus_clip_240.laion400m_e31",
    ("ViT-L-14", "laion2b_s32b_b82k"): "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    ("ViT-L-14-336", "openai"): "timm/vit_large_patch14_clip_336.openai",
}


def weights_at(options: ClipOptions) -> WeightsPlace:
    """Return where the weights that options name lie: a file, a folder, or the cache of open_clip's downloads."""
    if not options.pretrained:
        return WeightsPlace(options.backbone, "random values")
    if options.weights is not None:
        return WeightsPlace(options.weights.name, str(options.weights) if options.weights.exists() else None)
    tag = options.tag or USUAL_TAGS.get(options.backbone)
    if tag is None:
        return WeightsPlace(options.backbone, None, "name its weights, -o tag=TAG or -o weights=FILE")
    download = f"{sys.executable} -c \"import open_clip; open_clip.create_model('{options.backbone}', pretrained='{tag}')\""
    return WeightsPlace(f"{options.backbone} {tag}", _cached(options.backbone, tag), download)


def _cached(backbone: str, tag: str) -> str | None:
    """Return the file of the weights in the cache of the model hub, or None."""
    try:
        from huggingface_hub import try_to_load_from_cache

        repository = _REPOSITORIES.get((backbone, tag)) or _repository(backbone, tag)
    except ImportError:
        return None
    found = [try_to_load_from_cache(repository, file) for file in WEIGHT_FILES] if repository else []
    return next((path for path in found if isinstance(path, str)), None)


def _repository(backbone: str, tag: str) -> str:
    """Return where on the hub open_clip finds weights that are not in our table; imports torch."""
    import open_clip

    return str(open_clip.get_pretrained_cfg(backbone, tag).get("hf_hub", "")).rstrip("/")


def weights_in(folder: Path) -> Path | None:
    """Return the weights in a folder as the model hub keeps it, or None: by their usual names, else the only safetensors."""
    usual = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    others = sorted(folder.glob("*.safetensors"))
    if usual:
        return usual[0]
    return others[0] if len(others) == 1 else None
