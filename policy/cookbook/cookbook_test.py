#!/usr/bin/env python3
"""Each recipe is free of lint and decides as its table says.

    cookbook_test FUSEDCTL

RECIPE.expect has lines "UID OPERATION PATH [OWNER]: VERDICT", where OWNER is
the package that made the file.
"""

import glob
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
FUSEDCTL = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
APPS = os.path.join(HERE, "apps.textproto")


def recipes():
    return sorted(path for path in glob.glob(os.path.join(HERE, "*.textproto")) if path != APPS)


def ask(*arguments):
    done = subprocess.run([FUSEDCTL] + list(arguments), capture_output=True, check=False, text=True)
    return done.stdout + done.stderr


class CookbookTest(unittest.TestCase):
    def test_lint(self):
        self.assertGreaterEqual(len(recipes()), 1)
        for recipe in recipes() + [APPS]:
            with self.subTest(recipe=os.path.basename(recipe)):
                self.assertEqual(ask("lint", recipe), "")

    def test_decisions(self):
        for recipe in recipes():
            with open(recipe.replace(".textproto", ".expect"), encoding="utf8") as table:
                rows = [line.strip() for line in table if line.strip() and not line.startswith("#")]
            self.assertGreaterEqual(len(rows), 3)
            for row in rows:
                question, _, verdict = row.partition(": ")
                uid, operation, path, *owner = question.split()
                with self.subTest(recipe=os.path.basename(recipe), row=row):
                    flags = ["--owner=" + owner[0]] if owner else []
                    said = ask("explain", "--policy=" + recipe, "--apps=" + APPS, "--uid=" + uid, "--op=" + operation,
                               path, *flags)
                    self.assertEqual(said.splitlines()[0].strip(), verdict, said)


if __name__ == "__main__":
    cases.main()
