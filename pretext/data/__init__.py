"""Image sets: readers, packed arrays, splits and the loader."""
