"""From anomaly maps to what people look at."""
