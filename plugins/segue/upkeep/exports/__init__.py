"""The delivery log as tables of somebody else's: Parquet files, or tables of a database."""
