"""Pure functions on arrays, and the bootstrap."""
