"""What the Clarifai API is; nothing here handles a key."""

from clarifai_magic.version import __version__

PUBLIC_BASE = "https://api.clarifai.com"
"""Clarifai's own deployment."""

SECRETS_PAGE = "https://clarifai.com/me/settings/secrets"
"""Where users create and revoke keys."""

USER_AGENT = f"clarifai-magic/{__version__}"
"""The user agent of each call and request."""
