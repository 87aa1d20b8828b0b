#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)

#include "androidtest/harness/lower_session.h"

#include <fuse_lowlevel.h>
#include <sys/mount.h>

namespace fused::androidtest {

LowerSession::LowerSession(const std::string& mountpoint,
                           const fuse_lowlevel_ops& operations, void* owner)
    : mountpoint_(mountpoint) {
  char program[] = "lower";
  char option[] = "-oallow_other";
  char* arguments[] = {program, option, nullptr};
  fuse_args parsed = FUSE_ARGS_INIT(2, arguments);
  session_ = fuse_session_new(&parsed, &operations, sizeof(operations), owner);
  if (session_ == nullptr) return;
  if (fuse_session_mount(session_, mountpoint_.c_str()) != 0) {
    fuse_session_destroy(session_);
    session_ = nullptr;
    return;
  }
  loop_ = std::thread([this] { fuse_session_loop(session_); });
}

LowerSession::~LowerSession() {
  if (session_ == nullptr) return;
  umount2(mountpoint_.c_str(), MNT_DETACH);
  fuse_session_exit(session_);
  loop_.join();
  fuse_session_unmount(session_);
  fuse_session_destroy(session_);
}

}  // namespace fused::androidtest
