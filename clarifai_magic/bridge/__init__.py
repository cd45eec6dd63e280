"""Other clients, without the key: they hold a token, and the broker adds the key to requests."""
