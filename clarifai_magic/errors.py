"""The errors of this package, each with a code and a hint that says what to do.

ClarifaiMagicError
├── KeyFormatError           the text cannot be a key
├── ExposedKeyError          a key was typed where it would be stored in plaintext
├── SecretError              pickling would have written a key
├── NoCredentialsError       no source has a key
├── SourceError              a named source cannot be read
├── BaseURLError             the base URL cannot be used
├── NotSignedInError         there is no session yet
├── RefusedError             the API answered, and refused
│   ├── KeyRejectedError         the key is unknown, revoked or malformed
│   ├── AccountError             the account, its plan or a missing consent forbids it
│   ├── ThrottledError           too many requests, or a limit is reached
│   ├── ScopeError               the key lacks a scope, or is of the wrong kind
│   ├── UserNotFoundError        no such user, or out of this key's reach
│   ├── AppNotFoundError         no such app under that user
│   └── AppMismatchError         an API key came with the IDs of another app
├── SampleError              a pasted sample is not valid Python
├── UnknownMethodError       the API has no such method
├── ItemsError               map got items that the method does not take
├── CallError                a call could not be made or finished
└── UnreachableError         the API did not answer
    ├── RefusedConnectionError   nothing listens there
    ├── UnknownHostError         the name does not resolve
    ├── ProxyError               the proxy rejects calls
    ├── DeadlineError            no answer in time
    └── TLSError                 no trusted encrypted connection
"""

from __future__ import annotations

import pickle

__all__ = [
    "AccountError",
    "AppMismatchError",
    "AppNotFoundError",
    "BaseURLError",
    "CallError",
    "ClarifaiAuthWarning",
    "ClarifaiMagicError",
    "DeadlineError",
    "ExposedKeyError",
    "ItemsError",
    "KeyFormatError",
    "KeyRejectedError",
    "NoCredentialsError",
    "NotSignedInError",
    "ProxyError",
    "RefusedConnectionError",
    "RefusedError",
    "SampleError",
    "ScopeError",
    "SecretError",
    "SourceError",
    "TLSError",
    "ThrottledError",
    "UnknownHostError",
    "UnknownMethodError",
    "UnreachableError",
    "UserNotFoundError",
]


class ClarifaiAuthWarning(UserWarning):
    """A later call was refused, or something about the sign-in needs attention."""


class ClarifaiMagicError(Exception):
    """Base of every error of this package.

    Parameters
    ----------
    message : str
        One line: what is wrong. Never holds a key.
    hint : str
        One line: what to do.

    Attributes
    ----------
    code : str
        A stable name for the kind of error, to match on.
    maybe_done : bool
        Whether the call changes something and may have been carried out anyway.
    """

    code = "clarifai-magic"
    maybe_done = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: only the message, without frames that do not help a user."""
        hint = f"\n→ {self.hint}" if self.hint else ""
        # One string: the separator between several, a line break or nothing, depends on %xmode.
        return [f"{type(self).__name__}: {self.message}{hint}"]


class KeyFormatError(ClarifaiMagicError, ValueError):
    """The text cannot be a key or an ID."""

    code = "key-format"


class ExposedKeyError(ClarifaiMagicError):
    """A key was typed where it would be stored in plaintext."""

    code = "exposed-key"


class SecretError(ClarifaiMagicError, pickle.PicklingError, TypeError):
    """Pickling would have taken a key out of the process."""

    code = "secret"


class NoCredentialsError(ClarifaiMagicError):
    """No source has a key, and no prompt or form is possible."""

    code = "no-credentials"


class SourceError(ClarifaiMagicError):
    """A named source cannot give a key."""

    code = "source"


class BaseURLError(ClarifaiMagicError, ValueError):
    """The base URL or its CA bundle cannot be used."""

    code = "base-url"


class NotSignedInError(ClarifaiMagicError):
    """There is no session yet."""

    code = "not-signed-in"


class RefusedError(ClarifaiMagicError):
    """The API answered, and refused.

    Attributes
    ----------
    status_code : int
        The number in ``response.status.code`` (clarifai.api.status.StatusCode).
    """

    code = "refused"

    def __init__(self, message: str, hint: str = "", *, status_code: int = 0) -> None:
        super().__init__(message, hint)
        self.status_code = status_code


class KeyRejectedError(RefusedError):
    """The key is unknown, revoked or malformed."""

    code = "key-rejected"


class AccountError(RefusedError):
    """The account, its plan or a missing consent forbids the call."""

    code = "account"


class ThrottledError(RefusedError):
    """Too many requests, or a limit is reached."""

    code = "throttled"


class ScopeError(RefusedError):
    """The key lacks a scope, or is of the wrong kind."""

    code = "scope"


class UserNotFoundError(RefusedError):
    """There is no such user, or this key cannot reach them."""

    code = "user-not-found"


class AppNotFoundError(RefusedError):
    """There is no such app under that user."""

    code = "app-not-found"


class AppMismatchError(RefusedError):
    """An API key came with the IDs of another app."""

    code = "app-mismatch"


class SampleError(ClarifaiMagicError):
    """A pasted sample is not valid Python."""

    code = "sample"


class UnknownMethodError(ClarifaiMagicError, LookupError):
    """The API has no method with that name."""

    code = "unknown-method"


class ItemsError(ClarifaiMagicError, TypeError):
    """`Session.map` got items or options that the method does not take."""

    code = "items"


class CallError(ClarifaiMagicError):
    """A call could not be made or finished."""

    code = "call"


class UnreachableError(ClarifaiMagicError, ConnectionError):
    """The API did not answer."""

    code = "unreachable"


class RefusedConnectionError(UnreachableError):
    """Nothing listens at the base URL."""

    code = "refused-connection"


class UnknownHostError(UnreachableError):
    """The host's name does not resolve."""

    code = "unknown-host"


class ProxyError(UnreachableError):
    """The proxy to the API rejects calls."""

    code = "proxy"


class DeadlineError(UnreachableError):
    """No answer came in time."""

    code = "deadline"


class TLSError(UnreachableError):
    """No trusted encrypted connection could be made."""

    code = "tls"
