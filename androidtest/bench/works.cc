#include "androidtest/bench/works.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>

namespace fused::androidtest {
namespace {

constexpr int64_t kBlock = 4096;
constexpr char kBlockContent[kBlock] = {'x'};

// A path of which the last component is a letter and a number. Digits are
// written in place: formatting would cost as much as a stat does.
class Name {
 public:
  static constexpr int kDigits = 7;

  Name(const std::string& directory, char letter)
      : text_(directory + "/" + letter + std::string(kDigits, '0')) {}

  const char* operator()(int64_t number) {
    for (int i = 0; i < kDigits; ++i, number /= 10) {
      text_[text_.size() - 1 - i] = static_cast<char>('0' + number % 10);
    }
    return text_.c_str();
  }

 private:
  std::string text_;
};

// The files that a work goes round: a set, or one.
class Files {
 public:
  explicit Files(const Task& task, char letter = 'f')
      : name_(task.path, letter), one_(task.path), set_(task.set) {}

  const char* operator()(int64_t number) {
    return set_ == 0 ? one_.c_str() : name_(number % set_);
  }

 private:
  Name name_;
  std::string one_;
  int64_t set_;
};

// Shared by the copies of a step, which std::function makes.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::shared_ptr<Descriptor> Open(const Task& task, int flags, Errors& errors) {
  const int fd = open(task.path.c_str(), flags | O_CLOEXEC);
  errors.Failed(fd);
  return std::make_shared<Descriptor>(fd);
}

// Offsets of blocks, one after the other or as a fixed sequence has them.
class Offsets {
 public:
  explicit Offsets(const Task& task)
      : blocks_(std::max<int64_t>(1, task.size / kBlock)),
        random_(task.random) {}

  off_t operator()(int64_t number) {
    if (!random_) return number % blocks_ * kBlock;
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<off_t>(state_ >> 33) % blocks_ * kBlock;
  }

 private:
  int64_t blocks_;
  bool random_;
  uint64_t state_ = 42;
};

// Opens, does `use` of the descriptor, closes.
template <typename Use>
Step Opening(const Task& task, int flags, Use use) {
  return [files = Files(task), flags, use](int64_t number,
                                           Errors& errors) mutable -> int64_t {
    const int fd = open(files(number), flags | O_CLOEXEC);
    if (errors.Failed(fd)) return 1;
    use(fd, errors);
    errors.Failed(close(fd));
    return 1;
  };
}

// One system call with a path.
template <typename Call>
Step OnPath(Files files, Call call) {
  return
      [files = std::move(files), call](int64_t number, Errors& errors) mutable {
        errors.Failed(call(files(number)));
        return int64_t{1};
      };
}

// One system call with the path of a name that is new, by a letter.
template <typename Call>
Step OnNew(const Task& task, char letter, Call call) {
  return [name = Name(task.path, letter), call](int64_t number,
                                                Errors& errors) mutable {
    call(name(number), errors);
    return int64_t{1};
  };
}

Step PrepareOpen(const Task& task, Errors&) {
  return Opening(task, O_RDONLY, [](int, Errors&) {});
}

Step PrepareOpenRead(const Task& task, Errors&) {
  return Opening(task, O_RDONLY, [](int fd, Errors& errors) {
    char block[kBlock];
    errors.Failed(pread(fd, block, kBlock, 0));
  });
}

Step PrepareOpenWrite(const Task& task, Errors&) {
  return Opening(task, O_RDWR, [](int fd, Errors& errors) {
    errors.Failed(pwrite(fd, kBlockContent, kBlock, 0));
  });
}

Step PrepareStat(const Task& task, Errors&) {
  return OnPath(Files(task), [](const char* path) {
    struct stat attributes;
    return lstat(path, &attributes);
  });
}

Step PrepareMissing(const Task& task, Errors&) {
  return OnPath(Files(task, 'm'), [](const char* path) {
    struct stat attributes;
    return lstat(path, &attributes);
  });
}

// Names that nobody has asked for before.
Step PrepareFresh(const Task& task, Errors&) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::string prefix = task.path + "/" + std::to_string(now.tv_sec) +
                             "_" + std::to_string(now.tv_nsec) + "_" +
                             std::to_string(gettid());
  return [prefix](int64_t number, Errors& errors) {
    struct stat attributes;
    errors.Failed(
        lstat((prefix + "_" + std::to_string(number)).c_str(), &attributes));
    return int64_t{1};
  };
}

Step PrepareRead(const Task& task, Errors& errors) {
  return [file = Open(task, O_RDONLY, errors), offsets = Offsets(task)](
             int64_t number, Errors& errors) mutable {
    char block[kBlock];
    errors.Failed(pread(file->get(), block, kBlock, offsets(number)));
    return int64_t{1};
  };
}

Step PrepareWrite(const Task& task, Errors& errors) {
  return [file = Open(task, O_RDWR, errors), offsets = Offsets(task)](
             int64_t number, Errors& errors) mutable {
    errors.Failed(pwrite(file->get(), kBlockContent, kBlock, offsets(number)));
    return int64_t{1};
  };
}

Step PrepareWriteStat(const Task& task, Errors& errors) {
  return [write = PrepareWrite(task, errors),
          file = Open(task, O_RDONLY, errors)](int64_t number, Errors& errors) {
    struct stat attributes;
    write(number, errors);
    errors.Failed(fstat(file->get(), &attributes));
    return int64_t{1};
  };
}

// A page touched at each step, mapped anew when all have been.
Step PrepareMapped(const Task& task, Errors& errors) {
  struct Mapping {
    char* start = nullptr;
    size_t size;
    ~Mapping() {
      if (start != nullptr) munmap(start, size);
    }
  };
  auto mapping = std::make_shared<Mapping>();
  mapping->size = static_cast<size_t>(task.size);
  return [file = Open(task, O_RDONLY, errors), mapping,
          blocks = std::max<int64_t>(1, task.size / kBlock),
          offsets = Offsets(task)](int64_t number, Errors& errors) mutable {
    if (number % blocks == 0) {
      if (mapping->start != nullptr) munmap(mapping->start, mapping->size);
      void* start =
          mmap(nullptr, mapping->size, PROT_READ, MAP_SHARED, file->get(), 0);
      mapping->start =
          start == MAP_FAILED ? nullptr : static_cast<char*>(start);
      if (start == MAP_FAILED) errors.Failed(-1);
    }
    if (mapping->start != nullptr) {
      *static_cast<volatile char*>(mapping->start + offsets(number));
    }
    return int64_t{1};
  };
}

Step PrepareChmod(const Task& task, Errors&) {
  return OnPath(Files(task),
                [](const char* path) { return chmod(path, 0660); });
}

Step PrepareTimes(const Task& task, Errors&) {
  return OnPath(Files(task), [](const char* path) {
    return utimensat(AT_FDCWD, path, nullptr, 0);
  });
}

Step PrepareAccess(const Task& task, Errors&) {
  return OnPath(Files(task),
                [](const char* path) { return access(path, R_OK); });
}

Step PrepareGetxattr(const Task& task, Errors&) {
  return OnPath(Files(task), [](const char* path) {
    char value[64];
    return static_cast<int>(getxattr(path, "user.none", value, sizeof(value)));
  });
}

Step PrepareReadlink(const Task& task, Errors&) {
  return OnPath(Files(task, 'l'), [](const char* path) {
    char target[256];
    return static_cast<int>(readlink(path, target, sizeof(target)));
  });
}

Step PrepareCreate(const Task& task, Errors&) {
  return OnNew(task, 'c', [](const char* path, Errors& errors) {
    const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0660);
    if (errors.Failed(fd)) return;
    errors.Failed(write(fd, kBlockContent, kBlock));
    errors.Failed(close(fd));
  });
}

// What sets are made of.
Step PrepareFill(const Task& task, Errors&) {
  return OnNew(task, 'f', [size = task.size](const char* path, Errors& errors) {
    const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0660);
    if (errors.Failed(fd)) return;
    for (int64_t left = size; left > 0; left -= kBlock) {
      if (errors.Failed(write(fd, kBlockContent, std::min(kBlock, left)))) {
        break;
      }
    }
    errors.Failed(close(fd));
  });
}

Step PrepareRename(const Task& task, Errors&) {
  return [from = Name(task.path, 'c'), to = Name(task.path, 'r')](
             int64_t number, Errors& errors) mutable {
    errors.Failed(rename(from(number), to(number)));
    return int64_t{1};
  };
}

template <char kLetter>
Step PrepareUnlink(const Task& task, Errors&) {
  return OnNew(task, kLetter, [](const char* path, Errors& errors) {
    errors.Failed(unlink(path));
  });
}

Step PrepareMkdir(const Task& task, Errors&) {
  return OnNew(task, 'd', [](const char* path, Errors& errors) {
    errors.Failed(mkdir(path, 0770));
  });
}

Step PrepareRmdir(const Task& task, Errors&) {
  return OnNew(task, 'd', [](const char* path, Errors& errors) {
    errors.Failed(rmdir(path));
  });
}

Step PrepareSymlink(const Task& task, Errors&) {
  return OnNew(task, 'l', [](const char* path, Errors& errors) {
    errors.Failed(symlink("some/where/else", path));
  });
}

struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

// Lists a directory from its start to its end: as many operations as it has
// names.
int64_t List(const char* path, bool with_stat, Errors& errors) {
  const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (errors.Failed(fd)) return 1;
  alignas(Entry) char buffer[32768];
  int64_t entries = 0;
  int64_t got;
  while ((got = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
    for (int64_t at = 0; at < got; ++entries) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->length;
      struct stat attributes;
      if (with_stat) {
        errors.Failed(
            fstatat(fd, entry->name, &attributes, AT_SYMLINK_NOFOLLOW));
      }
    }
  }
  errors.Failed(got);
  errors.Failed(close(fd));
  return std::max<int64_t>(entries, 1);
}

template <bool kWithStat>
Step PrepareList(const Task& task, Errors&) {
  return [path = task.path](int64_t, Errors& errors) {
    return List(path.c_str(), kWithStat, errors);
  };
}

// A command, from its start to its end. One that does not end with 0 is an
// error.
Step PrepareExec(const Task& task, Errors& errors) {
  if (task.arguments.empty()) {
    errno = EINVAL;
    errors.Failed(-1);
    return [](int64_t, Errors&) { return int64_t{1}; };
  }
  return [task](int64_t, Errors& errors) {
    std::vector<char*> arguments;
    for (const std::string& word : task.arguments) {
      arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    const std::string out = task.out.empty() ? "/dev/null" : task.out;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, task.cwd.c_str());
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0666);
    pid_t child = 0;
    errno = posix_spawnp(&child, arguments[0], &actions, nullptr,
                         arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (errors.Failed(errno == 0 ? 0 : -1)) return int64_t{1};
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    errno = ECHILD;
    errors.Failed(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1);
    return int64_t{1};
  };
}

}  // namespace

bool Errors::Failed(int64_t result) {
  if (result >= 0) return false;
  if (count++ == 0) first_errno = errno;
  return true;
}

void Errors::Add(const Errors& other) {
  if (count == 0) first_errno = other.first_errno;
  count += other.count;
}

const std::vector<Work>& AllWorks() {
  static const auto& works = *new std::vector<Work>{
      {"open", "open, close", PrepareOpen},
      {"open_read", "open, pread 4 KiB, close", PrepareOpenRead},
      {"open_write", "open, pwrite 4 KiB, close", PrepareOpenWrite},
      {"stat", "lstat", PrepareStat},
      {"missing", "lstat of a set's missing names", PrepareMissing, true},
      {"fresh", "lstat of a missing name, never the same", PrepareFresh, true},
      {"pread", "pread 4 KiB on an open file", PrepareRead},
      {"pwrite", "pwrite 4 KiB on an open file", PrepareWrite},
      {"pwrite_fstat", "pwrite 4 KiB, fstat", PrepareWriteStat},
      {"mapped", "a page of a mapping read", PrepareMapped},
      {"chmod", "chmod", PrepareChmod},
      {"utimes", "utimensat", PrepareTimes},
      {"access", "access for reading", PrepareAccess},
      {"getxattr", "getxattr of an absent one", PrepareGetxattr, true},
      {"readlink", "readlink", PrepareReadlink},
      {"fill", "makes what a set needs", PrepareFill},
      {"create", "create, write 4 KiB, close", PrepareCreate},
      {"rename", "rename of what create made", PrepareRename},
      {"unlink", "unlink of what rename left", PrepareUnlink<'r'>},
      {"unlink_set", "unlink of what fill made", PrepareUnlink<'f'>},
      {"mkdir", "mkdir", PrepareMkdir},
      {"rmdir", "rmdir", PrepareRmdir},
      {"symlink", "symlink", PrepareSymlink},
      {"unlink_symlink", "unlink of a symlink", PrepareUnlink<'l'>},
      {"list", "a name listed", PrepareList<false>},
      {"list_stat", "a name listed, and lstat", PrepareList<true>},
      {"exec", "a command", PrepareExec},
  };
  return works;
}

const Work* FindWork(std::string_view name) {
  const auto& works = AllWorks();
  const auto found =
      std::find_if(works.begin(), works.end(),
                   [name](const Work& work) { return work.name == name; });
  return found == works.end() ? nullptr : &*found;
}

}  // namespace fused::androidtest
