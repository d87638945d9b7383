"""`job=colorize_benchmark`: who takes part, what they are given, what they made of the test images."""
