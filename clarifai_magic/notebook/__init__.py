"""The commands of a notebook, and what they leave there."""
