"""A session in the real qtconsole: the first argument is the key that somebody types.

Prints what its window shows, the key taken out where it was typed.
"""

from __future__ import annotations

import sys
import time

from qtconsole.manager import QtKernelManager
from qtconsole.rich_jupyter_widget import RichJupyterWidget
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

PATIENCE = 120  # seconds


def main(key: str) -> None:
    """Sign in, and print what is seen."""
    application = QApplication([])  # noqa: F841 - held
    manager = QtKernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    window = RichJupyterWidget()
    window.kernel_manager, window.kernel_client = manager, client
    window.show()

    def until(words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in window._control.toPlainText():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{words!r} is not in:\n{window._control.toPlainText()}")
            QTest.qWait(50)  # which lets the window work

    until("In [1]:")
    window.execute("%load_ext clarifai_magic\n%clarifai_auth")
    until("Clarifai PAT or API key")
    asked = window._control.toPlainText()
    QTest.keyClicks(window._control, key)
    QTest.keyClick(window._control, Qt.Key.Key_Return)
    until("Signed in as")
    until("In [2]:")
    window.execute("print(clarifai_session.broker.token, metadata, USER_ID)")
    until("In [3]:")
    shown = window._control.toPlainText()
    print(asked, shown[len(asked) :].replace(key, "<typed>", 1), sep="<answer>")
    client.stop_channels()
    manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main(sys.argv[1])
