#!/usr/bin/env python3
"""The Android files agree with each other, with the unit and with the daemon.

    android_test FUSED ANDROID/fused.rc UNIT

They can only be compiled in an Android tree; what can be wrong without one is
looked at here.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases

FUSED = RC = TE = CONTEXTS = PROPERTIES = CONFIG = UNIT = ""
# Of AOSP's policy.
AOSP_TYPES = {"system_file", "mnt_user_file"}


def read(path):
    with open(path, encoding="utf8") as content:
        return content.read()


def without_comments(text):
    return re.sub(r"(?m)#.*$", "", text)


def service(name="fused"):
    """A service of the .rc: its command, and its options by name."""
    ((command, body),) = re.findall(r"(?m)^service %s (.*)\n((?:    .*\n)+)" % name, without_comments(RC))
    return shlex.split(command), {line.split()[0]: line.split()[1:] for line in body.splitlines() if line.strip()}


def contexts():
    return [line.split() for line in CONTEXTS.splitlines() if line.strip()]


def label(path):
    """Its type, by the last pattern that matches, as for the kernel's."""
    found = None
    for pattern, context in contexts():
        if re.fullmatch(pattern, path):
            found = context.split(":")[2]
    return found


def declared():
    return set(re.findall(r"(?m)^type (\w+)[,;]", TE))


class AndroidTest(unittest.TestCase):
    def test_capabilities_are_the_same_everywhere(self):
        _, options = service()
        (allowed,) = re.findall(r"allow fused self:global_capability_class_set \{([^}]*)\};", TE)
        (unit,) = re.findall(r"(?m)^CapabilityBoundingSet=(.*)$", UNIT)
        self.assertEqual(sorted(options["capabilities"]), sorted(allowed.upper().split()))
        # The posix profile's are not needed there.
        posix = {"CAP_MKNOD", "CAP_SETFCAP", "CAP_LINUX_IMMUTABLE"}
        self.assertEqual({"CAP_" + name for name in options["capabilities"]}, set(unit.split()) - posix)

    def test_what_is_started_has_its_label(self):
        command, options = service()
        self.assertEqual(label(command[0]), "fused_exec")
        self.assertEqual(label(os.path.dirname(command[0]) + "/fusedctl"), "fusedctl_exec")
        offered = subprocess.run([FUSED, "--help"], check=True, capture_output=True, text=True).stdout
        for argument in command[1:]:
            flag, _, value = argument.partition("=")
            self.assertRegex(offered, r"(?m)^ *%s\b" % flag)
            self.assertEqual(label(value), "system_file")
        (context,) = options["seclabel"]
        self.assertEqual(context.split(":")[2], "fused")

    def test_the_property_tells_that_it_serves(self):
        command, options = service("fused_serving")
        self.assertEqual(command[:2], ["/system/bin/sh", "-c"])
        ctl, control, *wait = command[2].split(" && ")[0].split()
        self.assertEqual(label(ctl), "fusedctl_exec")
        self.assertIn('control: "%s"' % control.partition("=")[2], CONFIG)
        self.assertEqual(wait[0], "wait")
        self.assertEqual(options["seclabel"], ["u:r:fused_serving:s0"])
        self.assertIn("oneshot", options)
        # Only behind a wait that has succeeded, which init does not look at.
        ((name, context),) = re.findall(r"(?m)^(\S+) (\S+) ", PROPERTIES)
        set_to_one = "setprop %s 1" % name
        self.assertEqual(command[2].split(" && ")[1:], [set_to_one])
        self.assertEqual(without_comments(RC).count(set_to_one), 1)
        self.assertNotRegex(RC, r"(?m)^ +exec\b")
        self.assertIn(context.split(":")[2], declared())

    def test_every_place_is_made_and_labelled(self):
        made = dict(re.findall(r"(?m)^    mkdir (\S+) (\d+)", RC))
        places = dict(re.findall(r'(?m)^ *(mountpoint|state_dir|control|views_dir): "(.*)"', CONFIG))
        self.assertEqual(len(places), 4)
        places["control"] = os.path.dirname(places["control"])
        self.assertEqual(sorted(made), sorted(places.values()))
        self.assertEqual(made[places["mountpoint"]], "0000")
        self.assertEqual(made[places["state_dir"]], "0700")
        for place in places.values():
            self.assertIsNotNone(label(place), place)

    def test_every_type_is_declared(self):
        for _, context in contexts():
            self.assertIn(context.split(":")[2], declared() | AOSP_TYPES)
        used = set(re.findall(r"\b(fused\w*)\b", without_comments(TE)))
        self.assertEqual(used - declared(), set())
        self.assertEqual(declared() - used, set())

    def test_rules_have_their_form(self):
        macro = re.compile(r"(init_daemon_domain\(\w+\)|set_prop\(\w+, \w+\))")
        names = r"(?:[~-]?[\w$]+|\{(?: ?[~-]?\w+)+ ?\})"
        rule = re.compile(r"(type \w+(, \w+)*|(allow|neverallow) %s %s:%s (%s|\*))" % (names, names, names, names))
        text = macro.sub("", without_comments(TE))
        statements = [" ".join(statement.split()) for statement in text.split(";")]
        self.assertEqual(statements.pop(), "")
        for statement in statements:
            self.assertRegex(statement, "^%s$" % rule.pattern)

    def test_the_daemon_takes_the_configuration(self):
        with tempfile.TemporaryDirectory() as top:
            text = CONFIG
            for place in ("/data/misc/fused", "/dev/socket/fused", "/mnt/fused_views", "/mnt/fused", "/data/media"):
                text = re.sub('"%s(?=["/])' % place, '"%s%s' % (top, place), text)
                os.makedirs(top + place, exist_ok=True)
            os.mkdir(top + "/data/media/0")
            with open(top + "/config", "w", encoding="utf8") as out:
                out.write(text)
            done = subprocess.run([FUSED, "--check", "--config=" + top + "/config"], capture_output=True, text=True,
                                  check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


def main():
    global FUSED, RC, TE, CONTEXTS, PROPERTIES, CONFIG, UNIT
    FUSED, rc, unit = (os.path.abspath(path) for path in sys.argv[1:4])
    del sys.argv[1:4]
    android = os.path.dirname(rc)
    RC, UNIT = read(rc), read(unit)
    TE, CONTEXTS, PROPERTIES, CONFIG = (
        read(os.path.join(android, name)) for name in ("fused.te", "file_contexts", "property_contexts", "fused.textproto"))
    cases.main()


if __name__ == "__main__":
    main()
