#!/usr/bin/env python3
"""Opens report.html in a real browser and uses it: cases open, arrows show octets, filters filter, the console
stays silent, and nothing leaves the file.

    tests/reports/browser.py REPORT [SCREENSHOTS]

REPORT is the page of a run with at least one failing case. Pictures go to the folder, if one is given.
"""

import json
import pathlib
import sys

from chromium import Broke, Chromium

DONE = "document.querySelector('details.case[open] .seen-events li.chosen') !== null"


def expect(holds, what):
    if not holds:
        raise Broke(what)


def use(page, report):
    page.look(1400, 1000)
    page.open(report)
    expect(page.run("document.documentElement.classList.contains('scripted')"), "the script of the page did not run")
    total = page.run("document.querySelectorAll('details.case').length")
    shown = "[...document.querySelectorAll('details.case')].filter(it => it.offsetParent !== null).length"

    # Every pack can be opened: some cases of each, and what is in them.
    broken = page.run("""(async () => {
        const some = [...document.querySelectorAll('details.case')].filter((_, n) => n < 40 || n % 13 === 0);
        for (const it of some) { it.open = true; }
        for (let n = 0; n < 600 && some.some(it => !it.querySelector('.facts') || it.querySelector('.more')); n++) {
            await new Promise(done => setTimeout(done, 50));
        }
        return some.filter(it => it.querySelector('.more, .notice') || !it.querySelector('.facts')).map(it => it.id);
    })()""")
    expect(not broken, f"cases that do not open: {broken[:5]}")

    # Every link leads somewhere, and no place is there twice.
    lost = page.run("""(() => {
        const ids = [...document.querySelectorAll('[id]')].map(it => it.id);
        const known = new Set(ids);
        const twice = ids.length - known.size;
        const lost = [...document.querySelectorAll('a[href^="#"]')].map(it => it.getAttribute('href').slice(1))
            .filter(it => !known.has(it))
            // A message is there when its case was opened.
            .filter(it => { const of = /^c(\\d+)e/.exec(it); return !of || document.querySelector(`details.case[data-n="${of[1]}"][open]`); });
        return twice ? ['an id is there twice'] : lost;
    })()""")
    expect(not lost, f"links that lead nowhere: {lost[:5]}")

    # From a failing case to the wrong octets: one click on its link.
    page.open(report)
    page.run("document.querySelector('.finding .case-link a').click()")
    page.until(DONE)
    expect(page.run("document.querySelector('li.chosen .looked.fail, li.chosen .looked.error') !== null"),
           "a case does not open at what failed")

    # An arrow shows its own message, and the keys go on from there.
    page.run("document.querySelector('details.case[open] a.row').focus()")
    before = page.run("document.querySelector('li.chosen').id")
    page.run("document.querySelector('details.case[open] a.row').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    first = page.run("document.querySelector('li.chosen').id")
    page.press("ArrowDown")
    second = page.run("document.querySelector('li.chosen').id")
    expect(first != second, f"the arrow keys do not go on: {before}, {first}, {second}")
    expect(page.run("location.hash") == f"#{second}", "a message has no address")
    page.open(report, f"#{second}")
    page.until(DONE)
    expect(page.run("document.querySelector('li.chosen').id") == second, "an address does not lead to its message")

    # Filters: by verdict, by words, by requirement; and back.
    def filtered(script):
        page.run(f"(() => {{ const form = document.querySelector('form[data-for=cases]'); {script};"
                 " form.dispatchEvent(new Event('input', {bubbles: true})); })()")
        return page.run(shown)

    # What failed is fewer than all; it is just what the page says.
    fails = page.run("document.querySelectorAll('details.case.fail').length")
    expect(filtered("form.querySelector('[value=fail]').checked = true") == fails, "the verdicts do not filter")
    expect(filtered("form.querySelector('[value=fail]').checked = false") == total, "a filter does not go away")
    expect(filtered("form.elements.words.value = 'no such words'") == 0, "words do not filter")
    said = page.run("document.querySelector('form[data-for=cases] output').textContent")
    expect(said == f"0 of {total} cases", f"the number of cases is not told: {said}")
    filtered("form.elements.words.value = ''")
    some = filtered("form.elements.requirement.selectedIndex = 1")
    expect(0 <= some < total, "a requirement does not filter")
    filtered("form.elements.requirement.selectedIndex = 0")
    rows = page.run("document.querySelectorAll('#requirements tbody tr').length")
    page.run("document.querySelector('form[data-for=requirements] [value=SHOULD]').click()")
    expect(page.run("document.querySelectorAll('#requirements tbody tr:not([hidden])').length") < rows, "levels do not filter")
    page.run("document.activeElement.blur()")
    page.press("/")
    expect(page.run("document.activeElement.name") == "words", "/ does not go to the search")

    # What a screen reader and a keyboard need.
    nameless = page.run("""[...document.querySelectorAll('a, button, input, select, svg')].filter(it =>
        !(it.textContent.trim() || it.getAttribute('aria-label') || it.closest('label'))).length""")
    expect(nameless == 0, f"{nameless} things without a name")
    return total


def pictures(page, report, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, dark in (("light", 1400, False), ("dark", 1400, True), ("narrow", 420, False)):
        page.look(width, 1000, dark=dark)
        page.open(report)
        page.screenshot(folder / f"{name}.png")
        page.run("document.querySelector('.finding .case-link a').click()")
        page.until(DONE)
        page.screenshot(folder / f"{name}-case.png")
        expect(page.run("document.documentElement.scrollWidth <= innerWidth"), f"{name}: the page is wider than the window")
    page.look(1400, 1000)
    page.open(report)
    page.pdf(folder / "print.pdf")


def main():
    report = pathlib.Path(sys.argv[1])
    try:
        with Chromium() as page:
            total = use(page, report)
            complaints = page.complaints()
            if len(sys.argv) > 2:
                pictures(page, report, pathlib.Path(sys.argv[2]))
                complaints += page.complaints()
            expect(not complaints, f"the page complains, or asks for something: {json.dumps(complaints)[:2000]}")
            # Without script: verdicts, findings with octets, ladders of what failed.
            page.call("Emulation.setScriptExecutionDisabled", value=True)
            page.call("Page.navigate", url="about:blank")
            page.call("Page.navigate", url=report.resolve().as_uri())
            page.until("document.readyState === 'complete' && document.querySelector('details.case') !== null")
            expect(not page.run("document.documentElement.classList.contains('scripted')"), "script ran")
            expect(page.run("document.querySelector('.finding mark') !== null"), "without script no octets are marked")
            without = page.run("[...document.querySelectorAll('details.case.fail')].filter(it => !it.querySelector('svg')).length")
            failed = page.run("document.querySelectorAll('details.case.fail').length")
            expect(failed and without < failed, "without script no failing case has a ladder")
    except Broke as why:
        print(f"{report}: {why}", file=sys.stderr)
        return 1
    print(f"{report}: {total} cases open, filters filter, nothing complains, nothing leaves the file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
