"""Makes encoders."""
