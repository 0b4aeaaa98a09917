"""Training once, and shipping what was trained: infer_config.json, bundles, the training run."""
