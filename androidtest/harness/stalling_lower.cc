#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)

#include "androidtest/harness/stalling_lower.h"

#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace fused::androidtest {
namespace {

constexpr fuse_ino_t kDirectory = 2;
constexpr fuse_ino_t kSlow = 3;
constexpr fuse_ino_t kFirstFile = 4;

struct stat AttributesOf(fuse_ino_t inode) {
  struct stat st = {};
  st.st_ino = inode;
  st.st_mode = inode <= kDirectory ? S_IFDIR | 0777 : S_IFREG | 0666;
  st.st_nlink = inode <= kDirectory ? 2 : 1;
  return st;
}

}  // namespace

struct StallingLowerOperations {
  static StallingLower* Lower(fuse_req_t request) {
    return static_cast<StallingLower*>(fuse_req_userdata(request));
  }

  static void ReplyEntry(fuse_req_t request, fuse_ino_t inode) {
    fuse_entry_param entry = {};
    entry.ino = inode;
    entry.attr = AttributesOf(inode);
    fuse_reply_entry(request, &entry);
  }

  static void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    if (parent == FUSE_ROOT_ID && std::string_view(name) == "d") {
      ReplyEntry(request, kDirectory);
      return;
    }
    StallingLower* lower = Lower(request);
    fuse_ino_t inode = 0;
    {
      const absl::MutexLock lock(&lower->mutex_);
      const auto it = lower->files_.find(name);
      if (parent == kDirectory && it != lower->files_.end()) {
        inode = it->second;
      }
    }
    if (inode == 0) {
      fuse_reply_err(request, ENOENT);
    } else {
      ReplyEntry(request, inode);
    }
  }

  static void GetAttributes(fuse_req_t request, fuse_ino_t inode,
                            fuse_file_info*) {
    if (inode == kSlow) {
      StallingLower* lower = Lower(request);
      const absl::MutexLock lock(&lower->mutex_);
      if (lower->stalling_) {
        lower->waiting_.push_back(request);
        return;
      }
    }
    Answer(request, inode);
  }

  static void SetAttributes(fuse_req_t request, fuse_ino_t inode, struct stat*,
                            int, fuse_file_info*) {
    Answer(request, inode);
  }

  static void Answer(fuse_req_t request, fuse_ino_t inode) {
    const struct stat st = AttributesOf(inode);
    fuse_reply_attr(request, &st, 0);
  }

  // In one piece, by name.
  static void ReadDirectory(fuse_req_t request, fuse_ino_t inode, size_t size,
                            off_t offset, fuse_file_info*) {
    StallingLower* lower = Lower(request);
    std::string bytes;
    if (inode == kDirectory && offset == 0) {
      const absl::MutexLock lock(&lower->mutex_);
      for (const auto& [name, file] : lower->files_) {
        const struct stat st = AttributesOf(file);
        const size_t at = bytes.size();
        bytes.resize(at + fuse_add_direntry(request, nullptr, 0, name.c_str(),
                                            nullptr, 0));
        fuse_add_direntry(request, bytes.data() + at, bytes.size() - at,
                          name.c_str(), &st, 1);
      }
    }
    fuse_reply_buf(request, bytes.data(), std::min(bytes.size(), size));
  }

  static void Unlink(fuse_req_t request, fuse_ino_t, const char* name) {
    StallingLower* lower = Lower(request);
    bool found = false;
    {
      const absl::MutexLock lock(&lower->mutex_);
      found = lower->files_.erase(name) != 0;
    }
    fuse_reply_err(request, found ? 0 : ENOENT);
  }
};

StallingLower::StallingLower(const std::string& mountpoint,
                             const std::vector<std::string>& names) {
  files_.emplace("slow", kSlow);
  fuse_ino_t next = kFirstFile;
  for (const std::string& name : names) files_.emplace(name, next++);

  fuse_lowlevel_ops operations = {};
  operations.lookup = StallingLowerOperations::Lookup;
  operations.getattr = StallingLowerOperations::GetAttributes;
  operations.setattr = StallingLowerOperations::SetAttributes;
  operations.readdir = StallingLowerOperations::ReadDirectory;
  operations.unlink = StallingLowerOperations::Unlink;
  session_.emplace(mountpoint, operations, this);
}

StallingLower::~StallingLower() { Release(); }

void StallingLower::Stall() {
  const absl::MutexLock lock(&mutex_);
  stalling_ = true;
}

bool StallingLower::AwaitCaller(absl::Duration timeout) {
  const auto somebody = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !waiting_.empty();
  };
  const absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&somebody), timeout);
}

void StallingLower::Release() {
  std::vector<fuse_req*> waiting;
  {
    const absl::MutexLock lock(&mutex_);
    stalling_ = false;
    waiting.swap(waiting_);
  }
  for (fuse_req* request : waiting) {
    StallingLowerOperations::Answer(request, kSlow);
  }
}

}  // namespace fused::androidtest
