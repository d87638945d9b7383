"""Training the encoder itself: recipes and the loop."""
