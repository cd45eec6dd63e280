"""Keeps keys out of what is shown, stored and shared."""
