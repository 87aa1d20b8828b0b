#!/usr/bin/env python3
"""Tests of the dashboard and of the picture.

    grafana_test fused.json make_dashboard.py draw.py
"""

import importlib.util
import os
import subprocess
import sys
import unittest
import xml.dom.minidom

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases

JSON, MAKE, DRAW = sys.argv[1:4]

BEFORE = """# TYPE fused_requests counter
fused_requests_total{volume="v",opcode="OPEN",result="OK"} 10
fused_app_requests_total{uid="10001",package="a<b"} 10
fused_request_duration_seconds_bucket{volume="v",opcode="OPEN",le="0.001"} 10
fused_request_duration_seconds_bucket{volume="v",opcode="OPEN",le="+Inf"} 10
fused_nodes{volume="v"} 5
"""


def load(path):
    spec = importlib.util.spec_from_file_location("draw", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class GrafanaTest(unittest.TestCase):
    def test_the_dashboard_is_its_scripts(self):
        made = subprocess.run([sys.executable, MAKE], check=True, capture_output=True).stdout
        with open(JSON, "rb") as file:
            self.assertEqual(file.read(), made)

    def test_a_picture_is_xml_and_tells_the_rates(self):
        draw = load(DRAW)
        now = BEFORE.replace(" 10\n", " 30\n")
        run = [(100.0, draw.parse(BEFORE)), (102.0, draw.parse(now))]
        self.assertEqual(
            draw.rates(run, "fused_requests_total", ["opcode"]), {"OPEN": [(2.0, 10.0)]})
        (_, median), = draw.quantiles(run, 0.5)["OPEN"]
        self.assertAlmostEqual(median, 500)
        picture = xml.dom.minidom.parseString(draw.draw(run))
        texts = [t.firstChild.data for t in picture.getElementsByTagName("text") if t.firstChild]
        self.assertIn("10001 a<b", texts)
        self.assertIn("Requests by opcode", texts)


if __name__ == "__main__":
    cases.main(argv=sys.argv[:1])
