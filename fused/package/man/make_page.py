#!/usr/bin/env python3
"""Makes a manual page of its source, and of what the programs say themselves.

    make_page.py --out=FILE --version=V [--program=PROGRAM]
        [--commands=commands.txt] [--config=config.proto] SOURCE [RECIPE...]

In the source @FLAGS@ and @COMMANDS@ are what PROGRAM --help lists, so that a
page has every flag and command there is; @CONFIG@ is the fields of a
configuration and @COOKBOOK@ the recipes.
"""

import argparse
import os
import re
import subprocess


def read(path):
    with open(path, encoding="utf8") as source:
        return source.read()


def escape(text):
    """Text of a line that must not be taken for a request."""
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[:1] in (".", "'") else text


def flags(text):
    lines = []
    for name, what in re.findall(r"^  --(\w+) +(.*)$", text, re.M):
        lines += [".It Fl Fl " + name, escape(what)]
    return "\n".join(lines)


def commands(text, described):
    lines = []
    for line in re.findall(r"^  ([a-z].*)$", text, re.M):
        name, _, arguments = line.partition(" ")
        lines.append(".It Cm " + name + (" Ar " + arguments.replace("-", "\\-") if arguments else ""))
        lines.append(escape(described.get(name, "")))
    return "\n".join(line for line in lines if line)


def values(text):
    """The enumerations of a .proto file; the value 0 is that of a field not set."""
    lines = []
    pattern = r"((?:^ *//.*\n)*)^( *)enum (\w+) \{\n([\s\S]*?)^\2\}"
    for comment, _, name, body in re.findall(pattern, text, re.M):
        lines += [".Ss " + name, *prose(comment), ".Bl -tag -width Ds -compact"]
        for before, value, number in re.findall(r"((?:^ *//.*\n)*)^ *(\w+) = (\d+);", body, re.M):
            lines.append(".It Li " + value if number != "0" else ".It (none)")
            lines += prose(before)
        lines.append(".El")
    return lines


def fields(text):
    """The messages of a .proto file, with what stands before each field."""
    lines = []
    for comment, message, body in re.findall(r"((?:^//.*\n)*)^message (\w+) \{\n([\s\S]*?)^\}", text, re.M):
        lines += [".Ss " + message, *prose(comment), ".Bl -tag -width Ds -compact"]
        body = re.sub(r"(?m)^  enum [\s\S]*?^  \}\n", "", body)
        pattern = r"((?:^ *//.*\n)*)^  (repeated )?(\w+) (\w+) = \d+;"
        for before, repeated, kind, name in re.findall(pattern, body, re.M):
            lines.append(".It Li %s No (%s%s)" % (name, kind, ", repeated" if repeated else ""))
            lines += prose(before)
        lines.append(".El")
    return "\n".join(lines + values(text))


def prose(comment):
    """A comment's text, of paragraphs as one."""
    return [escape(line.strip().lstrip("/").strip()) for line in comment.splitlines() if line.strip(" /")]


def cookbook(recipes):
    lines = []
    for path in recipes:
        text = read(path)
        comment = re.match(r"(?:#.*\n)+", text).group(0)
        prose = [line.lstrip("# ") for line in comment.splitlines() if "proto-" not in line]
        lines.append(".Ss " + os.path.basename(path).replace(".textproto", "").replace("_", " "))
        lines += [escape(line) for line in prose if line]
        lines += ['.\\" test: policy', ".Bd -literal"] + [escape(line) for line in text[len(comment) :].strip().splitlines()] + [".Ed"]
    return "\n".join(lines)


def one_sentence_a_line(page):
    """As troff wants it, to set the space behind a sentence."""
    lines, literal = [], False
    for line in page.splitlines():
        if line.startswith((".Bd -literal", ".Ed")):
            literal = line != ".Ed"
        text = not literal and not line.startswith(".")
        lines.append(re.sub(r"(?<=[a-zA-Z)}0-9])\. (?=[A-Z])", ".\n", line) if text else line)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--program")
    parser.add_argument("--commands")
    parser.add_argument("--config")
    parser.add_argument("source")
    parser.add_argument("recipes", nargs="*")
    arguments = parser.parse_args()
    page = read(arguments.source).replace("@VERSION@", arguments.version)
    if arguments.program:
        said = subprocess.run([arguments.program, "--help"], check=True, capture_output=True, text=True).stdout
        described = dict(line.split(": ", 1) for line in read(arguments.commands).splitlines()) if arguments.commands else {}
        page = page.replace("@FLAGS@", flags(said)).replace("@COMMANDS@", commands(said, described))
    if arguments.config:
        page = page.replace("@CONFIG@", fields(read(arguments.config)))
    page = page.replace("@COOKBOOK@", cookbook(arguments.recipes))
    with open(arguments.out, "w", encoding="utf8") as out:
        out.write(one_sentence_a_line(page))


if __name__ == "__main__":
    main()
