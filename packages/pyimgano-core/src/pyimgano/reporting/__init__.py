"""How results are written down: strict JSON, tables, the environment."""
