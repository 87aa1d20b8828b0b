// Requests on their way to Operations, and answers on their way back.

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "kernel/libfuse.h"
#include "kernel/reply.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/session_fixture.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;

TEST_F(SessionTest, PassesNameAndCaller) {
  Init();
  std::string name;
  NodeId parent = 0;
  operations_.lookup = [&](NodeId in, const char* n, EntryReply reply) {
    parent = in;
    name = n;
    Entry entry;
    entry.node = 7;
    entry.generation = 3;
    entry.attributes.stat.st_size = 99;
    entry.attributes.cache = true;
    EXPECT_TRUE(reply.Send(entry));
  };
  const uint64_t unique = kernel_.Send(FUSE_LOOKUP, 4, Terminated("name"));
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(answer.unique, unique);
  EXPECT_EQ(name, "name");
  EXPECT_EQ(parent, 4u);
  EXPECT_EQ(operations_.caller.uid, 10001u);
  EXPECT_EQ(operations_.caller.pid, 4242);
  const auto out = answer.As<fuse_entry_out>();
  EXPECT_EQ(out.nodeid, 7u);
  EXPECT_EQ(out.generation, 3u);
  EXPECT_EQ(out.attr.size, 99u);
  EXPECT_EQ(out.entry_valid, 0u);
  EXPECT_EQ(out.entry_valid_nsec, 0u);
  EXPECT_GT(out.attr_valid, 1'000'000'000u);
  EXPECT_EQ(out.attr_valid_nsec, 0u);
}

TEST_F(SessionTest, NegativeEntryIsCached) {
  Init();
  operations_.lookup = [](NodeId, const char*, EntryReply reply) {
    reply.NegativeCached();
  };
  kernel_.Send(FUSE_LOOKUP, 1, Terminated("none"));
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.As<fuse_entry_out>().nodeid, 0u);
  EXPECT_GT(answer.As<fuse_entry_out>().entry_valid, 1'000'000'000u);
}

TEST_F(SessionTest, ErrorsNeverLookLikeSuccess) {
  Init();
  for (const absl::Status& status :
       {absl::OkStatus(), absl::InternalError("x"), ErrnoStatus(4000)}) {
    operations_.lookup = [status](NodeId, const char*, EntryReply reply) {
      reply.Error(status);
    };
    kernel_.Send(FUSE_LOOKUP, 1, Terminated("a"));
    EXPECT_EQ(Answer().error, -EIO);
  }
  operations_.lookup = [](NodeId, const char*, EntryReply reply) {
    EXPECT_FALSE(reply.Send(Entry()));
  };
  kernel_.Send(FUSE_LOOKUP, 1, Terminated("a"));
  EXPECT_EQ(Answer().error, -EIO);
}

TEST_F(SessionTest, OpenFlagsAreTheLegalOnes) {
  Init();
  absl::StatusOr<BackingRef> backing = session_->backing().Acquire(5, 0);
  ASSERT_THAT(backing, IsOk());
  struct Case {
    OpenFlags flags;
    uint32_t expected;
    int32_t backing_id;
  };
  const Case cases[] = {
      {OpenFlags::Passthrough(1, *backing, Access::kRead),
       FOPEN_PASSTHROUGH | FOPEN_NOFLUSH, backing->id()},
      {OpenFlags::Passthrough(1, *backing, Access::kWrite),
       FOPEN_PASSTHROUGH | FOPEN_NOFLUSH, backing->id()},
      {OpenFlags::Passthrough(1, *backing, Access::kReadWrite),
       FOPEN_PASSTHROUGH, backing->id()},
      {OpenFlags::Passthrough(1, BackingRef(), Access::kReadWrite),
       FOPEN_DIRECT_IO, 0},
      {OpenFlags::Daemon(1, Access::kRead), FOPEN_DIRECT_IO | FOPEN_NOFLUSH, 0},
      {OpenFlags::Daemon(1, Access::kWrite), FOPEN_DIRECT_IO | FOPEN_NOFLUSH,
       0},
      {OpenFlags::Daemon(1, Access::kReadWrite), FOPEN_DIRECT_IO, 0},
  };
  for (const Case& c : cases) {
    const fuse_open_out out = OpenWith(c.flags);
    EXPECT_EQ(out.open_flags, c.expected);
    EXPECT_EQ(out.backing_id, c.backing_id);
    EXPECT_EQ(out.fh, 1u);
  }
}

TEST_F(SessionTest, OpenPassesOnlyFlagsThatAreTheFileSystems) {
  Init();
  OpenRequest got;
  operations_.open = [&got](NodeId, const OpenRequest& request,
                            OpenReply reply) {
    got = request;
    reply.Error(ErrnoStatus(EACCES));
  };
  constexpr uint32_t kExec = 0x20;  // FMODE_EXEC
  kernel_.SendStruct(FUSE_OPEN, 5,
                     fuse_open_in{O_RDWR | O_TRUNC | O_APPEND | O_CREAT |
                                      O_EXCL | O_NOCTTY | O_CLOEXEC | kExec,
                                  FUSE_OPEN_KILL_SUIDGID});
  EXPECT_EQ(Answer().error, -EACCES);
  EXPECT_EQ(got.flags, O_RDWR | O_TRUNC | O_APPEND);
  EXPECT_FALSE(got.kill_suidgid);  // was not asked for
}

TEST_F(SessionTest, CreateKeepsExclusive) {
  Session::Options options;
  options.posix = true;
  Init(options);
  OpenRequest got;
  operations_.create = [&got](const char* name, const OpenRequest& request,
                              CreateReply reply) {
    EXPECT_STREQ(name, "new");
    got = request;
    Entry entry;
    entry.node = 9;
    EXPECT_TRUE(reply.Send(entry, OpenFlags::Daemon(3, Access::kWrite)));
  };
  fuse_create_in in = {};
  in.flags = O_WRONLY | O_CREAT | O_EXCL;
  in.mode = 0100640;
  in.umask = 022;
  in.open_flags = FUSE_OPEN_KILL_SUIDGID;
  kernel_.SendStruct(FUSE_CREATE, 1, in, Terminated("new"));
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.body.size(), sizeof(fuse_entry_out) + sizeof(fuse_open_out));
  EXPECT_EQ(got.flags, O_WRONLY | O_EXCL);
  EXPECT_TRUE(got.kill_suidgid);
  EXPECT_EQ(operations_.caller.umask, static_cast<mode_t>(022));
}

TEST_F(SessionTest, ReadIsCutToWhatWasAsked) {
  Init();
  operations_.read = [](size_t size, DataReply reply) {
    EXPECT_EQ(size, 4u);
    reply.Send("too long");
  };
  fuse_read_in in = {};
  in.size = 4;
  kernel_.SendStruct(FUSE_READ, 5, in);
  EXPECT_EQ(Answer().body, "too ");
}

TEST_F(SessionTest, WriteCarriesItsData) {
  Init();
  std::string got;
  operations_.write = [&got](std::string_view data, bool kill_suidgid,
                             WriteReply reply) {
    got = data;
    EXPECT_FALSE(kill_suidgid);
    reply.Send(data.size());
  };
  const std::string data((1 << 20), 'x');
  fuse_write_in in = {};
  in.size = static_cast<uint32_t>(data.size());
  kernel_.SendStruct(FUSE_WRITE, 5, in, data);
  EXPECT_EQ(Answer().As<fuse_write_out>().size, data.size());
  EXPECT_EQ(got, data);
}

TEST_F(SessionTest, KillSuidgidIsPassedOnInPosix) {
  Session::Options options;
  options.posix = true;
  Init(options);
  bool killed = false;
  operations_.write = [&killed](std::string_view, bool kill, WriteReply reply) {
    killed = kill;
    reply.Send(0);
  };
  fuse_write_in in = {};
  in.write_flags = FUSE_WRITE_KILL_SUIDGID;
  kernel_.SendStruct(FUSE_WRITE, 5, in);
  Answer();
  EXPECT_TRUE(killed);

  kernel::SetAttributes values;
  operations_.set_attributes = [&values](const kernel::SetAttributes& v) {
    values = v;
  };
  fuse_setattr_in set = {};
  set.valid = FATTR_SIZE | FATTR_KILL_SUIDGID | FATTR_MTIME | FATTR_MTIME_NOW;
  set.size = 17;
  kernel_.SendStruct(FUSE_SETATTR, 5, set);
  Answer();
  EXPECT_TRUE(values.kill_suidgid);
  EXPECT_TRUE(values.set_size);
  EXPECT_TRUE(values.set_mtime);
  EXPECT_TRUE(values.mtime_now);
  EXPECT_FALSE(values.set_mode);
  EXPECT_EQ(values.size, 17);
}

TEST_F(SessionTest, BatchForgetIsOneCall) {
  Init();
  const fuse_forget_one list[] = {{2, 1}, {3, 5}};
  kernel_.SendStruct(FUSE_BATCH_FORGET, 0, fuse_batch_forget_in{2, 0},
                     {reinterpret_cast<const char*>(list), sizeof(list)});
  kernel_.SendStruct(FUSE_FORGET, 4, fuse_forget_in{9});
  EXPECT_TRUE(Silent());
  const std::vector<Forget> forgets = operations_.forgets();
  ASSERT_EQ(forgets.size(), 3u);
  EXPECT_EQ(forgets[1].node, 3u);
  EXPECT_EQ(forgets[1].lookups, 5u);
  EXPECT_EQ(forgets[2].node, 4u);
}

TEST_F(SessionTest, XattrsAreEnosysInMedia) {
  Init();
  kernel_.SendStruct(FUSE_GETXATTR, 5, fuse_getxattr_in{}, Terminated("a.b"));
  EXPECT_EQ(Answer().error, -ENOSYS);
  kernel_.SendStruct(FUSE_LISTXATTR, 5, fuse_getxattr_in{});
  EXPECT_EQ(Answer().error, -ENOSYS);
  kernel_.Send(FUSE_REMOVEXATTR, 5, Terminated("a.b"));
  EXPECT_EQ(Answer().error, -ENOSYS);
  kernel_.Send(FUSE_SETXATTR, 5, std::string(8, '\0') + Terminated("a.b"));
  EXPECT_EQ(Answer().error, -ENOSYS);
  EXPECT_EQ(operations_.received(FUSE_GETXATTR), 1);
}

TEST_F(SessionTest, XattrAnswersFitTheirSize) {
  Session::Options options;
  options.posix = true;
  Init(options);
  operations_.get_xattr = [](size_t, XattrReply reply) { reply.Send("value"); };
  const std::string name = Terminated("user.x");
  kernel_.SendStruct(FUSE_GETXATTR, 5, fuse_getxattr_in{0, 0}, name);
  EXPECT_EQ(Answer().As<fuse_getxattr_out>().size, 5u);
  kernel_.SendStruct(FUSE_GETXATTR, 5, fuse_getxattr_in{4, 0}, name);
  EXPECT_EQ(Answer().error, -ERANGE);
  kernel_.SendStruct(FUSE_GETXATTR, 5, fuse_getxattr_in{64, 0}, name);
  EXPECT_EQ(Answer().body, "value");
}

TEST_F(SessionTest, DirectoriesAreFilledToTheirSize) {
  Init();
  int added = 0;
  operations_.read_directory = [&added](DirectoryReply reply) {
    EXPECT_FALSE(reply.plus());
    while (reply.Add("0123456789", 1, S_IFREG, added + 1)) ++added;
    EXPECT_TRUE(reply.Send());
  };
  fuse_read_in in = {};
  in.size = 400;
  kernel_.SendStruct(FUSE_READDIR, 1, in);
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(added, 10);  // 24 bytes, the name, padding: 40
  EXPECT_EQ(answer.body.size(), 400u);

  operations_.read_directory = [](DirectoryReply reply) {
    EXPECT_TRUE(reply.plus());
    Entry entry;
    entry.node = 3;
    entry.attributes.stat.st_ino = 77;
    EXPECT_TRUE(reply.AddPlus("one", entry, 1));
    EXPECT_FALSE(reply.Add("two", 1, S_IFREG, 2));  // not of this kind
    EXPECT_TRUE(reply.Send());
  };
  kernel_.SendStruct(FUSE_READDIRPLUS, 1, in);
  const auto out = Answer().As<fuse_direntplus>();
  EXPECT_EQ(out.entry_out.nodeid, 3u);
  EXPECT_EQ(out.dirent.ino, 77u);
  EXPECT_EQ(out.dirent.namelen, 3u);
}

TEST_F(SessionTest, LocksAreTranslated) {
  Init();
  LockRequest got;
  bool waited = false;
  operations_.set_lock = [&](const LockRequest& request, bool wait,
                             StatusReply reply) {
    got = request;
    waited = wait;
    reply.Ok();
  };
  fuse_lk_in in = {};
  in.owner = 77;
  in.lk = {10, 19, F_WRLCK, 5};
  kernel_.SendStruct(FUSE_SETLK, 5, in);
  EXPECT_EQ(Answer().error, 0);
  EXPECT_EQ(got.owner, 77u);
  EXPECT_EQ(got.range.type, F_WRLCK);
  EXPECT_EQ(got.range.start, 10u);
  EXPECT_EQ(got.range.length, 10u);
  EXPECT_FALSE(waited);
  in.lk.end = INT64_MAX;
  kernel_.SendStruct(FUSE_SETLKW, 5, in);
  EXPECT_EQ(Answer().error, 0);
  EXPECT_EQ(got.range.length, 0u);
  EXPECT_TRUE(waited);
  // Nonsense is not translated.
  in.lk.start = 20;
  in.lk.end = 10;
  kernel_.SendStruct(FUSE_SETLKW, 5, in);
  EXPECT_EQ(Answer().error, -EINVAL);

  int operation = 0;
  operations_.flock = [&operation](int op, StatusReply reply) {
    operation = op;
    reply.Ok();
  };
  in.lk = {0, INT64_MAX, F_RDLCK, 5};
  in.lk_flags = FUSE_LK_FLOCK;
  kernel_.SendStruct(FUSE_SETLK, 5, in);
  Answer();
  EXPECT_EQ(operation, LOCK_SH | LOCK_NB);
}

TEST_F(SessionTest, ReleaseTellsOfFlocks) {
  Init();
  fuse_release_in in = {};
  in.lock_owner = 5;
  kernel_.SendStruct(FUSE_RELEASE, 5, in);
  EXPECT_EQ(Answer().error, 0);
  EXPECT_EQ(operations_.flock_owner, std::nullopt);
  in.release_flags = FUSE_RELEASE_FLOCK_UNLOCK;
  kernel_.SendStruct(FUSE_RELEASE, 5, in);
  EXPECT_EQ(Answer().error, 0);
  EXPECT_EQ(operations_.flock_owner, 5u);
}

TEST_F(SessionTest, IoctlsAreRestricted) {
  Init();
  operations_.ioctl = [](std::string_view input, size_t output_size,
                         IoctlReply reply) {
    EXPECT_EQ(input, "in");
    EXPECT_EQ(output_size, 3u);
    reply.Send(7, "output");
  };
  fuse_ioctl_in in = {};
  in.in_size = 2;
  in.out_size = 3;
  kernel_.SendStruct(FUSE_IOCTL, 5, in, "in");
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(answer.As<fuse_ioctl_out>().result, 7);
  EXPECT_EQ(answer.body.substr(sizeof(fuse_ioctl_out)), "out");
  in.flags = FUSE_IOCTL_UNRESTRICTED;
  kernel_.SendStruct(FUSE_IOCTL, 5, in, "in");
  EXPECT_EQ(Answer().error, -ENOTTY);
}

}  // namespace
}  // namespace fused::kernel
