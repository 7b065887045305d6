"""Ratios against other implementations, each measured within one run: `make bench`."""
