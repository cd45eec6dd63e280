"""``%clarifai_snippet``: what a session does, as a program for another client of the API."""
