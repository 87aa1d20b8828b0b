// Requests in any order, from any caller, with any node, handle, name and flag,
// against two views of one lower tree. The views must not crash, must answer,
// must hold nothing when they are gone, and must touch nothing outside of the
// tree.
//
// An input is a byte that chooses the profile, then requests of 8 bytes: the
// opcode, the view and caller, the node, the name, a second node, a second
// name, flags, and an offset. Bytes that are missing are zero.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fuse_kernel.h"
#include "fused/lower_tree.h"
#include "fused/rules.h"
#include "fused/testing/mounted_view.h"
#include "fused/testing/snapshot.h"
#include "kernel/fd.h"
#include "kernel/invalidation.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using kernel::NodeId;
using kernel::Terminated;

constexpr size_t kMostRequests = 100;

constexpr std::string_view kApps = R"(
version: 1
apps { package: "com.example" uid: 10001 }
apps { package: "com.manager" uid: 10002 roles: MANAGER }
)";

const std::array<std::string, 24> kNames = {"a",
                                            "b",
                                            "f.jpg",
                                            "g.mp3",
                                            "link",
                                            "out",
                                            "Download",
                                            "Pictures",
                                            "Android",
                                            "data",
                                            "com.example",
                                            "com.manager",
                                            ".nomedia",
                                            ".hidden",
                                            ".pending-1700000000-x.jpg",
                                            "..",
                                            ".",
                                            "../outside/canary",
                                            "a/b",
                                            std::string(255, 'n'),
                                            std::string(300, 'n'),
                                            "a:b",
                                            "\xff\xfe",
                                            ""};

// What a run leaves alone.
class Outside {
 public:
  explicit Outside(const kernel::ScratchDirectory& scratch)
      : scratch_(scratch) {
    scratch.MakeDirectory("outside");
    scratch.MakeFile("outside/canary", "alive");
    before_ = Look();
  }

  void Check() const {
    CHECK(Look() == before_) << "something outside of the tree was changed";
  }

 private:
  struct Sight {
    std::set<std::string> names;
    std::string content;
    std::vector<int64_t> numbers;
    friend bool operator==(const Sight&, const Sight&) = default;
  };

  Sight Look() const {
    Sight sight;
    for (const char* directory : {"", "outside"}) {
      for (const auto& entry :
           std::filesystem::directory_iterator(scratch_.Path(directory))) {
        sight.names.insert(
            absl::StrCat(directory, "/", entry.path().filename().string()));
      }
    }
    // The tree itself comes after this was first looked at.
    sight.names.insert("/lower");
    std::ifstream in(scratch_.Path("outside/canary"), std::ios::binary);
    sight.content.assign(std::istreambuf_iterator<char>(in), {});
    for (const char* name : {"outside", "outside/canary"}) {
      struct stat stat = {};
      CHECK_EQ(lstat(scratch_.Path(name).c_str(), &stat), 0);
      for (const int64_t number :
           {int64_t{stat.st_mode}, int64_t{stat.st_uid}, int64_t{stat.st_gid},
            static_cast<int64_t>(stat.st_nlink), int64_t{stat.st_size},
            int64_t{stat.st_mtim.tv_sec}, int64_t{stat.st_mtim.tv_nsec}}) {
        sight.numbers.push_back(number);
      }
    }
    return sight;
  }

  const kernel::ScratchDirectory& scratch_;
  Sight before_;
};

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// One request's choices.
struct Choice {
  uint8_t opcode, from, node, name, other_node, other_name, flags, offset;
};

// Compiled once, for it takes longer than a run.
const auto kSnapshot = BuiltInSnapshot(kApps);

class Run {
 public:
  explicit Run(bool posix)
      : outside_(scratch_), rules_(kSnapshot), worker_({}) {
    MakeTree();
    context_.tree = tree_.get();
    context_.rules = &rules_;
    context_.invalidations = &worker_;
    context_.fallback = [](std::string_view) {};
    context_.posix = posix;
    views_[0] = std::make_unique<MountedView>(context_, ViewIdentity{});
    views_[1] = std::make_unique<MountedView>(
        context_, ViewIdentity{.package = "com.example", .uid = kAppUid});
  }

  void Do(const Choice& choice);

  void Finish() {
    for (const auto& view : views_) {
      CHECK_EQ(view->session().unanswered(), 0u);
      CHECK_EQ(view->backing().wrong_closes(), 0);
      view->Close();
      CHECK_EQ(view->view().handles(), 0u);
      CHECK_EQ(view->view().nodes(), 1u);
    }
    CHECK_EQ(tree_->root()->sightings().size(), 2u);
    views_ = {};
    CHECK(tree_->root()->sightings().empty());
    CHECK_EQ(tree_->nodes(), 1u);
    outside_.Check();
  }

 private:
  void MakeTree() {
    for (const char* name :
         {"lower", "lower/a", "lower/Download", "lower/Pictures",
          "lower/Android", "lower/Android/data",
          "lower/Android/data/com.example"}) {
      scratch_.MakeDirectory(name);
    }
    scratch_.MakeFile("lower/Pictures/f.jpg", "picture");
    scratch_.MakeFile("lower/Download/b", "download");
    CHECK_EQ(symlink("../outside", scratch_.Path("lower/out").c_str()), 0);
    CHECK_EQ(
        symlink("../../outside/canary", scratch_.Path("lower/a/link").c_str()),
        0);
    const std::string lower = scratch_.Path("lower");
    auto tree = LowerTree::Create(
        kernel::Fd(open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
        {.descriptor_budget = 4});
    CHECK_OK(tree);
    tree_ = *std::move(tree);
  }

  static From Caller(uint8_t from) {
    constexpr uid_t kUids[] = {kAppUid, 10002, 10003, 0, 2000, 110001};
    const uid_t uid = kUids[(from >> 1) % std::size(kUids)];
    return {uid, uid};
  }
  // Known ones, and now and then one that never was.
  static uint64_t Pick(const std::vector<uint64_t>& known, uint8_t choice) {
    if (choice >= 250 || known.empty()) return choice;
    return known[choice % known.size()];
  }
  uint64_t Node(uint8_t choice) const { return Pick(nodes_, choice); }
  uint64_t Handle(uint8_t choice) const { return Pick(handles_, choice); }
  static uint64_t Offset(uint8_t choice) {
    constexpr uint64_t kOffsets[] = {
        0, 1, 100, 4096, 100000, uint64_t{1} << 31, INT64_MAX, UINT64_MAX};
    return kOffsets[choice % std::size(kOffsets)];
  }
  static const std::string& Name(uint8_t choice) {
    return kNames[choice % kNames.size()];
  }

  std::string Body(uint32_t opcode, const Choice& choice) const;
  std::string NamesBody(uint32_t opcode, const Choice& choice) const;
  std::string HandleBody(uint32_t opcode, const Choice& choice) const;

  kernel::ScratchDirectory scratch_;
  Outside outside_;
  std::unique_ptr<LowerTree> tree_;
  Rules rules_;
  kernel::InvalidationWorker worker_;
  VolumeContext context_;
  std::array<std::unique_ptr<MountedView>, 2> views_;
  std::vector<uint64_t> nodes_ = {kernel::kRootNode};
  std::vector<uint64_t> handles_;
  uint64_t last_ = 0;
};

// Requests about names.
std::string Run::NamesBody(uint32_t opcode, const Choice& choice) const {
  const std::string name = Terminated(Name(choice.name));
  const std::string other = Terminated(Name(choice.other_name));
  constexpr mode_t kTypes[] = {S_IFREG, 0, S_IFIFO, S_IFSOCK, S_IFDIR, S_IFLNK};
  switch (opcode) {
    case FUSE_MKDIR: {
      const fuse_mkdir_in in = {0777u | choice.flags << 9, choice.offset};
      return MountedView::Bytes(in) + name;
    }
    case FUSE_MKNOD: {
      fuse_mknod_in in = {};
      in.mode = kTypes[choice.flags % std::size(kTypes)] | 0666;
      return MountedView::Bytes(in) + name;
    }
    case FUSE_CREATE:
    case FUSE_TMPFILE: {
      fuse_create_in in = {};
      in.flags = choice.flags | O_CREAT | (choice.offset & 7u) << 9;
      in.mode = S_IFREG | 0644;
      return MountedView::Bytes(in) + (opcode == FUSE_CREATE ? name : "");
    }
    case FUSE_RENAME:
      return MountedView::Bytes(fuse_rename_in{Node(choice.other_node)}) +
             name + other;
    case FUSE_RENAME2: {
      fuse_rename2_in in = {};
      in.newdir = Node(choice.other_node);
      in.flags = choice.flags % 8;
      return MountedView::Bytes(in) + name + other;
    }
    case FUSE_LINK:
      return MountedView::Bytes(fuse_link_in{Node(choice.other_node)}) + name;
    case FUSE_SYMLINK:
      return name + Terminated("../outside/canary");
    case FUSE_SETXATTR: {
      fuse_setxattr_in in = {};
      in.size = 4;
      return MountedView::Bytes(in).substr(0, FUSE_COMPAT_SETXATTR_IN_SIZE) +
             Terminated(choice.flags % 2 == 0 ? "user.x"
                                              : "trusted.fused.owner") +
             "data";
    }
    case FUSE_GETXATTR:
      return MountedView::Bytes(fuse_getxattr_in{choice.flags, 0}) +
             Terminated("user.x");
    case FUSE_REMOVEXATTR:
      return Terminated("user.x");
    default:
      return name;
  }
}

// Requests about handles.
std::string Run::HandleBody(uint32_t opcode, const Choice& choice) const {
  const uint64_t handle = Handle(choice.other_node);
  const uint64_t offset = Offset(choice.offset);
  switch (opcode) {
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: {
      fuse_read_in in = {};
      in.fh = handle;
      in.offset = offset;
      in.size = choice.flags * 64u;
      return MountedView::Bytes(in);
    }
    case FUSE_WRITE: {
      fuse_write_in in = {};
      in.fh = handle;
      in.offset = offset;
      in.size = choice.flags;
      in.write_flags = choice.name % 8;
      return MountedView::Bytes(in) + std::string(choice.flags, 'w');
    }
    case FUSE_GETLK:
    case FUSE_SETLK:
    case FUSE_SETLKW: {
      fuse_lk_in in = {};
      in.fh = handle;
      in.owner = choice.name % 4;
      in.lk = {choice.offset, uint64_t{choice.offset} + choice.flags % 16,
               choice.flags % 3u, 1};
      in.lk_flags = choice.name % 2;
      return MountedView::Bytes(in);
    }
    case FUSE_FALLOCATE: {
      fuse_fallocate_in in = {};
      in.fh = handle;
      in.offset = offset;
      in.length = Offset(choice.name);
      in.mode = choice.flags;
      return MountedView::Bytes(in);
    }
    case FUSE_LSEEK: {
      fuse_lseek_in in = {};
      in.fh = handle;
      in.offset = offset;
      in.whence = choice.flags % 6;
      return MountedView::Bytes(in);
    }
    case FUSE_COPY_FILE_RANGE:
    case FUSE_COPY_FILE_RANGE_64: {
      fuse_copy_file_range_in in = {};
      in.fh_in = handle;
      in.off_in = Offset(choice.name);
      in.nodeid_out = Node(choice.node);
      in.fh_out = Handle(choice.other_name);
      in.off_out = offset;
      in.len = uint64_t{choice.flags} * 1000;
      return MountedView::Bytes(in);
    }
    case FUSE_IOCTL: {
      constexpr uint32_t kCommands[] = {2, 0x80086601, 0x80087601, 0x40086602};
      fuse_ioctl_in in = {};
      in.fh = handle;
      in.cmd = kCommands[choice.flags % std::size(kCommands)];
      in.out_size = choice.offset;
      return MountedView::Bytes(in);
    }
    default: {
      // RELEASE, FLUSH, FSYNC, POLL and theirs of directories: the handle
      // stands first in all.
      std::string body(64, '\0');
      body.replace(0, sizeof(handle), MountedView::Bytes(handle));
      body[8] = static_cast<char>(choice.flags);
      body[12] = static_cast<char>(choice.flags % 4);
      body[16] = static_cast<char>(choice.name % 4);
      return body;
    }
  }
}

std::string Run::Body(uint32_t opcode, const Choice& choice) const {
  switch (opcode) {
    case FUSE_FORGET:
      return MountedView::Bytes(fuse_forget_in{choice.flags});
    case FUSE_BATCH_FORGET: {
      fuse_batch_forget_in in = {};
      in.count = 2;
      const fuse_forget_one forgets[] = {
          {Node(choice.other_node), choice.flags},
          {Node(choice.other_name), choice.offset}};
      return MountedView::Bytes(in) + MountedView::Bytes(forgets);
    }
    case FUSE_INTERRUPT:
      return MountedView::Bytes(fuse_interrupt_in{last_});
    case FUSE_GETATTR:
    case FUSE_STATX: {
      std::string body(sizeof(fuse_statx_in), '\0');
      body[0] = static_cast<char>(choice.flags % 2);
      const uint64_t handle = Handle(choice.other_node);
      body.replace(8, sizeof(handle), MountedView::Bytes(handle));
      body[20] = static_cast<char>(choice.offset);
      body[21] = static_cast<char>(choice.name);
      return body;
    }
    case FUSE_SETATTR: {
      fuse_setattr_in in = {};
      in.valid = choice.flags | (choice.name & 15u) << 8;
      in.fh = Handle(choice.other_node);
      in.size = Offset(choice.offset);
      in.mode = S_IFREG | 0600u | (choice.other_name & 7u) << 9;
      in.uid = in.gid = choice.other_name;
      return MountedView::Bytes(in);
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
      fuse_open_in in = {};
      in.flags = choice.flags | (choice.offset & 63u) << 9;
      in.open_flags = choice.name % 2;
      return MountedView::Bytes(in);
    }
    case FUSE_ACCESS:
      return MountedView::Bytes(fuse_access_in{choice.flags % 8u, 0});
    case FUSE_READLINK:
    case FUSE_STATFS:
      return "";
    default:
      break;
  }
  for (const uint32_t named :
       {FUSE_LOOKUP, FUSE_MKDIR, FUSE_MKNOD, FUSE_CREATE, FUSE_TMPFILE,
        FUSE_RENAME, FUSE_RENAME2, FUSE_LINK, FUSE_SYMLINK, FUSE_UNLINK,
        FUSE_RMDIR, FUSE_SETXATTR, FUSE_GETXATTR, FUSE_REMOVEXATTR}) {
    if (opcode == named) return NamesBody(opcode, choice);
  }
  return HandleBody(opcode, choice);
}

void Run::Do(const Choice& choice) {
  const uint32_t opcode = choice.opcode % 54;
  if (opcode == FUSE_INIT || opcode == FUSE_DESTROY) return;
  MountedView& view = *views_[choice.from % 2];
  const std::string body = Body(opcode, choice);
  last_ = view.Send(opcode, Node(choice.node), body, Caller(choice.from));
  const std::optional<Answer> answer = view.Poll(last_);
  const bool silent = opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
                      opcode == FUSE_INTERRUPT || opcode == FUSE_NOTIFY_REPLY;
  CHECK(silent || opcode == FUSE_SETLKW || answer.has_value()) << opcode;
  if (!answer.has_value() || answer->error != 0) return;
  switch (opcode) {
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      handles_.push_back(answer->created().fh);
      nodes_.push_back(answer->node());
      break;
    case FUSE_LOOKUP:
    case FUSE_MKDIR:
    case FUSE_MKNOD:
    case FUSE_LINK:
    case FUSE_SYMLINK:
      nodes_.push_back(answer->node());
      break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      handles_.push_back(answer->opened().fh);
      break;
    default:
      break;
  }
}

void LimitFileSizes() {
  // What a random offset would make is refused, not allocated.
  const struct rlimit limit = {1 << 20, 1 << 20};
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  CHECK(std::signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
}

}  // namespace
}  // namespace fused

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool limited = (fused::LimitFileSizes(), true);
  fused::Bytes bytes(data, size);
  fused::Run run(limited && bytes.Next() % 2 == 1);
  for (size_t i = 0; i < fused::kMostRequests && !bytes.empty(); ++i) {
    fused::Choice choice;
    choice.opcode = bytes.Next();
    choice.from = bytes.Next();
    choice.node = bytes.Next();
    choice.name = bytes.Next();
    choice.other_node = bytes.Next();
    choice.other_name = bytes.Next();
    choice.flags = bytes.Next();
    choice.offset = bytes.Next();
    run.Do(choice);
  }
  run.Finish();
  return 0;
}
