"""Runs pasted documentation samples with the notebook's session."""
