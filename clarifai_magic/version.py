"""The version of the distribution and in the user agent."""

__version__ = "0.2.0"
