#!/bin/busybox sh
# What runs in the virtual machine, as its first process. Each check is a line
# "ok NAME" or "not ok NAME: WHY"; the status of each daemon stands between
# "status-begin LOWER" and "status-end".
set -u
export PATH=/bin

if [ "${1:-}" != again ]; then
  # Mounts cannot be moved about on the kernel's first file system.
  /bin/busybox mkdir -p /root /proc
  /bin/busybox mount -t tmpfs -o size=80% tmpfs /root
  /bin/busybox cp -a /bin /lib* /usr /modules /disk /tests /init /root/ 2>/dev/null
  exec /bin/busybox switch_root /root /init again
fi

/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run /tmp /var
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount --make-rshared /
for module in /modules/*.ko; do insmod "$module" || echo "not ok $module"; done
echo "kernel $(uname -r)"

# check NAME COMMAND...: it succeeds.
check() {
  name=$1
  shift
  if "$@" >/tmp/out 2>&1; then echo "ok $where: $name"; else
    echo "not ok $where: $name: $(tr '\n' ' ' </tmp/out)"
  fi
}

# refused NAME MESSAGE COMMAND...: it fails so.
refused() {
  name=$1
  message=$2
  shift 2
  if "$@" >/tmp/out 2>&1; then echo "not ok $where: $name: it succeeds"; return; fi
  if grep -q "$message" /tmp/out; then echo "ok $where: $name"; else
    echo "not ok $where: $name: $(tr '\n' ' ' </tmp/out)"
  fi
}

same() { cmp "$1" "$2"; }
# as APP COMMAND...
as() {
  case $1 in
    camera) uid=10061 ;;
    gallery) uid=10062 ;;
    stranger) uid=10063 ;;
  esac
  shift
  # By its path: the shell has one of its own, that is less able.
  /usr/bin/setpriv "--reuid=$uid" "--regid=$uid" --clear-groups "$@"
}
in_view() {
  package=$1
  shift
  fusedctl run "--package=org.example.$package" -- "$@"
}
apps() {
  cat <<EOF
version: $1
apps { package: "org.example.camera" uid: 10061 target_sdk: 34 }
apps { package: "org.example.gallery" uid: 10062 target_sdk: 34 $2 }
apps { package: "org.example.stranger" uid: 10063 target_sdk: 34 }
EOF
}

closing() {
  cat <<EOF
name: "closing"
version: 1
path_classes { name: "dcim" patterns: "DCIM/**" }
rules { name: "dcim" path_classes: "dcim" operations: ANY effect { deny { error: ENOENT } } }
rules { name: "rest" operations: ANY effect { allow {} } }
EOF
}

# All of it once, on the lower tree $1.
session() {
  lower=$1
  where=$2
  mnt=/storage
  mkdir -p $mnt "$lower/DCIM" "$lower/Pictures" "$lower/Download" \
    "$lower/Android/data/org.example.camera"
  chmod 700 "$lower"
  apps 1 'permissions: "READ_MEDIA_IMAGES"' >/tmp/apps
  fused --apps=/tmp/apps --state_dir="/run/state-$where" "$lower" $mnt >/tmp/log 2>&1 &
  daemon=$!
  check "it serves" fusedctl wait --timeout=60s
  grep "kernel .*FUSE" /tmp/log

  check "an app writes in the shared view" as camera cp /tmp/data $mnt/Pictures/a.png
  check "an app reads in the shared view" as camera cmp $mnt/Pictures/a.png /tmp/data
  check "the lower file holds what was written" same "$lower/Pictures/a.png" /tmp/data
  check "another reads by permission" as gallery cmp $mnt/Pictures/a.png /tmp/data
  refused "a third has none" "Permission denied" as stranger cat $mnt/Pictures/a.png
  refused "a private directory is not there" "No such file" as gallery ls $mnt/Android/data/org.example.camera
  check "its own is" as camera touch $mnt/Android/data/org.example.camera/own
  check "a file is appended to" as camera sh -c "echo more >>$mnt/Pictures/a.png"
  check "by its length" test "$(stat -c %s "$lower/Pictures/a.png")" = $(($(stat -c %s /tmp/data) + 5))
  check "a file is renamed" as camera mv $mnt/Pictures/a.png $mnt/DCIM/b.png
  check "a directory is listed" as camera ls $mnt/DCIM/b.png

  check "an app view is run in" in_view camera cp /tmp/data $mnt/DCIM/c.png
  check "an app view shows it to another" in_view gallery cmp $mnt/DCIM/c.png /tmp/data
  refused "an app view hides" "No such file" in_view gallery ls $mnt/Android/data/org.example.camera
  refused "an app view hides the lower tree" "" in_view camera ls "$lower/DCIM"
  path=$(fusedctl view --package=org.example.gallery)
  check "an app view has a path" as gallery cmp "$path/DCIM/c.png" /tmp/data
  refused "which is its app's alone" "Permission denied" as stranger ls "$path"
  check "one writes what another view shows" as camera sh -c "echo anew >$mnt/DCIM/c.png"
  check "and that shows it" as gallery grep -q anew "$path/DCIM/c.png"

  apps 2 '' >/tmp/apps
  check "a permission is taken away" fusedctl apps /tmp/apps
  fusedctl sync >/dev/null 2>&1
  refused "from the shared view" "Permission denied" as gallery cat $mnt/DCIM/b.png
  refused "from the app view" "Permission denied" as gallery cat "$path/DCIM/c.png"

  # No epochs on this kernel: names are told one by one, before the ACK.
  closing >/tmp/closing
  check "the kernel knows a name" as gallery test -e "$path/DCIM/c.png"
  check "a push closes its directory" fusedctl push /tmp/closing
  refused "at once" "No such file" as gallery stat "$path/DCIM/c.png"
  check "to that alone" as gallery test -e "$path/Pictures"

  echo "status-begin $where"
  fusedctl --json status
  echo
  echo "status-end"

  kill -TERM $daemon
  wait $daemon
  check "it ends with 0" test $? = 0
  check "it leaves nothing mounted" sh -c "! grep fuse.fused /proc/mounts"
  grep -E '^[EF][0-9]{4}' /tmp/log
}

# start LOWER: a daemon on it.
start() {
  fused --apps=/tmp/apps --state_dir="/run/state-$where" "$1" $mnt >/tmp/log 2>&1 &
  daemon=$!
  check "it serves" fusedctl wait --timeout=60s
}

# All spellings of a name have one answer, on the lower tree $1, which folds
# case. By the lower tree's own rules $3 is Recordings, and $4 the camera's
# private directory.
spellings() {
  lower=$1
  where=$2
  mnt=/storage
  mkdir -p "$lower/DCIM" "$lower/Recordings" "$lower/Android/data/org.example.camera"
  apps 1 'permissions: "READ_MEDIA_IMAGES"' >/tmp/apps
  start "$lower"

  check "a file is made" as camera cp /tmp/data $mnt/DCIM/Photo.png
  check "another spelling finds it" as camera cmp $mnt/dcim/PHOTO.PNG /tmp/data
  check "for who has the permission" as gallery cmp $mnt/Dcim/photo.Png /tmp/data
  refused "and not for others" "Permission denied" as stranger cat $mnt/dcim/photo.png
  refused "a spelling is no new name" "xist" as camera sh -c "set -C; echo >$mnt/DCIM/pHOTO.png"
  check "a rename may change the case" as camera mv $mnt/DCIM/Photo.png $mnt/DCIM/photO.png
  check "it is removed by another spelling" as camera rm $mnt/DCIM/PHOTO.PNG
  refused "and gone by all" "No such file" as camera stat $mnt/DCIM/Photo.png

  refused "$3 takes no picture" "not permitted" as camera touch "$mnt/$3/a.png"
  check "$3 takes a song" as camera cp /tmp/data "$mnt/$3/a.mp3"
  check "which is in Recordings" as camera cmp $mnt/recordings/A.MP3 /tmp/data

  check "a private file" as camera touch $mnt/Android/data/org.example.camera/own
  for path in Android/data/org.example.camera ANDROID/Data/ORG.example.camera "$4"; do
    refused "$path is not there for others" "No such file" as stranger ls "$mnt/$path"
    refused "nor what is in it" "No such file" as gallery stat "$mnt/$path/own"
  done
  check "the lower tree has it there" ls "$lower/$4/own"

  kill -KILL $daemon
  wait $daemon
  start "$lower"
  refused "who made it is known after a kill" "Permission denied" as gallery cat $mnt/Recordings/a.mp3
  check "to him also by another spelling" as camera cmp $mnt/RECORDINGS/a.MP3 /tmp/data
  kill -TERM $daemon
  wait $daemon
  check "it ends with 0" test $? = 0
  grep -E '^[EF][0-9]{4}' /tmp/log
}

# The device tests $2, of the cases $3, on the lower tree $1.
tests() {
  where=$1
  name=$2
  "/tests/$name" "--gtest_filter=$3" >/tmp/tests 2>&1
  status=$?
  sed -n -E "s/^\[       OK \] ([^ ,]+).*/ok $where: $name \1/p
    s/^\[  FAILED  \] ([^ ,]+).* \([0-9]+ ms\)$/not ok $where: $name \1/p
    s/^\[  SKIPPED \] ([^ ,]+).* \([0-9]+ ms\)$/not ok $where: $name \1 was skipped/p" /tmp/tests
  check "$name ends with 0" test $status = 0
  [ $status = 0 ] || grep -v -E '^(\[|$)' /tmp/tests | head -n 120
}

dd if=/dev/urandom of=/tmp/data bs=1M count=3 2>/dev/null
chmod 644 /tmp/data

mkdir -p /lower/tmpfs /lower/ext4
mount -t tmpfs tmpfs /lower/tmpfs
session /lower/tmpfs/volume tmpfs
mount -o loop -t ext4 /disk/ext4 /lower/ext4
session /lower/ext4/volume ext4
mkdir -p /lower/vfat /lower/casefold
# With iocharset=utf8 vfat would tell upper from lower case.
mount -o loop,utf8,iocharset=iso8859-1 -t vfat /disk/vfat /lower/vfat
spellings /lower/vfat vfat RECORD~1 android/DATA/ORGEXA~1.CAM
mount -o loop -t ext4 /disk/casefold /lower/casefold
spellings /lower/casefold casefold \
  "$(printf 'Recording\305\277')" "$(printf 'An\302\255droid/data/org.example.cam\302\255era')"

export FUSED=/bin/fused FUSEDCTL=/bin/fusedctl
chmod 1777 /tmp
FUSED_TEST_LOWER_ON=/lower/casefold FUSED_TEST_FOLDING=casefold tests casefold spelling_test '*'
export FUSED_TEST_LOWER_ON=/lower/vfat
FUSED_TEST_FOLDING=vfat tests vfat spelling_test '*'
for name in existence ownership private roles routes states types; do
  tests vfat ${name}_test '*'
done
# There is no name that is not UTF-8, none that differs from another in its case
# alone, and on this kernel no passthrough.
tests vfat names_test '-*AForeignName*'
tests vfat rename_test '-*OnlyTheCaseOfAName*'
tests vfat permissions_test '-*ToKnowWherePhotosWereTaken*'
unset FUSED_TEST_LOWER_ON
tests vfat media_index_test '*OnVfat*'
umount /lower/ext4 && echo "ok the lower file system is let go"
echo "finished"
sync
poweroff -f
