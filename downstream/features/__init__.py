"""Features of a frozen encoder: extraction, its cache, what is kept of a map."""
