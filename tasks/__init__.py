"""Stages as cached Prefect tasks: bodies, artifacts, cache keys, tracking."""
