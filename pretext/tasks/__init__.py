"""The pretext tasks, one a file."""
