"""The systems that colour images without being pretext tasks, and what all of them share."""
