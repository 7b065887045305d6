"""The Prefect flow, its configuration and the command line."""
