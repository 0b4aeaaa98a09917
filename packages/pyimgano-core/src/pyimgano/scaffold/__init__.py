"""New plugins: a complete little distribution of each kind, written from templates."""
