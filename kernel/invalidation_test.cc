#include "kernel/invalidation.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/backing_fake.h"
#include "kernel/libfuse.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/fake_operations.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;
using ::testing::ElementsAre;

// One session that is served up to INIT.
struct Peer {
  explicit Peer(uint32_t minor = 45) {
    absl::StatusOr<std::unique_ptr<Session>> created =
        Session::Create({}, &operations, kernel.TakeDevice(),
                        std::make_unique<FakeBackingDevice>());
    EXPECT_THAT(created, IsOk());
    session = *std::move(created);
    kernel.SendInit(minor, FakeKernel::AllFlags());
    EXPECT_EQ(session->Serve(buffer), Session::Progress::kServed);
    kernel.Receive();
  }

  // What has arrived, readable: "entry 5 name", "inode 5", "data 5", "epoch".
  std::vector<std::string> Arrived() {
    std::vector<std::string> result;
    while (std::optional<FakeKernel::Message> message = kernel.Poll()) {
      result.push_back(Text(*message));
    }
    return result;
  }

  static std::string Text(const FakeKernel::Message& message) {
    EXPECT_EQ(message.unique, 0u);
    switch (message.error) {
      case FUSE_NOTIFY_INVAL_ENTRY: {
        const auto out = message.As<fuse_notify_inval_entry_out>();
        return absl::StrCat("entry ", out.parent, " ",
                            message.body.substr(sizeof(out), out.namelen));
      }
      case FUSE_NOTIFY_INVAL_INODE: {
        const auto out = message.As<fuse_notify_inval_inode_out>();
        return absl::StrCat(out.off < 0 ? "inode " : "data ", out.ino);
      }
      case FUSE_NOTIFY_INC_EPOCH:
        return "epoch";
      default:
        return "unknown";
    }
  }

  FakeKernel kernel;
  FakeOperations operations;
  Session::Buffer buffer;
  std::shared_ptr<Session> session;
};

// A session whose kernel stands still: the worker waits in an epoch of it, and
// all that is posted meanwhile is queued. Uses `expire_all` as the event.
class Blocker {
 public:
  InvalidationWorker::Options Options(size_t limit) {
    InvalidationWorker::Options options;
    options.limit = limit;
    options.max_threads = 1;
    options.expire_all = [this](Session& session) {
      if (&session != peer_.session.get()) {
        absl::MutexLock lock(&mu_);
        ++others_;
        return;
      }
      blocked_.Notify();
      proceed_.WaitForNotification();
    };
    return options;
  }
  void Block(InvalidationWorker& worker) {
    worker.PostEpoch(peer_.session);
    blocked_.WaitForNotification();
  }
  void Proceed() { proceed_.Notify(); }
  int others() {
    absl::MutexLock lock(&mu_);
    return others_;
  }

 private:
  Peer peer_{31};  // has no INC_EPOCH
  absl::Notification blocked_;
  absl::Notification proceed_;
  absl::Mutex mu_;
  int others_ ABSL_GUARDED_BY(mu_) = 0;
};

TEST(InvalidationTest, SendsInOrder) {
  Peer peer;
  InvalidationWorker worker({});
  worker.PostEntry(peer.session, 5, "a");
  worker.PostInode(peer.session, 6, false);
  worker.PostInode(peer.session, 7, true);
  worker.PostEntry(peer.session, 5, "b");
  worker.PostEpoch(peer.session);
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(), ElementsAre("entry 5 a", "inode 6", "data 7",
                                          "entry 5 b", "epoch"));
  const InvalidationWorker::Stats stats = worker.stats();
  EXPECT_EQ(stats.entries, 2u);
  EXPECT_EQ(stats.inodes, 2u);
  EXPECT_EQ(stats.epochs, 1u);
  EXPECT_EQ(stats.queued, 0u);
}

// First what waits for those who are reading the directory, then its pages.
TEST(InvalidationTest, DropsAListing) {
  Peer peer;
  InvalidationWorker worker({});
  worker.PostListing(peer.session, 5);
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(), ElementsAre("entry 5 /", "data 5"));
  EXPECT_EQ(worker.stats().listings, 1u);
}

TEST(InvalidationTest, ListingsAreDroppedOnceAndOutliveAnOverflow) {
  Blocker blocker;
  Peer peer;
  InvalidationWorker worker(blocker.Options(2));
  blocker.Block(worker);
  worker.PostListing(peer.session, 5);
  worker.PostListing(peer.session, 5);
  worker.PostInode(peer.session, 5, false);
  for (const char* name : {"a", "b", "c"}) {
    worker.PostEntry(peer.session, 5, name);
  }
  blocker.Proceed();
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(), ElementsAre("entry 5 /", "data 5", "epoch"));
  EXPECT_EQ(worker.stats().coalesced, 2u);
  EXPECT_GE(worker.stats().longest_lag, absl::ZeroDuration());
  EXPECT_GE(worker.stats().lag, worker.stats().longest_lag);
}

TEST(InvalidationTest, TellsOnceWhatIsQueuedTwice) {
  Blocker blocker;
  Peer peer;
  Peer other;
  InvalidationWorker worker(blocker.Options(100));
  blocker.Block(worker);
  worker.PostEntry(peer.session, 5, "a");
  worker.PostEntry(peer.session, 5, "a");
  worker.PostEntry(peer.session, 6, "a");
  worker.PostEntry(other.session, 5, "a");
  worker.PostInode(peer.session, 5, true);
  worker.PostInode(peer.session, 5, false);  // is in the one before
  worker.PostEpoch(peer.session);
  worker.PostEntry(peer.session, 5, "b");  // so is this
  blocker.Proceed();
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(),
              ElementsAre("entry 5 a", "entry 6 a", "data 5", "epoch"));
  EXPECT_THAT(other.Arrived(), ElementsAre("entry 5 a"));
  EXPECT_EQ(worker.stats().coalesced, 3u);
  // What was sent is sent again.
  worker.PostEntry(peer.session, 5, "a");
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(), ElementsAre("entry 5 a"));
}

TEST(InvalidationTest, OverflowBecomesAnEpochOfThatSession) {
  Blocker blocker;
  Peer peer;
  Peer other;
  InvalidationWorker worker(blocker.Options(10));
  blocker.Block(worker);
  worker.PostInode(peer.session, 9, false);
  worker.PostEntry(other.session, 1, "stays");
  for (int i = 0; i < 50; ++i) {
    worker.PostEntry(peer.session, 5, absl::StrCat(i));
  }
  EXPECT_EQ(worker.stats().overflows, 1u);
  blocker.Proceed();
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(), ElementsAre("inode 9", "epoch"));
  EXPECT_THAT(other.Arrived(), ElementsAre("entry 1 stays"));
}

TEST(InvalidationTest, OverflowOnAKernelWithoutEpochs) {
  Blocker blocker;
  Peer old(31);
  InvalidationWorker worker(blocker.Options(10));
  blocker.Block(worker);
  for (int i = 0; i < 50; ++i) {
    worker.PostEntry(old.session, 5, absl::StrCat(i));
  }
  blocker.Proceed();
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_EQ(blocker.others(), 1);
  EXPECT_TRUE(old.Arrived().empty());
}

TEST(InvalidationTest, NothingIsLostWithoutEpochsAndFallback) {
  Peer old(31);
  InvalidationWorker::Options options;
  options.limit = 10;
  InvalidationWorker worker(options);
  for (int i = 0; i < 50; ++i) {
    worker.PostEntry(old.session, 5, absl::StrCat(i));
  }
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_EQ(old.Arrived().size(), 50u);
}

TEST(InvalidationTest, SyncIsABarrierWithATimeout) {
  Blocker blocker;
  Peer peer;
  InvalidationWorker worker(blocker.Options(10));
  EXPECT_TRUE(worker.Sync(absl::ZeroDuration()));  // nothing to wait for
  blocker.Block(worker);
  worker.PostEntry(peer.session, 5, "a");
  EXPECT_FALSE(worker.Sync(absl::Milliseconds(1)));
  EXPECT_EQ(worker.stats().queued, 1u);
  blocker.Proceed();
  EXPECT_TRUE(worker.Sync(absl::InfiniteDuration()));
  EXPECT_THAT(peer.Arrived(), ElementsAre("entry 5 a"));
}

TEST(InvalidationTest, AStuckSessionHoldsUpNoOther) {
  Blocker first;
  Blocker second;
  Peer peer;
  InvalidationWorker::Options options = first.Options(10);
  options.max_threads = 3;
  options.expire_all = [a = options.expire_all,
                        b = second.Options(10).expire_all](Session& session) {
    a(session);
    b(session);
  };
  InvalidationWorker worker(options);
  first.Block(worker);
  second.Block(worker);
  worker.PostEntry(peer.session, 5, "a");
  EXPECT_EQ(Peer::Text(peer.kernel.Receive()), "entry 5 a");
  EXPECT_FALSE(worker.Sync(absl::ZeroDuration()));
  first.Proceed();
  second.Proceed();
  EXPECT_TRUE(worker.Sync(absl::InfiniteDuration()));
}

TEST(InvalidationTest, SessionsMayGo) {
  Blocker blocker;
  Peer gone;
  Peer ended;
  InvalidationWorker worker(blocker.Options(10));
  blocker.Block(worker);
  worker.PostEntry(gone.session, 5, "a");
  worker.PostEntry(ended.session, 5, "a");
  gone.session.reset();
  ended.kernel.Close();
  EXPECT_EQ(ended.session->Serve(ended.buffer), Session::Progress::kEnded);
  worker.PostEntry(gone.session, 5, "b");
  blocker.Proceed();
  EXPECT_TRUE(worker.Sync(absl::InfiniteDuration()));
}

TEST(InvalidationTest, DropsWhatIsQueuedAtItsEnd) {
  Peer peer;
  Blocker blocker;
  auto worker = std::make_unique<InvalidationWorker>(blocker.Options(10));
  blocker.Block(*worker);
  worker->PostEntry(peer.session, 5, "a");
  blocker.Proceed();
  worker.reset();
  // Sent or dropped, but nothing else.
  EXPECT_LE(peer.Arrived().size(), 1u);
}

TEST(InvalidationTest, TellsNothingOnceItHasStopped) {
  Peer peer;
  InvalidationWorker worker({});
  worker.PostEntry(peer.session, 5, "a");
  ASSERT_TRUE(worker.Sync(absl::InfiniteDuration()));
  worker.Stop();
  worker.PostEntry(peer.session, 5, "b");
  worker.Stop();
  EXPECT_THAT(peer.Arrived(), ElementsAre("entry 5 a"));
  EXPECT_EQ(worker.stats().queued, 0u);
}

}  // namespace
}  // namespace fused::kernel
