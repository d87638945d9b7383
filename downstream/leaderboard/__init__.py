"""Tables of what was measured, with intervals."""
