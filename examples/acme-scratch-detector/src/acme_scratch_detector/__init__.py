# Copyright (c) 2026 Acme Industries. Confidential; see LICENSE.
"""Acme's detector of thin scratches."""
