"""The data layer: prompts, rankings and pairs in DuckDB and Polars.

Knows no torch, Prefect or MLflow.
"""
