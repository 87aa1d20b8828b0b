#include "androidtest/harness/agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/frame.h"
#include "androidtest/harness/program.h"

namespace fused::androidtest {
namespace {

using v1::Call;
using v1::Reply;

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

Reply Returned(int64_t value) {
  const int error = errno;
  Reply reply;
  reply.set_value(value);
  if (value < 0) reply.set_error(error);
  return reply;
}

Reply Attributes(int result, const struct stat& st) {
  Reply reply = Returned(result);
  if (result < 0) return reply;
  v1::Attributes* attributes = reply.mutable_attributes();
  attributes->set_inode(st.st_ino);
  attributes->set_mode(st.st_mode);
  attributes->set_links(st.st_nlink);
  attributes->set_uid(st.st_uid);
  attributes->set_gid(st.st_gid);
  attributes->set_size(st.st_size);
  attributes->set_modified(Nanoseconds(st.st_mtim));
  attributes->set_changed(Nanoseconds(st.st_ctim));
  attributes->set_device(st.st_rdev);
  attributes->set_blocks(st.st_blocks);
  return reply;
}

// Takes the stream over.
Reply Listing(DIR* directory) {
  if (directory == nullptr) return Returned(-1);
  Reply reply;
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") reply.add_names(std::string(name));
  }
  if (errno != 0) {
    reply = Returned(-1);
  } else {
    std::sort(reply.mutable_names()->begin(), reply.mutable_names()->end());
  }
  closedir(directory);
  return reply;
}

Reply Read(const Call& call) {
  std::string buffer(call.length(), '\0');
  const ssize_t n =
      call.offset() < 0
          ? read(call.fd(), buffer.data(), buffer.size())
          : pread(call.fd(), buffer.data(), buffer.size(), call.offset());
  Reply reply = Returned(n);
  if (n >= 0) {
    buffer.resize(n);
    reply.set_data(std::move(buffer));
  }
  return reply;
}

Reply Write(const Call& call) {
  const std::string& data = call.data();
  return Returned(call.offset() < 0 ? write(call.fd(), data.data(), data.size())
                                    : pwrite(call.fd(), data.data(),
                                             data.size(), call.offset()));
}

Reply Lock(const Call& call) {
  struct flock range = {};
  range.l_type = static_cast<int16_t>(call.flags());
  range.l_whence = SEEK_SET;
  range.l_start = call.offset();
  range.l_len = call.length();
  const int result = fcntl(call.fd(), static_cast<int>(call.mode()), &range);
  Reply reply = Returned(result);
  // Of F_GETLK: what stands in the way.
  if (result == 0) reply.set_value(range.l_type);
  return reply;
}

Reply ReadLink(const Call& call) {
  std::string buffer(4096, '\0');
  const ssize_t n = readlink(call.path().c_str(), buffer.data(), buffer.size());
  Reply reply = Returned(n);
  if (n >= 0) reply.set_data(buffer.substr(0, n));
  return reply;
}

Reply GetXattr(const Call& call) {
  std::string buffer(65536, '\0');
  const ssize_t n = getxattr(call.path().c_str(), call.target().c_str(),
                             buffer.data(), buffer.size());
  Reply reply = Returned(n);
  if (n >= 0) reply.set_data(buffer.substr(0, n));
  return reply;
}

Reply SetTimes(const Call& call) {
  const timespec time = {
      .tv_sec = call.length() / kNanosecondsPerSecond,
      .tv_nsec = call.length() % kNanosecondsPerSecond,
  };
  const timespec times[2] = {time, time};
  return Returned(utimensat(AT_FDCWD, call.path().c_str(), times,
                            static_cast<int>(call.flags())));
}

Reply CopyRange(const Call& call) {
  int64_t offset = call.offset();
  return Returned(copy_file_range(call.fd(), &offset, call.fd2(), nullptr,
                                  call.length(), 0));
}

Reply LinkDescriptor(const Call& call) {
  const std::string path = absl::StrCat("/proc/self/fd/", call.fd());
  return Returned(linkat(AT_FDCWD, path.c_str(), AT_FDCWD, call.path().c_str(),
                         AT_SYMLINK_FOLLOW));
}

Reply WorkingDirectory() {
  char buffer[4096];
  if (getcwd(buffer, sizeof(buffer)) == nullptr) return Returned(-1);
  Reply reply;
  reply.set_data(buffer);
  return reply;
}

Reply RunProgram(const Call& call) {
  const Program program = FindProgram(call.path());
  if (program == nullptr) return Wrong("no such program: " + call.path());
  return program({call.arguments().begin(), call.arguments().end()});
}

Reply PerformOnPath(const Call& call) {
  const char* path = call.path().c_str();
  const char* target = call.target().c_str();
  const auto flags = static_cast<int>(call.flags());
  const auto mode = static_cast<mode_t>(call.mode());
  struct stat st = {};
  switch (call.operation()) {
    case Call::OPEN:
      return Returned(open(path, flags | O_CLOEXEC, mode));
    case Call::STAT:
      return Attributes(stat(path, &st), st);
    case Call::LSTAT:
      return Attributes(lstat(path, &st), st);
    case Call::LIST:
      return Listing(opendir(path));
    case Call::MKDIR:
      return Returned(mkdir(path, mode));
    case Call::RMDIR:
      return Returned(rmdir(path));
    case Call::UNLINK:
      return Returned(unlink(path));
    case Call::RENAME:
      return Returned(renameat2(AT_FDCWD, path, AT_FDCWD, target, flags));
    case Call::MKNOD:
      return Returned(mknod(path, mode, call.flags()));
    case Call::LINK:
      return Returned(link(path, target));
    case Call::SYMLINK:
      return Returned(symlink(target, path));
    case Call::READLINK:
      return ReadLink(call);
    case Call::TRUNCATE:
      return Returned(truncate(path, call.length()));
    case Call::CHMOD:
      return Returned(chmod(path, mode));
    case Call::CHOWN:
      return Returned(lchown(path, call.offset(), call.length()));
    case Call::UTIMENS:
      return SetTimes(call);
    case Call::ACCESS:
      return Returned(access(path, static_cast<int>(mode)));
    case Call::GETXATTR:
      return GetXattr(call);
    case Call::SETXATTR:
      return Returned(setxattr(path, target, call.data().data(),
                               call.data().size(), flags));
    case Call::STATFS: {
      struct statfs fs = {};
      Reply reply = Returned(statfs(path, &fs));
      if (reply.value() == 0) reply.set_value(static_cast<int64_t>(fs.f_type));
      return reply;
    }
    case Call::CHDIR:
      return Returned(chdir(path));
    case Call::PROGRAM:
      return RunProgram(call);
    default:
      return Wrong(absl::StrCat("no such operation: ", call.operation()));
  }
}

}  // namespace

Reply Perform(const Call& call) {
  const int fd = call.fd();
  struct stat st = {};
  switch (call.operation()) {
    case Call::CLOSE:
      return Returned(close(fd));
    case Call::READ:
      return Read(call);
    case Call::WRITE:
      return Write(call);
    case Call::FSTAT:
      return Attributes(fstat(fd, &st), st);
    case Call::FTRUNCATE:
      return Returned(ftruncate(fd, call.length()));
    case Call::FLOCK:
      return Returned(flock(fd, static_cast<int>(call.flags())));
    case Call::LOCK:
      return Lock(call);
    case Call::COPY_FILE_RANGE:
      return CopyRange(call);
    case Call::FALLOCATE:
      return Returned(fallocate(fd, static_cast<int>(call.flags()),
                                call.offset(), call.length()));
    case Call::LSEEK:
      return Returned(lseek(fd, call.offset(), static_cast<int>(call.flags())));
    case Call::FSYNC:
      return Returned(fsync(fd));
    case Call::UMASK:
      return Returned(umask(call.mode()));
    case Call::LINK_FD:
      return LinkDescriptor(call);
    case Call::FCHMOD:
      return Returned(fchmod(fd, call.mode()));
    case Call::FCHOWN:
      return Returned(fchown(fd, call.offset(), call.length()));
    case Call::FLISTDIR: {
      const int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      return copy < 0 ? Returned(-1) : Listing(fdopendir(copy));
    }
    case Call::GETCWD:
      return WorkingDirectory();
    default:
      return PerformOnPath(call);
  }
}

int RunAgent(int socket) {
  // A change of credentials has cleared it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  // What a test asks to be made is made with the mode that it gives.
  umask(0);
  Call call;
  // Says that it is there.
  if (!SendMessage(socket, Reply())) return 1;
  while (ReceiveMessage(socket, &call)) {
    if (!SendMessage(socket, Perform(call))) return 1;
  }
  return 0;
}

}  // namespace fused::androidtest
