#!/usr/bin/env python3
"""Tests of what says whether all is well."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
HERE = os.path.abspath("third_party/tools")
sys.path.append(HERE)

import cases
import count

SAMPLE = """
import sys
import unittest
sys.path.append(%r)
import cases

class Sample(unittest.TestCase):
    def test_right(self): pass
    def test_wrong(self): self.fail("\x01 no text")
    def test_skipped(self): self.skipTest("no cgroups")
    def test_parts(self):
        for part in range(3):
            with self.subTest(part=part):
                self.assertLess(part, 1)

@unittest.skip("not root")
class Other(unittest.TestCase):
    def test_1(self): pass
    def test_2(self): pass

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no file")
    def test_never(self): pass

cases.main()
""" % HERE


class ToolsTest(unittest.TestCase):
    def setUp(self):
        top = tempfile.TemporaryDirectory()
        self.addCleanup(top.cleanup)
        self.top = top.name

    def test_each_case_is_counted(self):
        script, told = self.top + "/sample.py", self.top + "/test.xml"
        with open(script, "w", encoding="utf8") as out:
            out.write(SAMPLE)
        done = subprocess.run(["python3", script], env=dict(os.environ, XML_OUTPUT_FILE=told), capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        # Failed: wrong, the parts as one, and the class that was not set up.
        self.assertEqual(count.cases(told), (1, 3, 3), done.stderr)

    def lint(self, **environment):
        done = subprocess.run(["python3", HERE + "/lint.py", "format", "buildifier", "walls", "length"],
                              env=dict(os.environ, BUILD_WORKSPACE_DIRECTORY=self.top, **environment),
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()[-1]

    def test_lint_of_no_files_fails(self):
        self.assertEqual(self.lint(GIT_DIR=self.top + "/none"), (1, "0 passed, 4 failed"))
        subprocess.run(["git", "init", "--quiet", self.top], check=True)
        self.assertEqual(self.lint(), (1, "0 passed, 4 failed"))


if __name__ == "__main__":
    cases.main()
