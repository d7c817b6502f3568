"""A mapping and its costs as tables: CSV, JSON, JSON lines, Parquet."""
