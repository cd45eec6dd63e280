"""Errors by the names of the real ones (github.com/googlecolab/colabtools)."""


class Error(Exception):
    """Base of most of Colab's errors."""
