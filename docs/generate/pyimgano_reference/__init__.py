"""The reference pages of the documentation, written from the specs, hooks, settings models and commands that are installed."""
