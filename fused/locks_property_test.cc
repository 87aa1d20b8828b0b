// Compares the lock table with a model that keeps a word for each byte and
// owner.

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <list>
#include <random>
#include <vector>

#include "fused/locks.h"
#include "gtest/gtest.h"
#include "kernel/status.h"

namespace fused {
namespace {

using Owner = LockTable::Owner;
using kernel::LockRange;

constexpr int kBytes = 24;  // the last one stands for all that follow
constexpr int kOwners = 4;

// The types of the locks on each byte, by owner. What waits is not its affair:
// grants are put in by Apply().
struct Model {
  Model() {
    for (auto& owner : held) owner.fill(F_UNLCK);
  }

  bool Conflicts(int owner, int type, int first, int last) const {
    for (int other = 0; other < kOwners; ++other) {
      if (other == owner) continue;
      for (int byte = first; byte <= last; ++byte) {
        const int there = held[other][byte];
        if (there == F_UNLCK || type == F_UNLCK) continue;
        if (there == F_WRLCK || type == F_WRLCK) return true;
      }
    }
    return false;
  }

  void Apply(int owner, int type, int first, int last) {
    for (int byte = first; byte <= last; ++byte) held[owner][byte] = type;
  }

  std::array<std::array<int, kBytes>, kOwners> held;
};

struct Request {
  int owner = 0;
  int type = 0;
  int first = 0;
  int last = 0;
  uint64_t ticket = 0;
  int error = -1;
};

class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {}

  void Step() {
    switch (Draw(10)) {
      case 0:
        Release(Draw(kOwners));
        break;
      case 1:
        CancelOne();
        break;
      default:
        Set();
    }
    Check();
  }

  // Everything is given back, and every wait ends.
  void Finish() {
    // What is granted on the way is given back too.
    for (int round = 0; round < 100 && !table_.empty(); ++round) {
      for (int owner = 0; owner < kOwners; ++owner) Release(owner);
    }
    EXPECT_TRUE(waiting_.empty());
    EXPECT_TRUE(table_.empty());
  }

 private:
  int Draw(int below) {
    return std::uniform_int_distribution<int>(0, below - 1)(random_);
  }

  static Owner OwnerOf(int owner) {
    return {static_cast<uint64_t>(owner % 2), static_cast<uint64_t>(owner)};
  }

  static LockRange RangeOf(const Request& request) {
    LockRange range;
    range.type = request.type;
    range.start = request.first;
    range.length =
        request.last == kBytes - 1 ? 0 : request.last - request.first + 1;
    range.pid = request.owner + 1000;
    return range;
  }

  Request DrawRequest() {
    constexpr std::array<int, 3> kTypes = {F_RDLCK, F_WRLCK, F_UNLCK};
    Request request;
    request.owner = Draw(kOwners);
    request.type = kTypes[Draw(3)];
    request.first = Draw(kBytes);
    request.last = request.first + Draw(kBytes - request.first);
    return request;
  }

  void Set() {
    const bool wait = Draw(2) == 0;
    waiting_.push_back(DrawRequest());
    Request& request = waiting_.back();
    const bool conflicts = model_.Conflicts(request.owner, request.type,
                                            request.first, request.last);
    request.ticket = table_.Set(OwnerOf(request.owner), RangeOf(request), wait,
                                [this, &request](const absl::Status& status) {
                                  request.error = kernel::ErrnoOf(status);
                                  Answered(request);
                                });
    if (!conflicts) {
      EXPECT_EQ(0, request.error);
    } else if (!wait) {
      EXPECT_EQ(EAGAIN, request.error);
    } else if (request.error != EDEADLK) {
      EXPECT_EQ(-1, request.error);
      EXPECT_NE(0u, request.ticket);
    } else {
      EXPECT_TRUE(Circle(request));
    }
    EXPECT_FALSE(request.error == -1 && Circle(request));
    Sweep();
  }

  // Whether `request`, waiting, would wait for its own owner.
  bool Circle(const Request& request) const {
    std::array<bool, kOwners> reached = {};
    auto follow = [&](const Request& from) {
      bool more = false;
      for (int other = 0; other < kOwners; ++other) {
        if (other == from.owner || reached[other]) continue;
        Model only;
        only.held[other] = model_.held[other];
        if (only.Conflicts(from.owner, from.type, from.first, from.last)) {
          reached[other] = more = true;
        }
      }
      return more;
    };
    follow(request);
    for (bool more = true; more;) {
      more = false;
      for (const Request& other : waiting_) {
        if (&other != &request && other.error == -1 && reached[other.owner]) {
          // An owner waits for itself only through others.
          Request from = other;
          more |= follow(from);
          for (int owner = 0; owner < kOwners; ++owner) {
            Model only;
            only.held[owner] = model_.held[owner];
            if (owner == request.owner && owner != other.owner &&
                only.Conflicts(other.owner, other.type, other.first,
                               other.last)) {
              return true;
            }
          }
        }
      }
    }
    return false;
  }

  // A grant must have been possible in the order in which grants are told.
  void Answered(const Request& request) {
    if (request.error != 0) return;
    EXPECT_FALSE(model_.Conflicts(request.owner, request.type, request.first,
                                  request.last));
    model_.Apply(request.owner, request.type, request.first, request.last);
  }

  void Release(int owner) {
    model_.Apply(owner, F_UNLCK, 0, kBytes - 1);
    table_.ReleasePosix(OwnerOf(owner));
    Sweep();
  }

  void CancelOne() {
    if (waiting_.empty()) return;
    auto one = waiting_.begin();
    std::advance(one, Draw(static_cast<int>(waiting_.size())));
    table_.Cancel(one->ticket);
    EXPECT_EQ(EINTR, one->error);
    Sweep();
  }

  void Sweep() {
    waiting_.remove_if([](const Request& one) { return one.error != -1; });
  }

  // Nobody waits without need, and GETLK says what the model says.
  void Check() {
    for (const Request& one : waiting_) {
      EXPECT_TRUE(model_.Conflicts(one.owner, one.type, one.first, one.last));
    }
    const Request probe = DrawRequest();
    if (probe.type == F_UNLCK) return;
    const LockRange seen = table_.Test(OwnerOf(probe.owner), RangeOf(probe));
    EXPECT_EQ(
        model_.Conflicts(probe.owner, probe.type, probe.first, probe.last),
        seen.type != F_UNLCK);
    if (seen.type == F_UNLCK) return;
    const int holder = seen.pid - 1000;
    const int start = static_cast<int>(seen.start);
    const int last = seen.length == 0
                         ? kBytes - 1
                         : start + static_cast<int>(seen.length) - 1;
    EXPECT_NE(probe.owner, holder);
    EXPECT_LE(start, probe.last);
    EXPECT_GE(last, probe.first);
    for (int byte = start; byte <= last; ++byte) {
      EXPECT_EQ(seen.type, model_.held[holder][byte]);
    }
    // As long as can be.
    EXPECT_FALSE(start > 0 && model_.held[holder][start - 1] == seen.type);
    EXPECT_FALSE(last < kBytes - 1 &&
                 model_.held[holder][last + 1] == seen.type);
  }

  std::mt19937 random_;
  LockTable table_;
  Model model_;
  std::list<Request> waiting_;
};

TEST(LocksPropertyTest, AgreesWithTheModel) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (int step = 0; step < 400; ++step) {
      world.Step();
      if (HasFailure()) return;
    }
    world.Finish();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace fused
