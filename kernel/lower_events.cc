#include "kernel/lower_events.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "kernel/status.h"

namespace fused::kernel {
namespace {

// Not FAN_MODIFY: each write of an app through the kernel would be told, and
// pay for it. A write is told when its file is closed.
constexpr uint64_t kMask = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM |
                           FAN_MOVED_TO | FAN_ATTRIB | FAN_CLOSE_WRITE |
                           FAN_ONDIR;
constexpr size_t kBufferSize = 64 << 10;

struct Kinds {
  uint64_t bit;
  LowerEvent::Kind kind;
};
constexpr Kinds kKinds[] = {
    {FAN_CREATE, LowerEvent::Kind::kMade},
    {FAN_MOVED_FROM, LowerEvent::Kind::kMovedFrom},
    {FAN_MOVED_TO, LowerEvent::Kind::kMovedTo},
    {FAN_DELETE, LowerEvent::Kind::kRemoved},
    {FAN_ATTRIB | FAN_CLOSE_WRITE, LowerEvent::Kind::kChanged},
};

template <typename T>
bool Take(std::string_view& from, T& to) {
  if (from.size() < sizeof(to)) return false;
  std::memcpy(&to, from.data(), sizeof(to));
  from.remove_prefix(sizeof(to));
  return true;
}

// An info record without its header: a file system's id, a handle, and for some
// a name.
bool ParseRecord(uint8_t type, std::string_view record, LowerEvent& event) {
  if (type != FAN_EVENT_INFO_TYPE_DFID_NAME &&
      type != FAN_EVENT_INFO_TYPE_DFID && type != FAN_EVENT_INFO_TYPE_FID) {
    return true;
  }
  __kernel_fsid_t fsid;
  uint32_t size;
  int32_t handle_type;
  if (!Take(record, fsid) || !Take(record, size) ||
      !Take(record, handle_type) || size > record.size()) {
    return false;
  }
  // What is longer than handles are here is nobody's.
  if (size <= FileHandle::kMaxBytes) {
    FileHandle handle;
    handle.type = handle_type;
    handle.size = size;
    std::memcpy(handle.bytes, record.data(), size);
    (type == FAN_EVENT_INFO_TYPE_FID ? event.object : event.directory) = handle;
  }
  record.remove_prefix(size);
  if (type == FAN_EVENT_INFO_TYPE_DFID_NAME) {
    event.name = record.substr(0, record.find('\0'));
  }
  return true;
}

}  // namespace

std::vector<LowerEvent> ParseLowerEvents(std::string_view report) {
  fanotify_event_metadata head;
  std::string_view rest = report;
  if (!Take(rest, head) || head.event_len != report.size() ||
      head.metadata_len < sizeof(head) || head.metadata_len > report.size()) {
    return {};
  }
  LowerEvent event;
  event.is_directory = (head.mask & FAN_ONDIR) != 0;
  if ((head.mask & FAN_Q_OVERFLOW) != 0) return {event};
  rest = report.substr(head.metadata_len);
  while (!rest.empty()) {
    fanotify_event_info_header info;
    std::string_view record = rest;
    if (!Take(record, info) || info.len < sizeof(info) ||
        info.len > rest.size() ||
        !ParseRecord(info.info_type, record.substr(0, info.len - sizeof(info)),
                     event)) {
      return {};
    }
    rest.remove_prefix(info.len);
  }
  std::vector<LowerEvent> events;
  for (const Kinds& kinds : kKinds) {
    if ((head.mask & kinds.bit) == 0) continue;
    events.push_back(event);
    events.back().kind = kinds.kind;
  }
  return events;
}

absl::StatusOr<std::unique_ptr<LowerEvents>> LowerEvents::Open(int root) {
  Fd fd(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK |
                          FAN_REPORT_DFID_NAME | FAN_REPORT_FID |
                          FAN_REPORT_TARGET_FID,
                      O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, "the kernel does not tell of changes by name");
  }
  if (fanotify_mark(fd.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, kMask, root,
                    ".") != 0) {
    return ErrnoStatus(errno, "the lower file system does not tell of changes");
  }
  return std::unique_ptr<LowerEvents>(new LowerEvents(std::move(fd)));
}

absl::Status LowerEvents::LeaveOutWritesOn(int root) {
  if (fanotify_mark(fd_.get(),
                    FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_IGNORED_MASK |
                        FAN_MARK_IGNORED_SURV_MODIFY,
                    FAN_CLOSE_WRITE, root, ".") != 0) {
    return ErrnoStatus(errno);
  }
  return absl::OkStatus();
}

bool LowerEvents::Read(pid_t except,
                       const std::function<void(const LowerEvent&)>& take) {
  alignas(fanotify_event_metadata) char buffer[kBufferSize];
  const ssize_t size = read(fd_.get(), buffer, sizeof(buffer));
  if (size <= 0) return false;
  std::string_view rest(buffer, static_cast<size_t>(size));
  while (rest.size() >= sizeof(fanotify_event_metadata)) {
    fanotify_event_metadata head;
    std::memcpy(&head, rest.data(), sizeof(head));
    if (head.event_len < sizeof(head) || head.event_len > rest.size()) break;
    const std::string_view report = rest.substr(0, head.event_len);
    rest.remove_prefix(head.event_len);
    // Before it is parsed: most are the reader's own.
    if (except != 0 && head.pid == except) continue;
    for (const LowerEvent& event : ParseLowerEvents(report)) take(event);
  }
  return true;
}

}  // namespace fused::kernel
