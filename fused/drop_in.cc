#include "fused/drop_in.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/control/convert.h"
#include "fused/directories.h"
#include "kernel/status.h"
#include "policy/parse.h"

namespace fused {
namespace {

using control::v1::PushRequest;
using control::v1::PushResponse;

// Others than its owner may write it.
bool OthersWrite(const struct stat& stat) {
  return (stat.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

struct Name {
  const char* name;
  const char* stem;
  PushRequest::Kind kind;
};
// In the order in which a start takes them.
constexpr Name kNames[] = {
    {"policy.textproto", "policy", PushRequest::POLICY},
    {"policy.binpb", "policy", PushRequest::POLICY},
    {"apps.textproto", "apps", PushRequest::APPS},
    {"apps.binpb", "apps", PushRequest::APPS},
};

std::string TextOf(const PushResponse& response, const std::string& path) {
  std::string text = absl::StrCat(
      response.accepted() ? "ACK" : "NACK", " version ", response.version(),
      " ", response.sha256(), "  ", path,
      !response.accepted() ? "  refused, this version stays in force"
      : response.changed() ? ""
                           : "  (unchanged)",
      "\n");
  if (!response.draining().empty()) {
    absl::StrAppend(&text, "warning: ", response.draining(), "\n");
  }
  if (response.stale_handles() != 0) {
    absl::StrAppend(&text, response.stale_handles(),
                    " open files stay with the kernel: "
                    "fusedctl handles --stale\n");
  }
  for (const control::v1::Issue& issue : response.issues()) {
    absl::StrAppend(&text, control::FromMessage(issue).ToString(), "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DropIn>> DropIn::Start(Options options,
                                                      Push push) {
  auto drop_in =
      std::unique_ptr<DropIn>(new DropIn(std::move(options), std::move(push)));
  absl::Status status = drop_in->Open();
  if (!status.ok()) return status;
  drop_in->TakeAll();
  drop_in->thread_ = std::thread([drop_in = drop_in.get()] { drop_in->Run(); });
  return drop_in;
}

DropIn::~DropIn() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof(one));
  thread_.join();
}

absl::Status DropIn::Open() {
  const std::string& path = options_.directory;
  const auto failed = [&path] { return kernel::ErrnoStatus(errno, path); };
  absl::Status status = MakeDirectories(path, 0755);
  if (!status.ok()) return status;
  directory_.Reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat stat = {};
  if (!directory_.valid() || fstat(directory_.get(), &stat) != 0) {
    return failed();
  }
  if (!IsAdmin(stat.st_uid) || OthersWrite(stat)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": others than root and the admins may write this directory"));
  }
  events_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  stop_.Reset(eventfd(0, EFD_CLOEXEC));
  // Of the directory that was checked, whatever has its name now.
  const std::string opened = absl::StrCat("/proc/self/fd/", directory_.get());
  if (!events_.valid() || !stop_.valid() ||
      inotify_add_watch(
          events_.get(), opened.c_str(),
          IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
    return failed();
  }
  return absl::OkStatus();
}

bool DropIn::IsAdmin(uid_t uid) const {
  return uid == 0 ||
         std::find(options_.admin_uids.begin(), options_.admin_uids.end(),
                   uid) != options_.admin_uids.end();
}

void DropIn::Run() {
  struct pollfd polled[2] = {{events_.get(), POLLIN, 0},
                             {stop_.get(), POLLIN, 0}};
  while (true) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) break;
    if (polled[1].revents != 0) return;
    if (polled[0].revents != 0 && !TakeEvents()) break;
  }
  LOG(ERROR) << options_.directory
             << ": gone; nothing is taken from it until the next start";
}

bool DropIn::TakeEvents() {
  alignas(struct inotify_event) char buffer[16 << 10];
  const ssize_t got = read(events_.get(), buffer, sizeof(buffer));
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  for (ssize_t at = 0; at < got;) {
    const auto* const event =
        reinterpret_cast<const struct inotify_event*>(buffer + at);
    at += static_cast<ssize_t>(sizeof(*event) + event->len);
    if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
      return false;
    }
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
      TakeAll();
    } else if (event->len != 0) {
      Take(event->name);
    }
  }
  return true;
}

void DropIn::TakeAll() {
  for (const Name& name : kNames) Take(name.name);
}

absl::StatusOr<std::string> DropIn::Read(const std::string& name,
                                         uid_t& owner) const {
  // A pipe does not make it wait.
  const kernel::Fd file(
      openat(directory_.get(), name.c_str(),
             O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat stat = {};
  if (!file.valid() || fstat(file.get(), &stat) != 0) {
    return errno == ELOOP
               ? absl::PermissionDeniedError("a link is not followed")
               : kernel::ErrnoStatus(errno);
  }
  owner = stat.st_uid;
  if (!S_ISREG(stat.st_mode)) {
    return absl::PermissionDeniedError("not a regular file");
  }
  if (!IsAdmin(owner)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "it belongs to uid ", owner, ", who is neither root nor an admin"));
  }
  if (OthersWrite(stat)) {
    return absl::PermissionDeniedError("others than its owner may write it");
  }
  // One byte more than can be is refused by the parser.
  std::string content(
      std::min<size_t>(static_cast<size_t>(stat.st_size), policy::kMaxInput) +
          1,
      '\0');
  size_t size = 0;
  while (size < content.size()) {
    const ssize_t got =
        read(file.get(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return kernel::ErrnoStatus(errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  content.resize(size);
  return content;
}

void DropIn::Take(const std::string& name) {
  const auto* const known =
      std::find_if(std::begin(kNames), std::end(kNames),
                   [&name](const Name& one) { return name == one.name; });
  if (known == std::end(kNames)) return;
  const std::string path = absl::StrCat(options_.directory, "/", name);
  uid_t owner = 0;
  absl::StatusOr<std::string> content = Read(name, owner);
  // Taken away again, or nothing there at start.
  if (kernel::IsErrno(content.status(), ENOENT)) return;
  std::string text;
  if (content.ok()) {
    PushRequest request;
    request.set_kind(known->kind);
    request.set_content(*std::move(content));
    request.set_file_name(path);
    request.set_peer_uid(owner);
    text = TextOf(push_(request), path);
  } else {
    const std::string why =
        absl::StrCat(path, ": not taken: ", kernel::Describe(content.status()));
    text = absl::StrCat("NACK ", why, "\n");
    if (options_.not_taken) options_.not_taken(known->kind, owner, why);
  }
  if (text.compare(0, 3, "ACK") == 0) {
    LOG(INFO) << "drop-in: " << text;
  } else {
    LOG(WARNING) << "drop-in: " << text;
  }
  WriteResult(known->stem, text);
}

void DropIn::WriteResult(const std::string& stem,
                         const std::string& text) const {
  const std::string fresh = absl::StrCat(".", stem, ".result.new");
  const std::string name = absl::StrCat(stem, ".result");
  unlinkat(directory_.get(), fresh.c_str(), 0);
  const kernel::Fd file(
      openat(directory_.get(), fresh.c_str(),
             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.valid() ||
      write(file.get(), text.data(), text.size()) !=
          static_cast<ssize_t>(text.size()) ||
      renameat(directory_.get(), fresh.c_str(), directory_.get(),
               name.c_str()) != 0) {
    LOG(ERROR) << options_.directory << "/" << name << ": can't be written: "
               << kernel::Describe(kernel::ErrnoStatus(errno));
  }
}

}  // namespace fused
