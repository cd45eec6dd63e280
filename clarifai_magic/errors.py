"""The errors of this package, each with a code and a hint that says what to do.

ClarifaiMagicError
├── KeyFormatError           what was given cannot be a key
├── ExposedKeyError          a key was typed where it would be kept in the open
├── SecretError              a key was about to be written by pickling
├── NoCredentialsError       no place that was looked at holds a key
├── SourceError              a place was named and cannot be read
├── BaseURLError             the base URL cannot be used
├── NotSignedInError         there is no session yet
├── RefusedError             the API answered, and refused
│   ├── KeyRejectedError         the key is unknown, revoked or malformed
│   ├── AccountError             account, plan or consent stands in the way
│   ├── ThrottledError           too many requests, or a limit used up
│   ├── ScopeError               the key lacks a scope, or is of the wrong kind
│   ├── UserNotFoundError        no such user, or out of this key's reach
│   ├── AppNotFoundError         no such app under that user
│   └── AppMismatchError         an API key came with the IDs of another app
├── SampleError              a pasted sample is no Python
├── UnknownMethodError       the API has no such method
├── ItemsError               map was given what the method does not take
├── CallError                a call could not be made as it was
└── UnreachableError         the API did not answer
    ├── RefusedConnectionError   nothing listens there
    ├── UnknownHostError         the name does not resolve
    ├── DeadlineError            no answer in time
    └── TLSError                 no trusted encrypted connection
"""

from __future__ import annotations

import pickle


class ClarifaiAuthWarning(UserWarning):
    """A later call was refused, or something about the sign-in deserves a look."""


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
        A stable name of the kind of error, to match on.
    """

    code = "clarifai-magic"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the words alone, without frames that tell a user nothing."""
        hint = [f"→ {self.hint}"] if self.hint else []
        return [f"{type(self).__name__}: {self.message}", *hint]


class KeyFormatError(ClarifaiMagicError, ValueError):
    """What was given cannot be a key or an ID."""

    code = "key-format"


class ExposedKeyError(ClarifaiMagicError):
    """A key was typed where it would be kept in the open."""

    code = "exposed-key"


class SecretError(ClarifaiMagicError, pickle.PicklingError, TypeError):
    """A key was about to leave the process by pickling."""

    code = "secret"


class NoCredentialsError(ClarifaiMagicError):
    """No place that was looked at holds a key, and nobody can be asked."""

    code = "no-credentials"


class SourceError(ClarifaiMagicError):
    """A source was named and cannot give a key."""

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
    """The account, its plan or its consents stand in the way."""

    code = "account"


class ThrottledError(RefusedError):
    """Too many requests, or a limit is used up."""

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
    """A pasted sample is no Python."""

    code = "sample"


class UnknownMethodError(ClarifaiMagicError, LookupError):
    """The API has no method of that name."""

    code = "unknown-method"


class ItemsError(ClarifaiMagicError, TypeError):
    """`Session.map` was given what the method does not take."""

    code = "items"


class CallError(ClarifaiMagicError):
    """A call could not be made, or not be finished, as it was."""

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


class DeadlineError(UnreachableError):
    """No answer came in time."""

    code = "deadline"


class TLSError(UnreachableError):
    """No trusted encrypted connection could be made."""

    code = "tls"
