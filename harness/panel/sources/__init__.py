"""Panel sources: Parquet and CSV files, bundled, simulated and portfolio data."""
