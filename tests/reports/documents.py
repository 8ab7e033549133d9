#!/usr/bin/env python3
"""Opens comparisons and statements in a real browser, which must have nothing to complain about: they have no script, load
nothing, fit the window and lead nowhere that is not there.

    tests/reports/documents.py [--pictures FOLDER] PAGE...
"""

import json
import pathlib
import sys

from chromium import Broke, Chromium

LOST = """(() => {
    const ids = [...document.querySelectorAll('[id]')].map(it => it.id);
    const lost = [...document.querySelectorAll('a[href^="#"]')].map(it => it.getAttribute('href').slice(1));
    return new Set(ids).size < ids.length ? ['an id is there twice'] : lost.filter(it => !ids.includes(it));
})()"""


def expect(holds, what):
    if not holds:
        raise Broke(what)


def read(page, file, pictures):
    for name, width, dark in (("light", 1400, False), ("dark", 1400, True), ("narrow", 420, False)):
        page.look(width, 1000, dark=dark)
        page.open(file)
        expect(page.run("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than the window")
        expect(page.run("document.querySelectorAll('tbody tr').length") > 0, "there is nothing in it")
        if pictures:
            page.screenshot(pictures / f"{file.stem}-{name}.png")
    expect(not page.run(LOST), f"links that lead nowhere: {page.run(LOST)[:5]}")
    # A verdict is told by its word and its sign, not by its colour alone.
    bare = page.run("[...document.querySelectorAll('.verdict')].filter(it => it.textContent.trim().length < 3).length")
    expect(bare == 0, f"{bare} verdicts without a word")


def main():
    files = sys.argv[1:]
    pictures = None
    if files and files[0] == "--pictures":
        pictures = pathlib.Path(files[1])
        pictures.mkdir(parents=True, exist_ok=True)
        files = files[2:]
    for file in map(pathlib.Path, files):
        try:
            with Chromium() as page:
                read(page, file, pictures)
                complaints = page.complaints()
                expect(not complaints, f"the page complains, or asks for something: {json.dumps(complaints)[:2000]}")
        except Broke as why:
            print(f"{file}: {why}", file=sys.stderr)
            return 1
        print(f"{file}: nothing complains, nothing leaves the file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
