"""A real Chromium, driven through chromedriver's plain HTTP (w3.org/TR/webdriver2).

Both are ended by `close`, whatever happened; the profile is a folder that is removed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DEADLINE = 60.0
UP, DOWN, LEFT, RIGHT = "\ue013", "\ue015", "\ue012", "\ue014"
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_STARTED = re.compile(rb"started successfully on port (\d+)")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root may not have one, and the page is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)


class Browser:
    """One browser with one page."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._folder.name},
            start_new_session=True,
        )
        self._session = ""
        try:
            assert self._driver.stdout is not None
            port = next(
                int(found[1]) for line in self._driver.stdout if (found := _STARTED.search(line))
            )
            self._base = f"http://127.0.0.1:{port}"
            options = [*_OPTIONS, f"--user-data-dir={self._folder.name}/profile"]
            wanted = {
                "goog:chromeOptions": {"args": options},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/session/{made['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=json.dumps(body if body is not None else {}).encode()
            if method == "POST"
            else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def close(self) -> None:
        """End the browser and its driver."""
        try:
            if self._session:
                self._ask("DELETE", self._session)
        finally:
            os.killpg(self._driver.pid, signal.SIGKILL)
            self._driver.wait(DEADLINE)
            assert self._driver.stdout is not None
            self._driver.stdout.close()
            self._folder.cleanup()

    def open(self, page: Path) -> None:
        """Load a page, and wait until its script has drawn it."""
        self._ask("POST", f"{self._session}/url", {"url": page.as_uri()})
        ready = self.run("return document.documentElement.dataset.ready")
        assert ready == "true", self.log("browser")

    def run(self, script: str, *arguments: object) -> Any:
        """Run a function's body in the page and return its value."""
        body = {"script": script, "args": arguments}
        return self._ask("POST", f"{self._session}/execute/sync", body)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return what was logged since the last call: `browser` or `performance`."""
        found: list[dict[str, Any]] = self._ask("POST", f"{self._session}/se/log", {"type": kind})
        return found

    def requests(self, page: Path) -> list[str]:
        """Return the addresses that a page asked for since the last call, itself among them."""
        messages = [json.loads(one["message"])["message"] for one in self.log("performance")]
        # The browser's own first page has requests too.
        return [
            one["params"]["request"]["url"]
            for one in messages
            if one["method"] == "Network.requestWillBeSent"
            and one["params"]["documentURL"] == page.as_uri()
        ]

    def resize(self, width: int, height: int) -> None:
        """Give the window a size."""
        self._ask("POST", f"{self._session}/window/rect", {"width": width, "height": height})

    def find(self, selector: str) -> str:
        """Return the one element that fits, scrolled to by what is done with it."""
        found = self._ask(
            "POST", f"{self._session}/elements", {"using": "css selector", "value": selector}
        )
        assert len(found) == 1, (selector, len(found))
        element: str = found[0][_ELEMENT]
        return element

    def click(self, selector: str) -> None:
        """Click on an element with the mouse."""
        self._ask("POST", f"{self._session}/element/{self.find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into an element."""
        self._ask("POST", f"{self._session}/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": strokes}
        self._ask("POST", f"{self._session}/actions", {"actions": [keyboard]})

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        element = self.find(selector)
        shown: str = self._ask("GET", f"{self._session}/element/{element}/text")
        return shown

    def texts(self, selector: str) -> list[str]:
        """Return what all elements that fit hold."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        found: list[str] = self.run(script, selector)
        return found
