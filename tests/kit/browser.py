"""A real browser: headless Chromium, driven by keys and clicks over its DevTools protocol."""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import websocket

from .waiting import eventually

Json = dict[str, Any]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=900,900"),
)
"""Without the network's flags a browser looks for its maker's hosts."""

KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Space": ("Space", 32, " ")}


class Page:
    """One page."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._calls = 0

    def send(self, method: str, **params: Any) -> Json:
        """One command of the DevTools protocol, and what it returns."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while True:
            message: Json = json.loads(self._socket.recv())
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: Json = message["result"]
                return result

    def open(self, url: str) -> None:
        self.send("Page.enable")
        self.send("Page.navigate", url=url)
        eventually(lambda: self.run("document.readyState") == "complete", f"{url} is there")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, as a hand on a keyboard does."""
        code, number, text = KEYS[key]
        name = " " if key == "Space" else key
        about = {"key": name, "code": code, "windowsVirtualKeyCode": number}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    @property
    def text(self) -> str:
        """What a person reads."""
        return str(self.run("document.body.innerText"))

    @property
    def focused(self) -> str:
        """The id of what the keyboard acts on."""
        return str(self.run("document.activeElement.id"))

    def shows(self, words: str, within_s: float = 60.0) -> None:
        """Wait until a person reads these words."""
        eventually(
            lambda: words in self.text, f"the page shows {words!r}", within_s, every_s=0.05, show=lambda: self.text
        )

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """An empty page of a browser that ends with this context."""
    assert CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            door = Path(profile) / "DevToolsActivePort"
            eventually(lambda: door.exists() and door.read_text().count("\n"), "the browser listens")
            port = door.read_text().split("\n")[0]

            def page() -> str | None:
                found = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=10).json()
                return next((one["webSocketDebuggerUrl"] for one in found if one["type"] == "page"), None)

            socket = websocket.create_connection(eventually(page, "a page is open"), timeout=60, suppress_origin=True)
            try:
                yield Page(socket)
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait(20)
