// The life of a connection, and packets that no kernel should send.

#include "kernel/session.h"

#include <fcntl.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
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

uint64_t FlagsOf(const fuse_init_out& out) {
  return out.flags | (uint64_t{out.flags2} << 32);
}

TEST_F(SessionTest, AsksForWhatMediaNeeds) {
  const fuse_init_out out = Init();
  constexpr uint64_t kWanted =
      FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
      FUSE_ATOMIC_O_TRUNC | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
      FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_CACHE_SYMLINKS |
      FUSE_DIRECT_IO_ALLOW_MMAP | FUSE_PASSTHROUGH | FUSE_MAX_PAGES |
      FUSE_BIG_WRITES | FUSE_INIT_EXT;
  EXPECT_EQ(FlagsOf(out), kWanted);
  EXPECT_EQ(out.max_write, 1u << 20);
  EXPECT_EQ(out.max_pages, 256);
  EXPECT_EQ(out.max_stack_depth, 1u);
  EXPECT_EQ(operations_.inits(), 1);
  EXPECT_TRUE(session_->initialized());
  EXPECT_TRUE(operations_.connection().passthrough);
  EXPECT_TRUE(operations_.connection().inc_epoch);
  EXPECT_EQ(operations_.connection().minor, 45u);
  EXPECT_EQ(session_->init_packet().size(),
            sizeof(fuse_in_header) + sizeof(fuse_init_in));
}

TEST_F(SessionTest, AsksForMoreInPosix) {
  Session::Options options;
  options.posix = true;
  options.max_stack_depth = 2;
  const fuse_init_out out = Init(options);
  constexpr uint64_t kPosix = FUSE_EXPORT_SUPPORT | FUSE_DONT_MASK |
                              FUSE_POSIX_ACL | FUSE_HANDLE_KILLPRIV_V2;
  EXPECT_EQ(FlagsOf(out) & kPosix, kPosix);
  constexpr uint64_t kNever =
      FUSE_WRITEBACK_CACHE | FUSE_ALLOW_IDMAP | FUSE_SPLICE_READ |
      FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE | FUSE_AUTO_INVAL_DATA |
      FUSE_EXPLICIT_INVAL_DATA | FUSE_OVER_IO_URING | FUSE_HANDLE_KILLPRIV;
  EXPECT_EQ(FlagsOf(out) & kNever, 0u);
  EXPECT_EQ(out.max_stack_depth, 2u);
}

TEST_F(SessionTest, NeverAsksForWhatIsNotOffered) {
  const fuse_init_out out =
      Init({}, 31, FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_MAX_PAGES);
  EXPECT_EQ(out.flags,
            static_cast<uint32_t>(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS |
                                  FUSE_MAX_PAGES | FUSE_BIG_WRITES));
  EXPECT_FALSE(operations_.connection().passthrough);
  EXPECT_STREQ(operations_.connection().passthrough_reason,
               "the kernel does not offer it");
  EXPECT_FALSE(operations_.connection().inc_epoch);
  EXPECT_TRUE(absl::IsUnimplemented(session_->IncrementEpoch()));
}

TEST_F(SessionTest, PassthroughTurnedOff) {
  Session::Options options;
  options.passthrough = false;
  const fuse_init_out out = Init(options);
  EXPECT_EQ(FlagsOf(out) & FUSE_PASSTHROUGH, 0u);
  EXPECT_STREQ(operations_.connection().passthrough_reason, "turned off");
}

TEST_F(SessionTest, RefusesKernelsThatAreTooOld) {
  Start();
  kernel_.SendInit(27, FakeKernel::AllFlags());
  EXPECT_EQ(Answer().error, -EPROTO);
  EXPECT_FALSE(session_->initialized());
  EXPECT_EQ(operations_.inits(), 0);
}

TEST_F(SessionTest, NegotiatesANewerMajorDown) {
  Start();
  kernel_.SendInit(0, FakeKernel::AllFlags(), 8);
  EXPECT_EQ(Answer().As<fuse_init_out>().major, 7u);
  EXPECT_EQ(operations_.inits(), 0);
  kernel_.SendInit(45, FakeKernel::AllFlags());
  EXPECT_EQ(Answer().error, 0);
  EXPECT_EQ(operations_.inits(), 1);
}

TEST_F(SessionTest, NothingButInitBeforeInit) {
  Start();
  kernel_.Send(FUSE_LOOKUP, 1, Terminated("a"));
  EXPECT_EQ(Answer().error, -EIO);
  kernel_.SendStruct(FUSE_FORGET, 1, fuse_forget_in{1});
  EXPECT_TRUE(Silent());
  EXPECT_TRUE(operations_.forgets().empty());
  EXPECT_TRUE(IsErrno(session_->InvalidateInode(1, false), ENOTCONN));
  EXPECT_TRUE(IsErrno(session_->IncrementEpoch(), ENOTCONN));
}

TEST_F(SessionTest, OnlyOneInit) {
  Init();
  kernel_.SendInit(45, FakeKernel::AllFlags());
  EXPECT_EQ(Answer().error, -EIO);
  EXPECT_EQ(operations_.inits(), 1);
}

TEST_F(SessionTest, ForgottenReplyIsEioAndCounted) {
  Init();
  operations_.lookup = [](NodeId, const char*, EntryReply) {};
  kernel_.Send(FUSE_LOOKUP, 1, Terminated("a"));
  EXPECT_EQ(Answer().error, -EIO);
  EXPECT_EQ(session_->unanswered(), 1u);
}

TEST_F(SessionTest, InterruptReachesAWaitingLock) {
  Init();
  std::unique_ptr<StatusReply> waiting;
  int interrupts = 0;
  operations_.set_lock = [&](const LockRequest&, bool, StatusReply reply) {
    waiting = std::make_unique<StatusReply>(std::move(reply));
    waiting->OnInterrupt([&] {
      ++interrupts;
      waiting->Error(ErrnoStatus(EINTR));
    });
  };
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  const uint64_t unique = kernel_.SendStruct(FUSE_SETLKW, 5, in);
  EXPECT_TRUE(Silent());
  kernel_.SendStruct(FUSE_INTERRUPT, 0, fuse_interrupt_in{unique});
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(answer.unique, unique);
  EXPECT_EQ(answer.error, -EINTR);
  // Once is enough.
  kernel_.SendStruct(FUSE_INTERRUPT, 0, fuse_interrupt_in{unique});
  EXPECT_TRUE(Silent());
  EXPECT_EQ(interrupts, 1);
}

TEST_F(SessionTest, InterruptThatCameFirstIsNotLost) {
  Init();
  operations_.set_lock = [](const LockRequest&, bool, StatusReply reply) {
    auto waiting = std::make_shared<StatusReply>(std::move(reply));
    waiting->OnInterrupt([waiting] { waiting->Error(ErrnoStatus(EINTR)); });
  };
  // As if another thread had been faster with it than this one.
  kernel_.SendStruct(FUSE_INTERRUPT, 0,
                     fuse_interrupt_in{kernel_.last_unique() + 4});
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  const uint64_t unique = kernel_.SendStruct(FUSE_SETLKW, 5, in);
  const FakeKernel::Message answer = Answer();
  EXPECT_EQ(answer.unique, unique);
  EXPECT_EQ(answer.error, -EINTR);
  EXPECT_EQ(session_->unanswered(), 0u);
}

TEST_F(SessionTest, ACallbackThatOwnsItsReplyGoesWithTheSession) {
  Init();
  std::weak_ptr<StatusReply> kept;
  operations_.set_lock = [&kept](const LockRequest&, bool, StatusReply reply) {
    auto waiting = std::make_shared<StatusReply>(std::move(reply));
    kept = waiting;
    waiting->OnInterrupt([waiting] { waiting->Error(ErrnoStatus(EINTR)); });
  };
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  const uint64_t unique = kernel_.SendStruct(FUSE_SETLKW, 5, in);
  EXPECT_TRUE(Silent());
  EXPECT_FALSE(kept.expired());
  session_.reset();
  EXPECT_TRUE(kept.expired());
  const std::optional<FakeKernel::Message> answer = kernel_.Poll();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, unique);
  EXPECT_EQ(answer->error, -EIO);
}

// No kernel does that; but what is replaced owns what locks again.
TEST_F(SessionTest, TwoWaitsByOneNumber) {
  Init();
  operations_.set_lock = [](const LockRequest&, bool, StatusReply reply) {
    auto waiting = std::make_shared<StatusReply>(std::move(reply));
    waiting->OnInterrupt([waiting] { waiting->Error(ErrnoStatus(EINTR)); });
  };
  fuse_in_header header = {};
  header.opcode = FUSE_SETLKW;
  header.unique = 42;
  header.nodeid = 5;
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  header.len = sizeof(header) + sizeof(in);
  std::string packet(reinterpret_cast<const char*>(&header), sizeof(header));
  packet.append(reinterpret_cast<const char*>(&in), sizeof(in));
  kernel_.SendRaw(packet);
  EXPECT_TRUE(Silent());
  kernel_.SendRaw(packet);
  EXPECT_EQ(Answer().error, -EIO);
  // The number is the second one's too.
  EXPECT_EQ(session_->unanswered(), 2u);
}

TEST_F(SessionTest, AnsweredRequestsAreNotInterrupted) {
  Init();
  bool called = false;
  operations_.set_lock = [&called](const LockRequest&, bool,
                                   StatusReply reply) {
    reply.OnInterrupt([&called] { called = true; });
    reply.Ok();
  };
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  const uint64_t unique = kernel_.SendStruct(FUSE_SETLKW, 5, in);
  EXPECT_EQ(Answer().error, 0);
  kernel_.SendStruct(FUSE_INTERRUPT, 0, fuse_interrupt_in{unique});
  EXPECT_TRUE(Silent());
  EXPECT_FALSE(called);
}

TEST_F(SessionTest, NotificationsAreWellFormed) {
  Init();
  ASSERT_THAT(session_->InvalidateInode(5, false), IsOk());
  FakeKernel::Message message = kernel_.Receive();
  EXPECT_EQ(message.unique, 0u);
  EXPECT_EQ(message.error, FUSE_NOTIFY_INVAL_INODE);
  EXPECT_EQ(message.As<fuse_notify_inval_inode_out>().ino, 5u);
  EXPECT_EQ(message.As<fuse_notify_inval_inode_out>().off, -1);
  ASSERT_THAT(session_->InvalidateInode(5, true), IsOk());
  EXPECT_EQ(kernel_.Receive().As<fuse_notify_inval_inode_out>().off, 0);

  ASSERT_THAT(session_->InvalidateEntry(5, "name"), IsOk());
  message = kernel_.Receive();
  EXPECT_EQ(message.error, FUSE_NOTIFY_INVAL_ENTRY);
  EXPECT_EQ(message.As<fuse_notify_inval_entry_out>().flags, 0u);
  EXPECT_EQ(message.body.substr(sizeof(fuse_notify_inval_entry_out)),
            Terminated("name"));
  ASSERT_THAT(session_->ExpireEntry(5, "name"), IsOk());
  EXPECT_EQ(kernel_.Receive().As<fuse_notify_inval_entry_out>().flags,
            static_cast<uint32_t>(FUSE_EXPIRE_ONLY));
  ASSERT_THAT(session_->IncrementEpoch(), IsOk());
  message = kernel_.Receive();
  EXPECT_EQ(message.error, FUSE_NOTIFY_INC_EPOCH);
  EXPECT_TRUE(message.body.empty());
  EXPECT_TRUE(IsErrno(session_->InvalidateEntry(5, ""), EINVAL));
  EXPECT_TRUE(IsErrno(
      session_->InvalidateEntry(5, std::string(NAME_MAX + 1, 'x')), EINVAL));
}

TEST_F(SessionTest, DestroyWithRequestsPending) {
  Init();
  std::unique_ptr<StatusReply> waiting;
  operations_.set_lock = [&waiting](const LockRequest&, bool,
                                    StatusReply reply) {
    waiting = std::make_unique<StatusReply>(std::move(reply));
    waiting->OnInterrupt([] {});
  };
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  kernel_.SendStruct(FUSE_SETLKW, 5, in);
  EXPECT_TRUE(Silent());
  kernel_.Send(FUSE_DESTROY, 0, "");
  EXPECT_EQ(Answer().error, 0);
  EXPECT_EQ(operations_.destroys(), 1);
  EXPECT_EQ(session_->Serve(buffer_), Session::Progress::kEnded);
  EXPECT_EQ(operations_.destroys(), 1);
  // The session may go first.
  session_.reset();
  waiting->Ok();
  EXPECT_EQ(kernel_.Receive().error, 0);
}

TEST_F(SessionTest, EndsWhenTheKernelGoes) {
  Init();
  std::unique_ptr<StatusReply> waiting;
  operations_.set_lock = [&waiting](const LockRequest&, bool,
                                    StatusReply reply) {
    waiting = std::make_unique<StatusReply>(std::move(reply));
  };
  fuse_lk_in in = {};
  in.lk = {0, 0, F_WRLCK, 5};
  kernel_.SendStruct(FUSE_SETLKW, 5, in);
  ServeAll();
  kernel_.Close();
  EXPECT_EQ(session_->Serve(buffer_), Session::Progress::kEnded);
  EXPECT_TRUE(session_->ended());
  EXPECT_EQ(operations_.destroys(), 1);
  waiting->Ok();  // to nobody
  EXPECT_EQ(session_->Serve(buffer_), Session::Progress::kEnded);
  EXPECT_EQ(operations_.destroys(), 1);
}

TEST_F(SessionTest, NoDestroyWithoutInit) {
  Start();
  kernel_.Close();
  EXPECT_EQ(session_->Serve(buffer_), Session::Progress::kEnded);
  EXPECT_EQ(operations_.destroys(), 0);
}

TEST_F(SessionTest, UnknownOpcodesAreEnosys) {
  Init();
  for (const uint32_t opcode : {0u, 7u, 19u, 48u, 49u, 50u, 54u, 63u, 64u, 100u,
                                4096u, 1048576u, 0x7fffffffu, 0xffffffffu}) {
    kernel_.Send(opcode, 1, std::string(64, '\0'));
    EXPECT_EQ(Answer().error, -ENOSYS) << opcode;
    EXPECT_EQ(operations_.received(opcode), 1) << opcode;
  }
}

TEST_F(SessionTest, MalformedPacketsAreRefused) {
  Init();
  // Shorter than a header: nobody to answer.
  kernel_.SendRaw("x");
  kernel_.SendRaw(kernel_.Packet(FUSE_GETATTR, 1, "").substr(0, 39));
  EXPECT_TRUE(Silent());
  // Not as long as it says.
  std::string packet = kernel_.Packet(FUSE_LOOKUP, 1, Terminated("a"));
  kernel_.SendRaw(packet + "more");
  EXPECT_EQ(Answer().error, -EINVAL);
  kernel_.SendRaw(packet.substr(0, packet.size() - 1));
  EXPECT_EQ(Answer().error, -EINVAL);
  // Larger than any that we said we take.
  fuse_write_in in = {};
  in.size = (1 << 20) + 8192;
  kernel_.SendStruct(FUSE_WRITE, 5, in, std::string(in.size, 'x'));
  EXPECT_EQ(Answer().error, -EINVAL);
  EXPECT_EQ(session_->malformed(), 5u);
}

// Each with every length that is too short: no handler is reached, nothing is
// read beyond the packet (ASan would tell).
TEST_F(SessionTest, NoOpcodeReadsBeyondItsPacket) {
  Session::Options options;
  options.posix = true;
  Init(options);
  for (uint32_t opcode = 0; opcode < kOpcodes; ++opcode) {
    if (opcode == FUSE_DESTROY) continue;
    for (size_t size = 0; size <= 128; ++size) {
      for (const char fill : {'\0', '\1', 'x', '\xff'}) {
        kernel_.Send(opcode, 1, std::string(size, fill));
        ServeAll();
        while (kernel_.Poll().has_value()) {
        }
      }
    }
  }
  EXPECT_FALSE(session_->ended());
  EXPECT_EQ(session_->unanswered(), 0u);
}

TEST_F(SessionTest, NamesAreSingleComponents) {
  Init();
  int lookups = 0;
  operations_.lookup = [&lookups](NodeId, const char*, EntryReply reply) {
    ++lookups;
    reply.Error(ErrnoStatus(ENOENT));
  };
  for (const std::string& name :
       {std::string(1, '\0'), Terminated("a/b"), Terminated("/"),
        std::string("unterminated")}) {
    kernel_.Send(FUSE_LOOKUP, 1, name);
    EXPECT_EQ(Answer().error, -EINVAL);
  }
  kernel_.Send(FUSE_LOOKUP, 1, Terminated("."));
  EXPECT_EQ(Answer().error, -ESTALE);
  kernel_.Send(FUSE_LOOKUP, 1, Terminated(".."));
  EXPECT_EQ(Answer().error, -ESTALE);
  kernel_.Send(FUSE_UNLINK, 1, Terminated(".."));
  EXPECT_EQ(Answer().error, -EINVAL);
  // The second name of two.
  kernel_.SendStruct(FUSE_RENAME, 1, fuse_rename_in{1},
                     Terminated("a") + Terminated("../b"));
  EXPECT_EQ(Answer().error, -EINVAL);
  kernel_.SendStruct(FUSE_RENAME, 1, fuse_rename_in{1}, Terminated("a") + "b");
  EXPECT_EQ(Answer().error, -EINVAL);
  EXPECT_EQ(lookups, 0);
}

TEST_F(SessionTest, OnlyAnExportedMountIsAskedForDots) {
  Init({.posix = true});
  std::vector<std::string> asked;
  operations_.lookup = [&asked](NodeId, const char* name, EntryReply reply) {
    asked.emplace_back(name);
    reply.Error(ErrnoStatus(ENOENT));
  };
  for (const char* name : {".", ".."}) {
    kernel_.Send(FUSE_LOOKUP, 5, Terminated(name));
    EXPECT_EQ(Answer().error, -ENOENT);
    for (const uint32_t opcode : {FUSE_UNLINK, FUSE_RMDIR, FUSE_SYMLINK}) {
      kernel_.Send(opcode, 5, Terminated(name) + Terminated("target"));
      EXPECT_EQ(Answer().error, -EINVAL);
    }
  }
  EXPECT_EQ(asked, (std::vector<std::string>{".", ".."}));
}

TEST_F(SessionTest, CountsAndSizesLieWithinThePacket) {
  Init();
  fuse_write_in write = {};
  write.size = 100;
  kernel_.SendStruct(FUSE_WRITE, 5, write, "short");
  EXPECT_EQ(Answer().error, -EINVAL);
  kernel_.SendStruct(FUSE_BATCH_FORGET, 0, fuse_batch_forget_in{1000, 0},
                     std::string(16, '\1'));
  EXPECT_TRUE(Silent());
  EXPECT_TRUE(operations_.forgets().empty());
  fuse_read_in read = {};
  read.size = 0xffffffff;
  kernel_.SendStruct(FUSE_READ, 5, read);
  EXPECT_EQ(Answer().error, -EINVAL);
  fuse_ioctl_in ioctl = {};
  ioctl.in_size = 0xffffffff;
  kernel_.SendStruct(FUSE_IOCTL, 5, ioctl);
  EXPECT_EQ(Answer().error, -EINVAL);
  fuse_notify_retrieve_in reply = {};
  kernel_.SendStruct(FUSE_NOTIFY_REPLY, 5, reply);
  EXPECT_TRUE(Silent());
}

TEST(OpcodeNameTest, NamesAll) {
  EXPECT_EQ(OpcodeName(FUSE_LOOKUP), "LOOKUP");
  EXPECT_EQ(OpcodeName(FUSE_COPY_FILE_RANGE_64), "COPY_FILE_RANGE_64");
  EXPECT_EQ(OpcodeName(60), "OPCODE_60");
  EXPECT_EQ(OpcodeName(99), "OPCODE_?");
}

}  // namespace
}  // namespace fused::kernel
