#include "kernel/reply.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "kernel/core.h"
#include "kernel/libfuse.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

// Seconds. The kernel counts in jiffies and saturates.
constexpr double kForever = 1e12;

double Timeout(bool cache) { return cache ? kForever : 0; }

fuse_entry_param ToEntryParam(const Entry& entry) {
  fuse_entry_param param = {};
  param.ino = entry.node;
  param.generation = entry.generation;
  param.attr = entry.attributes.stat;
  param.attr_timeout = Timeout(entry.attributes.cache);
  param.entry_timeout = Timeout(entry.cache_name);
  return param;
}

}  // namespace

Reply::Reply(fuse_req* request, SessionCore* core)
    : request_(request), core_(core), unique_(SessionCore::CurrentUnique()) {
  core_->Ref();
}

Reply::~Reply() {
  if (core_ == nullptr) return;  // moved away
  if (fuse_req* request = Take(); request != nullptr) {
    core_->unanswered.fetch_add(1, std::memory_order_relaxed);
    LOG(ERROR) << "a request was dropped without an answer";
    fuse_reply_err(request, EIO);
  }
  core_->Unref();
}

fuse_req* Reply::Take() {
  if (interruptible_) {
    interruptible_ = false;
    core_->interrupts().Remove(unique_);
  }
  return std::exchange(request_, nullptr);
}

void Reply::Error(const absl::Status& status) {
  int error = ErrnoOf(status);
  // A success without a value would be taken for one by the kernel, and what
  // is no errno at all is refused by it.
  if (error <= 0 || strerrordesc_np(error) == nullptr) error = EIO;
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_err(request, error);
  }
}

void StatusReply::Ok() {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_err(request, 0);
  }
}

void StatusReply::Send(const absl::Status& status) {
  if (status.ok()) {
    Ok();
  } else {
    Error(status);
  }
}

void StatusReply::OnInterrupt(std::function<void()> interrupted) {
  if (answered()) return;
  interruptible_ = true;
  // Nothing of this object may be touched after it: the callback may have
  // answered, and another thread may have destroyed it.
  core_->interrupts().Register(unique_, std::move(interrupted));
}

bool EntryReply::Send(const Entry& entry) {
  fuse_req* request = Take();
  if (request == nullptr) return false;
  // Node 0 would be a negative entry.
  if (entry.node == 0) {
    fuse_reply_err(request, EIO);
    return false;
  }
  const fuse_entry_param param = ToEntryParam(entry);
  return fuse_reply_entry(request, &param) == 0;
}

void EntryReply::NegativeCached() {
  fuse_entry_param param = {};
  param.entry_timeout = kForever;
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_entry(request, &param);
  }
}

void AttributesReply::Send(const Attributes& attributes) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_attr(request, &attributes.stat, Timeout(attributes.cache));
  }
}

void StatxReply::Send(const struct statx& attributes, bool cache) {
  if (fuse_req* request = Take(); request != nullptr) {
    struct statx copy = attributes;
    fuse_reply_statx(request, 0, &copy, Timeout(cache));
  }
}

OpenFlags OpenFlags::Passthrough(HandleId handle, const BackingRef& backing,
                                 Access access) {
  // Without an id the kernel would take the reply for a cached open.
  if (!backing.valid()) return Daemon(handle, access);
  OpenFlags flags;
  flags.handle_ = handle;
  flags.backing_id_ = backing.id();
  flags.noflush_ = access != Access::kReadWrite;
  return flags;
}

OpenFlags OpenFlags::Daemon(HandleId handle, Access access) {
  OpenFlags flags;
  flags.handle_ = handle;
  flags.direct_io_ = true;
  flags.noflush_ = access != Access::kReadWrite;
  return flags;
}

void OpenFlags::Fill(fuse_file_info* info) const {
  info->fh = handle_;
  info->backing_id = backing_id_;
  info->direct_io = direct_io_ ? 1 : 0;
  info->noflush = noflush_ ? 1 : 0;
}

bool OpenReply::Send(const OpenFlags& flags) {
  fuse_req* request = Take();
  if (request == nullptr) return false;
  fuse_file_info info = {};
  flags.Fill(&info);
  return fuse_reply_open(request, &info) == 0;
}

bool OpenDirectoryReply::Send(HandleId handle, bool cache) {
  fuse_req* request = Take();
  if (request == nullptr) return false;
  fuse_file_info info = {};
  info.fh = handle;
  info.cache_readdir = cache ? 1 : 0;
  // Else each open would drop what the one before it had read.
  info.keep_cache = cache ? 1 : 0;
  return fuse_reply_open(request, &info) == 0;
}

bool CreateReply::Send(const Entry& entry, const OpenFlags& flags) {
  fuse_req* request = Take();
  if (request == nullptr) return false;
  if (entry.node == 0) {
    fuse_reply_err(request, EIO);
    return false;
  }
  const fuse_entry_param param = ToEntryParam(entry);
  fuse_file_info info = {};
  flags.Fill(&info);
  return fuse_reply_create(request, &param, &info) == 0;
}

void DataReply::Send(std::string_view data) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_buf(request, data.data(), std::min(data.size(), size_));
  }
}

void ReadlinkReply::Send(const char* target) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_readlink(request, target);
  }
}

void WriteReply::Send(size_t written) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_write(request, written);
  }
}

void StatfsReply::Send(const struct statvfs& value) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_statfs(request, &value);
  }
}

void XattrReply::SendSize(size_t size) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_xattr(request, size);
  }
}

void XattrReply::Send(std::string_view value) {
  if (size_ == 0) return SendSize(value.size());
  if (value.size() > size_) return Error(ErrnoStatus(ERANGE));
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

void LockReply::Send(const LockRange& lock) {
  struct flock value = {};
  value.l_type = static_cast<int16_t>(lock.type);
  value.l_whence = SEEK_SET;
  value.l_start = static_cast<off_t>(lock.start);
  value.l_len = static_cast<off_t>(lock.length);
  value.l_pid = lock.pid;
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_lock(request, &value);
  }
}

void LseekReply::Send(off_t offset) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_lseek(request, offset);
  }
}

void PollReply::Send(unsigned events) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_poll(request, events);
  }
}

void IoctlReply::Send(int result, std::string_view output) {
  if (fuse_req* request = Take(); request != nullptr) {
    fuse_reply_ioctl(request, result, output.data(),
                     std::min(output.size(), size_));
  }
}

DirectoryReply::DirectoryReply(fuse_req* request, SessionCore* core,
                               size_t size, bool plus)
    : Reply(request, core), buffer_(new char[size]), size_(size), plus_(plus) {}

bool DirectoryReply::Add(const char* name, ino_t inode, mode_t type,
                         off_t next) {
  if (answered() || plus_) return false;
  struct stat stat = {};
  stat.st_ino = inode;
  stat.st_mode = type;
  const size_t room = size_ - used_;
  const size_t needed = fuse_add_direntry(request_, buffer_.get() + used_, room,
                                          name, &stat, next);
  if (needed > room) return false;
  used_ += needed;
  return true;
}

bool DirectoryReply::AddPlus(const char* name, const Entry& entry, off_t next) {
  if (answered() || !plus_) return false;
  const fuse_entry_param param = ToEntryParam(entry);
  const size_t room = size_ - used_;
  const size_t needed = fuse_add_direntry_plus(request_, buffer_.get() + used_,
                                               room, name, &param, next);
  if (needed > room) return false;
  used_ += needed;
  return true;
}

bool DirectoryReply::Send() {
  fuse_req* request = Take();
  if (request == nullptr) return false;
  return fuse_reply_buf(request, buffer_.get(), used_) == 0;
}

}  // namespace fused::kernel
