"""clicklake: raw web logs to a clean, deduplicated Parquet lake."""

__version__ = "0.1.0"
