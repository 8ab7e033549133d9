#!/usr/bin/env python3
"""The adapters of kind `command` for a server with a control API: an example to start from.

    control.py URL store ACCOUNT      prints the records of an account, one a line
    control.py URL clock              prints what the store clock shows
    control.py URL advance MS         moves it on by so many milliseconds
    control.py URL set KEY VALUE      makes a choice
    control.py URL add ACCOUNT        makes sure that an account is there

For another server only the five functions below change: where they get their answers from is their own affair. A
record is JSON with the keys of `Message` in reference-server/openapi.yaml; what is left out is unknown.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request


def ask(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return json.loads(answer.read() or "null")


def store(url, account):
    for record in ask(f"{url}/v1/messages?account={urllib.parse.quote(account, safe='')}")["messages"]:
        print(json.dumps(record))


def clock(url):
    print(ask(f"{url}/v1/clock")["now"])


def advance(url, ms):
    ask(f"{url}/v1/clock/advance", "POST", {"by_ms": int(ms)})


def choose(url, key, value):
    # A text is given as it is, everything else as JSON.
    try:
        value = json.loads(value)
    except ValueError:
        pass
    ask(f"{url}/v1/policy", "PATCH", {key: value})


def add(url, account):
    ask(f"{url}/v1/accounts", "POST", {"add": [account]})


if __name__ == "__main__":
    _, url, what, *more = sys.argv
    try:
        {"store": store, "clock": clock, "advance": advance, "set": choose, "add": add}[what](url, *more)
    except urllib.error.HTTPError as answer:
        # 65 says that the server cannot have this value or this account.
        sys.exit(65 if answer.code == 422 else str(answer))
