"""What the benchmark's HTML pages show, as data: read from a run's folder, put into words and tables."""
