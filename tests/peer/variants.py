#!/usr/bin/env python3
"""Writes the profiles of the peer server's variants and faults from profile.yaml.

    variants.py --out DIR [--variant NAME,NAME] [--fault NAME,NAME] [--fixed] [--black-box]

prints the path of the profile written. `--fixed` leaves out the policy adapter, `--black-box` every adapter
but the process: no control API is started, and time is real. `--list variants|faults` lists the names.
"""

import argparse
import os
import re

from catalogue import FAULTS, VARIANTS

HERE = os.path.dirname(os.path.abspath(__file__))


def profile(variants, faults, fixed, black_box):
    with open(os.path.join(HERE, "profile.yaml"), encoding="utf-8") as template:
        text = template.read()
    pics = {}
    for name in variants:
        pics.update(VARIANTS[name][1])
    for name in faults:
        pics.update(FAULTS[name][1])
    for key, value in pics.items():
        shown = value if isinstance(value, int) else "[" + ", ".join(value) + "]" if isinstance(value, list) \
            else "'" + value + "'"
        text, found = re.subn(rf"(?m)^  {re.escape(key)}: .*$", lambda _: f"  {key}: {shown}", text)
        assert found, key
    arguments = ["--variant", ",".join(variants)] if variants else []
    arguments += ["--fault", ",".join(faults)] if faults else []
    more = "".join(f', "{argument}"' for argument in arguments)
    text = text.replace('"${profile}/imserver.py"', f'"{HERE}/imserver.py"')
    text = text.replace('--dir, "${dir}"]', f'--dir, "${{dir}}"{more}]')
    name = "-".join(["peer", *variants, *faults]) + ("-fixed" * fixed) + ("-black-box" * black_box)
    text = text.replace("name: peer\n", f"name: {name}\n")
    if "any-user" in variants:
        text = text.replace("provision: control", "provision: none")
    if "clock-whole-seconds" in variants:
        text = text.replace('clock: { control: { url: "http://127.0.0.1:${port.control}" } }',
                            'clock: { control: { url: "http://127.0.0.1:${port.control}", resolution: 1s } }')
    if fixed or black_box:
        text = re.sub(r"(?s)  policy:\n    control:.*?\n  process:", "  policy: fixed\n  process:", text)
    if black_box:
        text = re.sub(r"(?m)^  store: \{ control.*$", "  store: none", text)
        text = re.sub(r"(?m)^  clock: \{ control.*$", "  clock: real", text)
        text = text.replace(', --control, "${port.control}"', "").replace("ports: [sip, control, msrp]", "ports: [sip, msrp]")
        text = text.replace("inspect.kind: http", "inspect.kind: none").replace(
            "clock.control: virtual", "clock.control: none")
    return name, text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out")
    parser.add_argument("--variant", default="")
    parser.add_argument("--fault", default="")
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--black-box", action="store_true")
    parser.add_argument("--list", choices=["variants", "faults"])
    args = parser.parse_args()
    if args.list:
        print("\n".join(VARIANTS if args.list == "variants" else FAULTS))
        return
    variants, faults = ([n for n in given.split(",") if n] for given in (args.variant, args.fault))
    if args.black_box and "any-user" not in variants:
        variants.append("any-user")
    name, text = profile(variants, faults, args.fixed, args.black_box)
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, name + ".yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    print(path)


if __name__ == "__main__":
    main()
