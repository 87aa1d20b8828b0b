#include "fused/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
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
      : proc_(proc) {
    for (size_t i = 0; i < files.size(); ++i) {
      const HeldFile& file = files[i];
      uids_.insert(file.uid);
      places_[{file.device, file.inode, file.uid}].push_back(i);
    }
  }

  // Of the files, by their places.
  std::set<size_t> HeldBy(pid_t pid) const {
    std::set<size_t> held;
    const std::string at = absl::StrCat(proc_, "/", pid);
    const std::optional<uid_t> uid = UidOf(at);
    if (!uid.has_value() || !uids_.contains(*uid)) return held;
    LookBelow(at, *uid, held);
    // A thread may have descriptors of its own, and outlive the first one.
    pid_t known = pid;
    ForEachName(at + "/task", [&](const char* name) {
      pid_t thread = 0;
      if (!absl::SimpleAtoi(name, &thread) || thread == pid ||
          SharesFiles(known, thread)) {
        return;
      }
      known = thread;
      LookBelow(absl::StrCat(proc_, "/", thread), *uid, held);
    });
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

  // Where it is not known, they don't.
  static bool SharesFiles(pid_t one, pid_t other) {
    return syscall(SYS_kcmp, one, other, KCMP_FILES, 0, 0) == 0;
  }

  void LookBelow(const std::string& at, uid_t uid,
                 std::set<size_t>& held) const {
    for (const char* kind : {"/fd", "/map_files"}) {
      const std::string below = at + kind;
      ForEachName(below, [&](const char* name) {
        Look(absl::StrCat(below, "/", name), uid, held);
      });
    }
  }

  void Look(const std::string& link, uid_t uid, std::set<size_t>& held) const {
    struct statx found = {};
    // What the kernel knows: no request is made, of this daemon or another.
    if (statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
              STATX_INO, &found) != 0) {
      return;
    }
    const dev_t device = makedev(found.stx_dev_major, found.stx_dev_minor);
    const auto places = places_.find({device, found.stx_ino, uid});
    if (places == places_.end()) return;
    held.insert(places->second.begin(), places->second.end());
  }

  absl::flat_hash_map<std::tuple<dev_t, ino_t, uid_t>, std::vector<size_t>>
      places_;
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

// Until all are gone, or a moment at most.
void AwaitEnd(const std::map<pid_t, kernel::Fd>& processes) {
  const absl::Time deadline = absl::Now() + absl::Milliseconds(200);
  for (const auto& [pid, process] : processes) {
    struct pollfd ends = {process.get(), POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left < 0 || poll(&ends, 1, static_cast<int>(left)) == 0) return;
  }
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
  // One that forks may be a step ahead, but each time the rest is killed.
  constexpr int kMostRounds = 10;
  const Searcher searcher(files, "/proc");
  std::map<pid_t, kernel::Fd> killed;
  bool found = true;
  for (int round = 0; found && round < kMostRounds; ++round) {
    found = false;
    for (const pid_t pid : Processes("/proc")) {
      if (killed.contains(pid) || searcher.HeldBy(pid).empty()) continue;
      found = true;
      kernel::Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      // Looked at again, now that it can't be another.
      if (!process.valid() || searcher.HeldBy(pid).empty()) continue;
      if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) ==
          0) {
        killed.emplace(pid, std::move(process));
      }
    }
    if (found) AwaitEnd(killed);
  }
  return killed.size();
}

}  // namespace fused
