"""The time, as records write it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from pyimgano.errors import OptionsError


def utc_now() -> str:
    """Return the time in ISO 8601, UTC; ``SOURCE_DATE_EPOCH`` (reproducible-builds.org) fixes it for byte-identical files."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    if fixed and not fixed.isdecimal():
        raise OptionsError(f"SOURCE_DATE_EPOCH is {fixed!r}, not a number of seconds", "unset it, or set it to a whole number")
    moment = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
