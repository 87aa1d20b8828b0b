"""A Debian package of the two programs and what belongs to them."""

def deb(name, version, out, put, links, control, **kwargs):
    """Defines the package.

    Args:
      name: the target's name
      version: what the package says it is
      out: the file that is made
      put: where each label goes: {label: "/path/in/root:MODE"}
      links: symbolic links: {"/path": "target"}
      control: files of the package's control archive
      **kwargs: genrule's others
    """
    command = ["$(execpath build_deb)", "--out=$@", "--version=" + version]
    command += ["--control=$(execpath %s)" % label for label in control]
    command += ["--put=$(execpath %s):%s" % item for item in put.items()]
    command += ["--link=%s:%s" % item for item in links.items()]
    native.genrule(
        name = name,
        srcs = put.keys() + control,
        outs = [out],
        cmd = " ".join(command),
        # dpkg-shlibdeps looks into the machine's package database.
        local = True,
        tools = [":build_deb"],
        **kwargs
    )
