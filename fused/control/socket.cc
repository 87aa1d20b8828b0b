#include "fused/control/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "fused/directories.h"
#include "kernel/status.h"

namespace fused::control {
namespace {

using kernel::ErrnoStatus;
using kernel::Fd;

constexpr int kBacklog = 128;
constexpr int kConnectSeconds = 10;
// As many as the kernel takes at once (SCM_MAX_FD).
constexpr size_t kMaxFds = 253;

// A path as its directory's descriptor and a name in it: an address has room
// for 107 bytes only, and a descriptor's /proc path is short.
struct Place {
  Fd directory;
  std::string name;
  sockaddr_un address = {};
};

absl::StatusOr<Place> Find(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "."
                             : slash == 0       ? "/"
                                                : path.substr(0, slash);
  Place place;
  place.name = slash == path.npos ? path : path.substr(slash + 1);
  if (place.name.empty()) return ErrnoStatus(EINVAL, path);
  place.directory.Reset(
      open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!place.directory.valid()) return ErrnoStatus(errno, parent);
  place.address.sun_family = AF_UNIX;
  const std::string text =
      absl::StrCat("/proc/self/fd/", place.directory.get(), "/", place.name);
  if (text.size() >= sizeof place.address.sun_path) {
    return ErrnoStatus(ENAMETOOLONG, path);
  }
  std::memcpy(place.address.sun_path, text.c_str(), text.size() + 1);
  return place;
}

const sockaddr* AddressOf(const Place& place) {
  return reinterpret_cast<const sockaddr*>(&place.address);
}

Fd NewSocket() {
  return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Removes a socket that nobody answers on.
absl::Status ClearPlace(const Place& place, const std::string& path) {
  struct stat there = {};
  if (fstatat(place.directory.get(), place.name.c_str(), &there,
              AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, path);
  }
  if (!S_ISSOCK(there.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": is no socket"));
  }
  const Fd probe = NewSocket();
  if (!probe.valid()) return ErrnoStatus(errno, "socket");
  if (connect(probe.get(), AddressOf(place), sizeof place.address) == 0 ||
      errno == EAGAIN) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": in use by another daemon"));
  }
  if (errno != ECONNREFUSED) return ErrnoStatus(errno, path);
  if (unlinkat(place.directory.get(), place.name.c_str(), 0) != 0 &&
      errno != ENOENT) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Fd> ListenUnix(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash != path.npos) {
    auto status = MakeDirectories(path.substr(0, slash), 0755);
    if (!status.ok()) return status;
  }
  auto place = Find(path);
  if (!place.ok()) return place.status();
  // Two that start at once must not take each other's socket for a stale one.
  // Whoever may open the directory can hold this lock for ever, so it is not
  // waited for: the one who has it is starting.
  if (flock(place->directory.get(), LOCK_EX | LOCK_NB) != 0 &&
      errno == EWOULDBLOCK) {
    struct pollfd nothing = {-1, 0, 0};
    for (int i = 0; i < 20; ++i) {
      poll(&nothing, 1, 50);
      if (flock(place->directory.get(), LOCK_EX | LOCK_NB) == 0) break;
    }
  }
  if (auto status = ClearPlace(*place, path); !status.ok()) return status;
  Fd listener = NewSocket();
  if (!listener.valid()) return ErrnoStatus(errno, "socket");
  if (bind(listener.get(), AddressOf(*place), sizeof place->address) != 0) {
    if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": in use by another daemon"));
    }
    return ErrnoStatus(errno, path);
  }
  if (listen(listener.get(), kBacklog) != 0 ||
      fchmodat(place->directory.get(), place->name.c_str(), 0666, 0) != 0) {
    return ErrnoStatus(errno, path);
  }
  return listener;
}

absl::StatusOr<Fd> ConnectUnix(const std::string& path) {
  auto place = Find(path);
  if (!place.ok()) return place.status();
  // Blocks while the backlog is full.
  Fd peer(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!peer.valid()) return ErrnoStatus(errno, "socket");
  const struct timeval patience = {kConnectSeconds, 0};
  setsockopt(peer.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(peer.get(), AddressOf(*place), sizeof place->address) != 0) {
    return ErrnoStatus(errno, path);
  }
  if (fcntl(peer.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "socket");
  }
  return peer;
}

absl::StatusOr<size_t> SendSome(int socket, std::string_view bytes,
                                const std::vector<Fd>& fds) {
  struct iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  if (!fds.empty()) {
    if (fds.size() > kMaxFds) return ErrnoStatus(EMSGSIZE, "descriptors");
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    std::memset(control, 0, message.msg_controllen);
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  for (;;) {
    const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN) return 0;
    if (errno != EINTR) return ErrnoStatus(errno);
  }
}

absl::StatusOr<size_t> ReceiveSome(int socket, char* buffer, size_t size,
                                   std::vector<Fd>* fds) {
  struct iovec part = {buffer, size};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  if (fds != nullptr) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return ErrnoStatus(errno);
  if (fds == nullptr) return static_cast<size_t>(got);
  for (struct cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds->emplace_back(fd);
    }
  }
  return static_cast<size_t>(got);
}

}  // namespace fused::control
