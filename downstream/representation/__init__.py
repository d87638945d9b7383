"""Representations without a head: how many directions they use, how they spread, how alike two are."""
