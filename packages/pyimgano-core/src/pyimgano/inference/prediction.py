"""What becomes of a label that is not sure, one model for configs and the command line."""

from __future__ import annotations

from pydantic import Field

from pyimgano.inference.confidence import REJECT_LABEL, Rejection
from pyimgano.options import Options


class PredictionOptions(Options):
    """Which labels are left open."""

    reject_confidence_below: float | None = Field(
        None, ge=0, le=1, description="Leave labels of a lower confidence open; none leaves none open."
    )
    reject_label: int = Field(REJECT_LABEL, ge=-(2**31), lt=2**31, description="The label of those.")

    def rejection(self) -> Rejection | None:
        """Return the rule, or None where every label counts."""
        below = self.reject_confidence_below
        return Rejection(below, self.reject_label) if below is not None else None
