"""A key and what belongs to it, and the sources of keys."""
