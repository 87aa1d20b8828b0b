#include "fused/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernel/fd.h"

namespace fused {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// Calls `function` with each name in a directory that is not hidden.
template <typename Function>
void ForEachName(const std::string& path, Function function) {
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir(path.c_str()));
  if (directory == nullptr) return;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): of this thread's own stream.
  while (const struct dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] != '.') function(entry->d_name);
  }
}

class Searcher {
 public:
  Searcher(absl::Span<const HeldFile> files, const std::string& proc)
      : files_(files), proc_(proc) {
    for (const HeldFile& file : files) uids_.insert(file.uid);
  }

  // Of the files, by their places.
  std::set<size_t> HeldBy(pid_t pid) const {
    std::set<size_t> held;
    const std::string at = absl::StrCat(proc_, "/", pid);
    const std::optional<uid_t> uid = UidOf(at);
    if (!uid.has_value() || !uids_.contains(*uid)) return held;
    for (const char* kind : {"/fd", "/map_files"}) {
      const std::string below = at + kind;
      ForEachName(below, [&](const char* name) {
        Look(absl::StrCat(below, "/", name), *uid, held);
      });
    }
    return held;
  }

 private:
  // Of /proc/PID/status: what owns the directory is root where the process
  // can't be dumped.
  static std::optional<uid_t> UidOf(const std::string& at) {
    const kernel::Fd fd(open((at + "/status").c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return std::nullopt;
    char text[4096];
    const ssize_t size = read(fd.get(), text, sizeof(text));
    if (size <= 0) return std::nullopt;
    std::string_view status(text, static_cast<size_t>(size));
    const size_t line = status.find("\nUid:\t");
    if (line == std::string_view::npos) return std::nullopt;
    status.remove_prefix(line + 6);
    uid_t uid = 0;
    if (!absl::SimpleAtoi(status.substr(0, status.find('\t')), &uid)) {
      return std::nullopt;
    }
    return uid;
  }

  void Look(const std::string& link, uid_t uid, std::set<size_t>& held) const {
    struct statx found = {};
    // What the kernel knows: no request is made, of this daemon or another.
    if (statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
              STATX_INO, &found) != 0) {
      return;
    }
    const dev_t device = makedev(found.stx_dev_major, found.stx_dev_minor);
    for (size_t i = 0; i < files_.size(); ++i) {
      if (files_[i].device == device && files_[i].inode == found.stx_ino &&
          files_[i].uid == uid) {
        held.insert(i);
      }
    }
  }

  const absl::Span<const HeldFile> files_;
  const std::string proc_;
  std::set<uid_t> uids_;
};

std::vector<pid_t> Processes(const std::string& proc) {
  std::vector<pid_t> pids;
  ForEachName(proc, [&](const char* name) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(name, &pid) && pid != getpid()) pids.push_back(pid);
  });
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace

std::vector<std::vector<pid_t>> FindHolders(absl::Span<const HeldFile> files,
                                            const std::string& proc) {
  std::vector<std::vector<pid_t>> holders(files.size());
  if (files.empty()) return holders;
  const Searcher searcher(files, proc);
  for (const pid_t pid : Processes(proc)) {
    for (const size_t file : searcher.HeldBy(pid)) holders[file].push_back(pid);
  }
  return holders;
}

uint64_t KillHolders(absl::Span<const HeldFile> files) {
  if (files.empty()) return 0;
  const Searcher searcher(files, "/proc");
  uint64_t killed = 0;
  for (const pid_t pid : Processes("/proc")) {
    if (searcher.HeldBy(pid).empty()) continue;
    const kernel::Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    // Looked at again, now that it can't be another.
    if (!process.valid() || searcher.HeldBy(pid).empty()) continue;
    if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) ==
        0) {
      ++killed;
    }
  }
  return killed;
}

}  // namespace fused
