"""The kernel that runs Colab's shell."""

from google.colab._shell import Shell
from ipykernel.ipkernel import IPythonKernel
from traitlets import Type


class Kernel(IPythonKernel):
    """Colab's kernel."""

    shell_class = Type(Shell)
