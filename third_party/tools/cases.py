"""unittest, with each case told to Bazel, and not the whole file as one.

    import cases
    cases.main()

Without $XML_OUTPUT_FILE it is unittest.main. The place of that file is kept
from the import on: a test may go into another root.
"""

import os
import re
import unittest
import xml.etree.ElementTree as ET

_XML = os.environ.get("XML_OUTPUT_FILE")
_DIRECTORY = os.open(os.path.dirname(os.path.abspath(_XML)), os.O_PATH | os.O_CLOEXEC) if _XML else None
# What XML cannot hold.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")


class Result(unittest.TextTestResult):
    """What became of each case, by its name."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.told = {}

    def tell(self, test, what, text):
        # The first thing that goes wrong in a case is the case's.
        if self.told.get(test.id(), ("passed",))[0] == "passed":
            self.told[test.id()] = (what, text)

    def startTest(self, test):
        super().startTest(test)
        self.told[test.id()] = ("passed", "")

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(test, "error", self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell(test, "failure", self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.tell(test, "failure", str(subtest) + ": " + str(err[1]))

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.tell(test, "failure", "it should have failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, "skipped", reason)


def write(told):
    suite = ET.Element("testsuite")
    for name, (what, text) in told.items():
        group, _, leaf = name.rpartition(".")
        case = ET.SubElement(suite, "testcase", classname=group, name=leaf)
        if what != "passed":
            ET.SubElement(case, what, message=_NOT_TEXT.sub("?", text))
    top = ET.Element("testsuites")
    top.append(suite)
    descriptor = os.open(os.path.basename(_XML), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=_DIRECTORY)
    with open(descriptor, "wb") as out:
        ET.ElementTree(top).write(out)


def run(**options):
    """All cases of the script; returns unittest's result."""
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Result, failfast=options.pop("failfast", False))
    result = unittest.main("__main__", testRunner=runner, exit=False, **options).result
    if _XML:
        write(result.told)
    return result


def main(**options):
    raise SystemExit(0 if run(**options).wasSuccessful() else 1)
