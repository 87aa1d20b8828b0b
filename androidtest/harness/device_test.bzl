"""Tests of a running daemon, as apps and operators see it."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def device_test(name, srcs, deps = [], data = [], env = {}, uring = False, **kwargs):
    """Defines a cc_test with the harness, and with the programs under test.

    Args:
      name: the test's name
      srcs: as cc_test's
      deps: as cc_test's, beside the harness
      data: as cc_test's
      env: as cc_test's
      uring: also defines a test, NAME with "_uring_test" for "_test", in
        which the views' requests come over io_uring
      **kwargs: cc_test's others
    """
    _one_test(name, srcs, deps, data, env, **kwargs)
    if uring:
        over_uring = dict(env, FUSED_TEST_TRANSPORT = "uring")
        _one_test(name[:-len("_test")] + "_uring_test", srcs, deps, data, over_uring, **kwargs)

def _one_test(name, srcs, deps, data, env, **kwargs):
    cc_test(
        name = name,
        srcs = srcs,
        data = data + [
            "//fused",
            "//fused:fusedctl",
        ],
        env = dict(
            env,
            FUSED = "$(rootpath //fused:fused)",
            FUSEDCTL = "$(rootpath //fused:fusedctl)",
        ),
        # Root, /dev/fuse and backing files, which no sandbox has; one daemon at
        # a time; never from the cache, since the kernel is no input.
        tags = [
            "exclusive",
            "external",
            "local",
        ],
        deps = deps + [
            "//androidtest/harness:bulk",
            "//androidtest/harness:device",
            "//androidtest/harness:files",
            "//androidtest/harness:fixture",
            "//androidtest/harness:main",
            "//androidtest/harness:matchers",
            "//androidtest/harness:mounts",
            "//androidtest/harness:process",
            "//androidtest/harness:program",
            "//androidtest/harness:transport",
            "@com_google_absl//absl/strings",
            "@com_google_absl//absl/time",
            "@com_google_googletest//:gtest",
        ],
        **kwargs
    )
