#!/usr/bin/env python3
"""Counts test cases: closes with a line "N passed, N failed".

count.py EVENTS CODE: what `bazel test --build_event_json_file=EVENTS` wrote,
and its exit code. A target which is not built, crashes or runs out of time
counts as a failed case.
"""

import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree as ET


def cases(path):
    """Returns (passed, failed, skipped) of one test.xml."""
    passed = failed = skipped = 0
    for case in ET.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def read_events(path):
    """Returns the status and the test.xml files of each test target."""
    status, xmls = {}, {}
    for line in open(path) if os.path.exists(path) else []:
        event = json.loads(line)
        id_ = event["id"]
        if "targetConfigured" in id_ and "testSize" in event.get("configured", {}):
            status.setdefault(id_["targetConfigured"]["label"], "NO_STATUS")
        elif "testResult" in id_:
            label = id_["testResult"]["label"]
            for output in event.get("testResult", {}).get("testActionOutput", []):
                if output["name"] == "test.xml":
                    name = urllib.parse.urlparse(output["uri"]).path
                    xmls.setdefault(label, []).append(urllib.parse.unquote(name))
        elif "testSummary" in id_ and "testSummary" in event:
            status[id_["testSummary"]["label"]] = event["testSummary"]["overallStatus"]
    return status, xmls


def main():
    status, xmls = read_events(sys.argv[1])
    code = int(sys.argv[2])
    passed = failed = skipped = 0
    for label in sorted(status):
        p = f = s = 0
        for path in xmls.get(label, []):
            one = cases(path)
            p, f, s = p + one[0], f + one[1], s + one[2]
        if status[label] not in ("PASSED", "FLAKY") and f == 0:
            f = 1
        print("%-10s %3d passed %3d failed %3d skipped  %s" % (status[label], p, f, s, label))
        passed, failed, skipped = passed + p, failed + f, skipped + s
    # 4: there are no tests.
    if code not in (0, 4) and failed == 0:
        failed = 1
    if skipped:
        print("%d skipped" % skipped)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
