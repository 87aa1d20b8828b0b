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
#include "fuse_kernel.h"
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

fuse_attr ToAttr(const struct stat& stat) {
  fuse_attr attr = {};
  attr.ino = stat.st_ino;
  attr.size = static_cast<uint64_t>(stat.st_size);
  attr.blocks = static_cast<uint64_t>(stat.st_blocks);
  attr.atime = static_cast<uint64_t>(stat.st_atim.tv_sec);
  attr.mtime = static_cast<uint64_t>(stat.st_mtim.tv_sec);
  attr.ctime = static_cast<uint64_t>(stat.st_ctim.tv_sec);
  attr.atimensec = static_cast<uint32_t>(stat.st_atim.tv_nsec);
  attr.mtimensec = static_cast<uint32_t>(stat.st_mtim.tv_nsec);
  attr.ctimensec = static_cast<uint32_t>(stat.st_ctim.tv_nsec);
  attr.mode = stat.st_mode;
  attr.nlink = static_cast<uint32_t>(stat.st_nlink);
  attr.uid = stat.st_uid;
  attr.gid = stat.st_gid;
  attr.rdev = static_cast<uint32_t>(stat.st_rdev);
  attr.blksize = static_cast<uint32_t>(stat.st_blksize);
  return attr;
}

uint64_t Seconds(bool cache) { return static_cast<uint64_t>(Timeout(cache)); }

fuse_entry_out ToEntryOut(const Entry& entry) {
  fuse_entry_out out = {};
  out.nodeid = entry.node;
  out.generation = entry.generation;
  out.entry_valid = Seconds(entry.cache_name);
  out.attr_valid = Seconds(entry.attributes.cache);
  out.attr = ToAttr(entry.attributes.stat);
  return out;
}

}  // namespace

Reply::Reply(fuse_req* request, SessionCore* core)
    : request_(request),
      core_(core),
      unique_(SessionCore::CurrentUnique()),
      owed_(true) {
  core_->Ref();
}

Reply::~Reply() {
  if (core_ == nullptr) return;  // moved away
  if (Take()) {
    core_->unanswered.fetch_add(1, std::memory_order_relaxed);
    LOG(ERROR) << "a request was dropped without an answer";
    SendError(EIO);
  }
  core_->Unref();
}

bool Reply::Take() {
  if (interruptible_) {
    interruptible_ = false;
    core_->interrupts().Remove(unique_);
  }
  return std::exchange(owed_, false);
}

bool Reply::SendError(int error) {
  if (request_ != nullptr) return fuse_reply_err(request_, error) == 0;
  return core_->Deliver(unique_, error, nullptr, 0);
}

template <typename T>
bool Reply::SendBody(const T& body) {
  return core_->Deliver(unique_, 0, &body, sizeof(body));
}

void Reply::Error(const absl::Status& status) {
  int error = ErrnoOf(status);
  // A success without a value would be taken for one by the kernel, and what
  // is no errno at all is refused by it.
  if (error <= 0 || strerrordesc_np(error) == nullptr) error = EIO;
  if (Take()) {
    SendError(error);
  }
}

void StatusReply::Ok() {
  if (Take()) {
    SendError(0);
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
  if (!Take()) return false;
  // Node 0 would be a negative entry.
  if (entry.node == 0) {
    SendError(EIO);
    return false;
  }
  if (request_ == nullptr) return SendBody(ToEntryOut(entry));
  const fuse_entry_param param = ToEntryParam(entry);
  return fuse_reply_entry(request_, &param) == 0;
}

void EntryReply::NegativeCached() {
  if (!Take()) return;
  if (request_ == nullptr) {
    fuse_entry_out out = {};
    out.entry_valid = Seconds(true);
    (void)SendBody(out);
    return;
  }
  fuse_entry_param param = {};
  param.entry_timeout = kForever;
  fuse_reply_entry(request_, &param);
}

void AttributesReply::Send(const Attributes& attributes) {
  if (!Take()) return;
  fuse_attr_out out = {};
  out.attr_valid = Seconds(attributes.cache);
  out.attr = ToAttr(attributes.stat);
  (void)SendBody(out);
}

void StatxReply::Send(const struct statx& attributes, bool cache) {
  if (Take()) {
    struct statx copy = attributes;
    fuse_reply_statx(request_, 0, &copy, Timeout(cache));
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

void OpenFlags::Fill(fuse_open_out* out) const {
  out->fh = handle_;
  out->backing_id = backing_id_;
  if (backing_id_ > 0) out->open_flags |= FOPEN_PASSTHROUGH;
  if (direct_io_) out->open_flags |= FOPEN_DIRECT_IO;
  if (noflush_) out->open_flags |= FOPEN_NOFLUSH;
}

bool OpenReply::Send(const OpenFlags& flags) {
  if (!Take()) return false;
  fuse_open_out out = {};
  flags.Fill(&out);
  return SendBody(out);
}

bool OpenDirectoryReply::Send(HandleId handle, DirectoryCache cache) {
  if (!Take()) return false;
  fuse_open_out out = {};
  out.fh = handle;
  if (cache != DirectoryCache::kNone) out.open_flags |= FOPEN_CACHE_DIR;
  // Always where it does not read them: it would drop what others have read.
  if (cache != DirectoryCache::kEmptied) out.open_flags |= FOPEN_KEEP_CACHE;
  return SendBody(out);
}

bool CreateReply::Send(const Entry& entry, const OpenFlags& flags) {
  if (!Take()) return false;
  if (entry.node == 0) {
    SendError(EIO);
    return false;
  }
  if (request_ == nullptr) {
    struct {
      fuse_entry_out entry;
      fuse_open_out open;
    } out = {ToEntryOut(entry), {}};
    flags.Fill(&out.open);
    return SendBody(out);
  }
  const fuse_entry_param param = ToEntryParam(entry);
  fuse_file_info info = {};
  flags.Fill(&info);
  return fuse_reply_create(request_, &param, &info) == 0;
}

void DataReply::Send(std::string_view data) {
  if (Take()) {
    fuse_reply_buf(request_, data.data(), std::min(data.size(), size_));
  }
}

void ReadlinkReply::Send(const char* target) {
  if (Take()) {
    fuse_reply_readlink(request_, target);
  }
}

void WriteReply::Send(size_t written) {
  if (Take()) {
    fuse_reply_write(request_, written);
  }
}

void StatfsReply::Send(const struct statvfs& value) {
  if (Take()) {
    fuse_reply_statfs(request_, &value);
  }
}

void XattrReply::SendSize(size_t size) {
  if (Take()) {
    fuse_reply_xattr(request_, size);
  }
}

void XattrReply::Send(std::string_view value) {
  if (size_ == 0) return SendSize(value.size());
  if (value.size() > size_) return Error(ErrnoStatus(ERANGE));
  if (Take()) {
    fuse_reply_buf(request_, value.data(), value.size());
  }
}

void LockReply::Send(const LockRange& lock) {
  struct flock value = {};
  value.l_type = static_cast<int16_t>(lock.type);
  value.l_whence = SEEK_SET;
  value.l_start = static_cast<off_t>(lock.start);
  value.l_len = static_cast<off_t>(lock.length);
  value.l_pid = lock.pid;
  if (Take()) {
    fuse_reply_lock(request_, &value);
  }
}

void LseekReply::Send(off_t offset) {
  if (Take()) {
    fuse_reply_lseek(request_, offset);
  }
}

void PollReply::Send(unsigned events) {
  if (Take()) {
    fuse_reply_poll(request_, events);
  }
}

void IoctlReply::Send(int result, std::string_view output) {
  if (Take()) {
    fuse_reply_ioctl(request_, result, output.data(),
                     std::min(output.size(), size_));
  }
}

DirectoryReply::DirectoryReply(SessionCore* core, size_t size, bool plus)
    : Reply(nullptr, core), buffer_(new char[size]), size_(size), plus_(plus) {}

bool DirectoryReply::Add(const char* name, ino_t inode, mode_t type,
                         off_t next) {
  if (answered() || plus_) return false;
  struct stat stat = {};
  stat.st_ino = inode;
  stat.st_mode = type;
  const size_t room = size_ - used_;
  const size_t needed = fuse_add_direntry(nullptr, buffer_.get() + used_, room,
                                          name, &stat, next);
  if (needed > room) return false;
  used_ += needed;
  return true;
}

bool DirectoryReply::AddPlus(const char* name, const Entry& entry, off_t next) {
  if (answered() || !plus_) return false;
  const fuse_entry_param param = ToEntryParam(entry);
  const size_t room = size_ - used_;
  const size_t needed = fuse_add_direntry_plus(nullptr, buffer_.get() + used_,
                                               room, name, &param, next);
  if (needed > room) return false;
  used_ += needed;
  return true;
}

bool DirectoryReply::Send() {
  if (!Take()) return false;
  return core_->Deliver(unique_, 0, buffer_.get(), used_);
}

}  // namespace fused::kernel
