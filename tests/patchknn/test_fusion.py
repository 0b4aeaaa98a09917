"""Batch norm folded into convolutions changes the speed of a network and not its features."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from pyimgano.contracts import Runtime
from pyimgano_patchknn.backbone import Backbone
from pyimgano_patchknn.fusion import fused


def trained(name: str) -> nn.Module:
    """Return a network whose batch norms have statistics of their own, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name, features_only=True).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
    return model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet10t", "mobilenetv3_small_050", "repvgg_a0", "regnetx_002"])
def test_features_stay_the_same(name: str) -> None:
    model = trained(name)
    images = torch.rand(2, 3, 96, 64) * 4 - 2
    with torch.inference_mode():
        before, after = model(images), fused(model)(images)
    assert norms(fused(model)) < norms(model) / 2
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


def test_the_model_given_is_left_as_it_is() -> None:
    model = trained("resnet10t")
    names = list(model.state_dict())
    fused(model)
    assert list(model.state_dict()) == names


class Branched(nn.Module):
    """A convolution whose output is used beside its batch norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        found = self.convolution(images)
        return [found + self.norm(found)]


def test_a_convolution_that_something_else_uses_too_is_left_alone() -> None:
    model = Branched().eval()
    model.norm.running_var.fill_(4)
    assert fused(model) is model


def test_a_network_without_batch_norm_is_returned_as_it_is() -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    assert fused(model) is model


def test_backbones_run_without_batch_norm_and_keep_no_hook() -> None:
    backbone = Backbone("resnet10t", None, (64, 64), 3, Runtime(device="cpu"))
    backbone.load(None, pretrained=False)
    assert norms(backbone._model) == 0
    assert not any(module._forward_hooks for module in backbone._model.modules())
    assert not any("running_mean" in name for name in backbone.state())
