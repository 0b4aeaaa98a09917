"""How good a detector is, exactly, with ties merged and undefined values as None."""
