"""A real browser for system tests: Chromium, driven over the W3C WebDriver protocol.

`Browser.start` runs chromedriver on a port it chooses and opens one headless window with a profile
of its own; `stop` ends both. Only the standard library speaks to it.
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesos_twisted.testing.processes import wait_until

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--window-size=1280,900",
)
_STARTED = "started successfully on port "
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


@dataclass
class Browser:
    """One window."""

    process: subprocess.Popen[str]
    port: int = 0
    session: str = ""
    lines: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, profile: Path) -> Browser:
        """A window that knows nothing yet. Raises AssertionError when it does not open."""
        process = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        browser = cls(process)
        threading.Thread(target=browser._read, daemon=True).start()
        try:
            browser.port = wait_until(browser._listening, "chromedriver listens", 30)
            options = {"args": [*_ARGUMENTS, f"--user-data-dir={profile}"]}
            capabilities = {
                "acceptInsecureCerts": True,
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            made = browser._call(
                "POST", "/session", {"capabilities": {"alwaysMatch": capabilities}}
            )
        except BaseException:
            browser.stop()
            raise
        browser.session = made["sessionId"]
        return browser

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _listening(self) -> int:
        for line in self.lines:
            if _STARTED in line:
                return int(line.partition(_STARTED)[2].rstrip("."))
        assert self.process.poll() is None, self.lines
        return 0

    def _call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = None if method == "GET" else json.dumps(body or {})
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            connection.close()
        assert answer.status == 200, f"{method} {path}: {value['error']}: {value['message']}"
        return value

    def _in(self, method: str, path: str, body: object = None) -> Any:
        return self._call(method, f"/session/{self.session}{path}", body)

    def stop(self) -> None:
        """Nothing of it is left."""
        try:
            if self.session:
                self._in("DELETE", "")
        finally:
            # A driver that is told to end takes its windows with it.
            self.process.terminate()
            self.process.wait(20)

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        self._in("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """What the body of a function returns in the page."""
        return self._in("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str = "main") -> str:
        """What a reader sees of an element; nothing when there is none."""
        script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : '';"
        return str(self.run(script, selector))

    def wait_for(self, words: str, selector: str = "main", timeout_s: float = 30.0) -> str:
        """The element's text once it contains these words."""
        return str(
            wait_until(
                lambda: text if words in (text := self.text(selector)) else None,
                f"the page shows {words!r} (it shows {self.text('body')[:2000]!r})",
                timeout_s,
            )
        )

    def click(self, selector: str) -> None:
        """Click on an element."""
        self._in("POST", f"/element/{self._find(selector)}/click")

    def type(self, selector: str, words: str) -> None:
        """Type into an element."""
        self._in("POST", f"/element/{self._find(selector)}/value", {"text": words})

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self._in("POST", "/actions", {"actions": [source]})

    def _find(self, selector: str) -> str:
        found = self._in("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def complaints(self) -> list[str]:
        """What the console said since the last call, warnings and errors."""
        entries = self._in("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] in ("WARNING", "SEVERE")]

    def devtools(self, command: str, **parameters: object) -> Any:
        """A command of the DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._in("POST", "/goog/cdp/execute", body)

    def screenshot(self, path: Path) -> None:
        """A picture of the window."""
        path.write_bytes(base64.b64decode(self._in("GET", "/screenshot")))
