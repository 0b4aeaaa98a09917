"""The command line: one module per command; ``app`` only composes."""
