"""Rankers: who says which response is better."""
