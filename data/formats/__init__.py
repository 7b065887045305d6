"""Interchange formats of others, one a file."""
