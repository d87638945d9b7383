"""Judges encoders."""
