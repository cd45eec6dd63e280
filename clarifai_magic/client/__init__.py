"""From credentials to calls."""
