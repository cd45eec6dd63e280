"""A local server that speaks Clarifai's protocol, for demos, tests, teaching and CI.

Examples
--------
>>> from clarifai_magic.sandbox import Sandbox
>>> with Sandbox() as sandbox:
...     print(sandbox.base)  # gRPC and REST on one port; sandbox.keys.pat opens it
http://127.0.0.1:…

"""

from clarifai_magic.sandbox.seed import Keys
from clarifai_magic.sandbox.server import Sandbox

__all__ = ["Keys", "Sandbox"]
