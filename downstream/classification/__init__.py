"""Image classification: one class an image, or several."""
