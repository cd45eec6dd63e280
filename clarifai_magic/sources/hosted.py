"""Keys among the secrets of hosted notebooks: Google Colab and Kaggle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clarifai_magic.sources.place import Absent, Surroundings, bundle

if TYPE_CHECKING:
    from clarifai_magic.credentials import Credentials


def from_colab(name: str, around: Surroundings) -> Credentials:
    """A key among the secrets of Google Colab (``google.colab.userdata``)."""
    # Colab's package can be installed elsewhere too; its shell runs in Colab alone.
    if not around.shell_module.startswith("google.colab"):
        raise Absent("not Google Colab")
    if os.environ.get("VERTEX_PRODUCT") == "COLAB_ENTERPRISE":
        raise Absent("Colab Enterprise has no secrets")
    from google.colab import userdata

    refused: list[str] = []

    def read(secret: str) -> str:
        if secret in around.denied:
            refused.append(secret)
            return ""
        try:
            return str(userdata.get(secret))
        except userdata.SecretNotFoundError:
            return ""
        except userdata.NotebookAccessError:
            around.denied.add(secret)
            refused.append(secret)
            return ""
        except Exception as error:  # noqa: BLE001 - whatever the way to the browser raises
            raise Absent(f"Colab did not answer ({type(error).__name__})") from None

    try:
        return bundle(read, name, "among Colab's secrets")
    except Absent as absent:
        if refused:
            words = f"this notebook has no access to {' and '.join(refused)}: see the key icon"
            raise Absent(words) from None
        raise absent from None


def from_kaggle(name: str, _around: Surroundings) -> Credentials:
    """A key among the secrets that are attached to a Kaggle notebook (``kaggle_secrets``)."""
    if "KAGGLE_KERNEL_RUN_TYPE" not in os.environ:
        raise Absent("not Kaggle")
    try:
        from kaggle_secrets import BackendError, UserSecretsClient

        client = UserSecretsClient()
    except Exception as error:  # noqa: BLE001 - no token, or another package of that name
        raise Absent(f"Kaggle's secrets are not available ({type(error).__name__})") from None

    def read(secret: str) -> str:
        try:
            return str(client.get_secret(secret))
        except BackendError:  # what it raises for a secret that is not attached
            return ""
        except Exception as error:  # noqa: BLE001 - Kaggle's own names differ between images
            raise Absent(f"Kaggle did not answer ({type(error).__name__})") from None

    return bundle(read, name, "among Kaggle's secrets")
