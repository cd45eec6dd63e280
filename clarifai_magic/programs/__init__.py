"""What a Python program does with its values, and which reach Clarifai; nothing runs."""
