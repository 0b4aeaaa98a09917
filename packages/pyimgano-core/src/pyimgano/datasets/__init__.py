"""Dataset layouts, one module each, and how normal images are split."""
