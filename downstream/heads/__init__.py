"""Heads that are fitted on features, or on what a frozen encoder says of augmented images."""
