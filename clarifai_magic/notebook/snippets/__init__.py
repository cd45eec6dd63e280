"""``%clarifai_snippet``: a session's call, as a program for another client of the API."""
