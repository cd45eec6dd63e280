"""A stand-in for the package of Google Colab: as much as signing in touches."""
