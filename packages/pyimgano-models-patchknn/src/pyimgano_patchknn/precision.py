"""Whether a network runs in reduced precision."""

from __future__ import annotations

import logging

import torch

logger = logging.getLogger(f"pyimgano.{__name__}")


def reduced_precision(asked: bool, device: torch.device) -> bool:
    """Return whether to compute in bfloat16: where it is asked for, on a GPU or a processor with units for it."""
    if not asked or device.type != "cpu" or has_bfloat16_units():
        return asked
    logger.warning("this processor has no units for bfloat16, which would be slower here: --amp is left aside")
    return False


def has_bfloat16_units() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware, as far as torch can tell."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(present) for name, present in capabilities.items() if "bf16" in name)
