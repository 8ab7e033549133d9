"""Chromium without a window, steered over a pipe: what a page says, asks for and looks like.

Nothing but the standard library: the protocol is JSON between NULs on two file descriptors.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time


class Broke(Exception):
    """The browser, or a script in it."""


class Chromium:
    def __init__(self):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            raise Broke("chromium is not installed: apt-get install chromium")
        self.home = tempfile.mkdtemp(prefix="chromium-")
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()

        def descriptors():
            # 3 and 4 are where it reads and writes; either may be taken by the other's end.
            first, second = os.dup(to_read), os.dup(to_write)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             "--no-first-run", "--hide-scrollbars", f"--user-data-dir={self.home}"],
            preexec_fn=descriptors, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.rest, self.last, self.events = b"", 0, []

    def __enter__(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)
        os.close(self.read)
        os.close(self.write)
        shutil.rmtree(self.home, ignore_errors=True)

    session = None

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        wanted = self.last
        while True:
            said = self._next()
            if said.get("id") == wanted:
                if "error" in said:
                    raise Broke(f"{method}: {said['error']}")
                return said["result"]
            self.events.append(said)

    def _next(self):
        deadline = time.monotonic() + 60
        while b"\0" not in self.rest:
            if not select.select([self.read], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Broke("chromium says nothing any more")
            octets = os.read(self.read, 1 << 20)
            if not octets:
                raise Broke("chromium ended")
            self.rest += octets
        said, self.rest = self.rest.split(b"\0", 1)
        return json.loads(said)

    def open(self, path, anchor=""):
        """Opens a file, and waits until it is there."""
        self.events = []
        # The same page with another place in it would not be loaded again.
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri() + anchor)
        return self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script):
        """The value of an expression; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Broke(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, script):
        deadline = time.monotonic() + 60
        while not (value := self.run(script)):
            if time.monotonic() > deadline:
                raise Broke(f"never became true: {script}")
            time.sleep(0.02)
        return value

    def look(self, width, height, *, dark=False, scale=1):
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="screen", features=features)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def screenshot(self, path):
        octets = self.call("Page.captureScreenshot", format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(octets))

    def pdf(self, path):
        self.call("Emulation.setEmulatedMedia", media="print")
        octets = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(octets))

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            code = {"ArrowDown": 40, "ArrowUp": 38, "Tab": 9, "/": 191}[key]
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      **({"text": key} if len(key) == 1 and kind == "keyDown" else {}))

    def complaints(self):
        """What the page said to the console, what it threw, and what it asked for besides itself."""
        self.run("1")
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.consoleAPICalled":
                found.append(f"console: {params['args']}")
            elif method == "Runtime.exceptionThrown":
                found.append(f"threw: {params['exceptionDetails']}")
            elif method == "Log.entryAdded":
                found.append(f"log: {params['entry']['text']}")
            elif method == "Network.requestWillBeSent":
                if not params["request"]["url"].startswith(("file:", "about:")) or params.get("type") != "Document":
                    found.append(f"asked for {params['request']['url']}")
        return found
