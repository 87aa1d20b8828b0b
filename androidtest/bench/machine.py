"""What figures were taken on."""

import glob
import os
import platform
import re

from lab import file_system, read_text


def _first(path, pattern):
    found = re.search(pattern, read_text(path), re.M)
    return found.group(1).strip() if found else "?"


def _reclaims():
    """Whether the kernel watches for cold memory and drops it (DAMON)."""
    return any(read_text(path).strip() == "on" for path in glob.glob("/sys/kernel/mm/damon/admin/kdamonds/*/state"))


def describe(place):
    return {
        "kernel": platform.release(),
        "cpu": _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(_first("/proc/meminfo", r"^MemTotal:\s*(\d+)")) // 1024,
        "disk": file_system(place),
        "load": os.getloadavg()[0],
        "reclaims": _reclaims(),
    }
