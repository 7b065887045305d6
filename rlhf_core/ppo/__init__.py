"""Proximal policy optimisation of a response policy against a frozen reference."""
