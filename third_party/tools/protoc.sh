#!/bin/sh
# protoc, for a policy whose errors are called ENOENT, EACCES and EPERM: in C++
# these are macros of <cerrno>, so the generated header sets them aside for as
# long as it lasts.
set -eu
/usr/bin/protoc "$@"
out=
for argument; do
  case $argument in
    --cpp_out=*) out=${argument#--cpp_out=} ;;
    *.proto) source=$argument ;;
  esac
done
[ -n "$out" ] || exit 0
header=$out/${source%.proto}.pb.h
if [ ! -f "$header" ] || ! grep -qw ENOENT "$header"; then
  exit 0
fi
for name in ENOENT EACCES EPERM; do
  sed -i \
    -e "/@@protoc_insertion_point(includes)/a #pragma push_macro(\"$name\")\n#undef $name" \
    -e "/@@protoc_insertion_point(global_scope)/i #pragma pop_macro(\"$name\")" \
    "$header"
done
