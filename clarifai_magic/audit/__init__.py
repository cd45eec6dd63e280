"""The audit: finds Clarifai keys in files and in git's history, before they are shared."""
