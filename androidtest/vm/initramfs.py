"""The first file system of a virtual machine, and what is put into it."""

import os
import re
import subprocess
import tarfile


class Archive:
    """A cpio archive, format newc (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self):
        self._parts = []
        self._names = set()

    def _entry(self, name, mode, content):
        if name in self._names:
            return
        self._names.add(name)
        path = name.encode() + b"\0"
        fields = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        for part in (header + path, content):
            self._parts.append(part + b"\0" * (-len(part) % 4))

    def directory(self, name):
        """Adds it, and those above it."""
        parts = name.split("/")
        for i in range(1, len(parts) + 1):
            self._entry("/".join(parts[:i]), 0o040755, b"")

    def add(self, name, content, mode=0o755):
        self.directory(os.path.dirname(name) or ".")
        self._entry(name, 0o100000 | mode, content)

    def add_file(self, name, path):
        with open(path, "rb") as file:
            self.add(name, file.read())

    def add_program(self, name, path):
        """Adds it with the shared objects that it loads, at their own paths."""
        self.add_file(name, path)
        loaded = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", loaded):
            self.add_file(library.lstrip("/"), library)

    def bytes(self):
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


class Kernel:
    """A Debian package of a kernel, which is read and not installed."""

    def __init__(self, deb):
        self.image = b""
        self._modules = {}
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpack:
            with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
                for member in tar:
                    name = os.path.basename(member.name)
                    if name.startswith("vmlinuz-"):
                        self.image = tar.extractfile(member).read()
                    elif name.endswith(".ko"):
                        self._modules[name[:-3].replace("-", "_")] = tar.extractfile(member).read()
        if unpack.returncode != 0 or not self.image:
            raise ValueError("%s: no Debian package of a kernel" % deb)

    def modules(self, wanted):
        """Returns (name, content) of each, what it depends on before it."""
        ordered = {}

        def visit(name):
            name = name.replace("-", "_")
            # What is not there is built in.
            if name in ordered or name not in self._modules:
                return
            content = self._modules[name]
            depends = re.search(rb"\0depends=([^\0]*)", content)
            for other in depends.group(1).decode().split(",") if depends else ():
                visit(other)
            ordered[name] = content

        for name in wanted:
            visit(name)
        return list(ordered.items())
