"""Keys in the secrets of hosted notebooks: Google Colab and Kaggle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clarifai_magic.credentials.sources.base import KeyNotHere, SourceContext, bundle

if TYPE_CHECKING:
    from clarifai_magic.credentials.bundle import Credentials


def from_colab(name: str, around: SourceContext) -> Credentials:
    """A key in Google Colab's secrets (``google.colab.userdata``)."""
    if not around.in_colab:
        raise KeyNotHere("not Google Colab")
    if os.environ.get("VERTEX_PRODUCT") == "COLAB_ENTERPRISE":
        raise KeyNotHere("Colab Enterprise has no secrets")
    from google.colab import userdata

    denied = set() if around.denied is None else around.denied
    refused: list[str] = []

    def read(secret: str) -> str:
        if secret in denied:
            refused.append(secret)
            return ""
        try:
            return str(userdata.get(secret))
        except userdata.SecretNotFoundError:
            return ""
        except userdata.NotebookAccessError:
            denied.add(secret)
            refused.append(secret)
            return ""
        except Exception as error:  # noqa: BLE001 - whatever the way to the browser raises
            raise KeyNotHere(f"Colab did not answer ({type(error).__name__})") from None

    try:
        return bundle(read, name, "colab", around)
    except KeyNotHere as absent:
        if refused:
            words = f"this notebook has no access to {' and '.join(refused)}: see the key icon"
            raise KeyNotHere(words) from None
        raise absent from None


def from_kaggle(name: str, around: SourceContext) -> Credentials:
    """A key in the secrets attached to a Kaggle notebook (``kaggle_secrets``)."""
    if "KAGGLE_KERNEL_RUN_TYPE" not in os.environ:
        raise KeyNotHere("not Kaggle")
    try:
        from kaggle_secrets import BackendError, UserSecretsClient

        client = UserSecretsClient()
    except Exception as error:  # noqa: BLE001 - no token, or another package of that name
        raise KeyNotHere(f"Kaggle's secrets are not available ({type(error).__name__})") from None

    def read(secret: str) -> str:
        try:
            return str(client.get_secret(secret))
        except BackendError:  # what Kaggle raises for a secret that is not attached
            return ""
        except Exception as error:  # noqa: BLE001 - Kaggle's own names differ between images
            raise KeyNotHere(f"Kaggle did not answer ({type(error).__name__})") from None

    return bundle(read, name, "kaggle", around)
