// Listings against a model of the kernel's page cache, over all interleavings
// of a few readers and over random ones of more: who opens after a change was
// acknowledged is told of nothing older, though the kernel were never told to
// drop a page.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fused/listings.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using kernel::DirectoryCache;

constexpr kernel::NodeId kDirectory = 7;

// What fs/fuse/readdir.c keeps of a directory: names as the number of the
// change that they were true at. One page holds them all.
struct Pages {
  bool complete = false;
  // Where the listing stands that is being filled.
  size_t position = 0;
  // Not there: it was dropped.
  bool there = false;
  std::vector<int> names;

  void Drop() { there = false; }
  void Reset() {
    complete = false;
    position = 0;
    names.clear();
  }
  void Enter(size_t at, int name) {
    if (complete || at != position) return;
    if (position == 0) {
      there = true;
      names.clear();
    }
    if (!there) return;
    names.push_back(name);
    ++position;
  }
  void End(size_t at) {
    if (at == position) complete = true;
  }
};

struct World {
  explicit World(bool naive) : naive(naive) {}

  // Every open may use what is kept, and what changes drops the pages at once.
  const bool naive;
  Listings listings;
  Pages pages;
  int truth = 0;
  int acknowledged = 0;
  std::string wrong;
};

// Something that happens step by step.
class Actor {
 public:
  virtual ~Actor() = default;
  virtual bool done() const = 0;
  virtual void Step() = 0;
};

// A thread that opens the directory, lists it, and closes it.
class Lister : public Actor {
 public:
  Lister(World& world, size_t names, int times)
      : world_(world), names_(names), times_(times) {}

  bool done() const override { return state_ == State::kDone; }

  void Step() override {
    switch (state_) {
      case State::kOpen:
        floor_ = world_.acknowledged;
        cache_ = world_.naive ? DirectoryCache::kKept
                              : world_.listings.Open(kDirectory, reader_);
        state_ = State::kOpened;
        return;
      case State::kOpened:
        if (cache_ == DirectoryCache::kEmptied) world_.pages.Drop();
        state_ = State::kRead;
        return;
      case State::kRead:
        return Read();
      case State::kAnswered:
        return Enter();
      case State::kClose:
        world_.listings.Close(kDirectory, reader_);
        reader_ = {};
        state_ = State::kDone;
        return;
      case State::kDone:
        return;
    }
  }

 private:
  enum class State { kOpen, kOpened, kRead, kAnswered, kClose, kDone };

  // getdents(2), up to the answer of a READDIR if there is need of one.
  void Read() {
    Pages& pages = world_.pages;
    if (cache_ != DirectoryCache::kNone && pages.complete) {
      if (pages.there) return ReadPages();
      pages.Reset();
    }
    world_.listings.Read(kDirectory, reader_);
    answer_ = world_.truth;
    state_ = State::kAnswered;
  }

  void ReadPages() {
    for (; at_ < world_.pages.names.size(); ++at_) {
      const int name = world_.pages.names[at_];
      // What is held open relies on invalidation.
      if (name < floor_ && first_ && world_.wrong.empty()) {
        world_.wrong = absl::StrCat("opened at ", floor_, ", told of ", name);
      }
    }
    Ended();
  }

  void Enter() {
    state_ = State::kRead;
    if (at_ == names_) {
      if (cache_ != DirectoryCache::kNone) world_.pages.End(at_);
      return Ended();
    }
    if (cache_ != DirectoryCache::kNone) world_.pages.Enter(at_, answer_);
    ++at_;
  }

  void Ended() {
    at_ = 0;
    first_ = false;
    state_ = --times_ > 0 ? State::kRead : State::kClose;
  }

  World& world_;
  const size_t names_;
  int times_;
  State state_ = State::kOpen;
  Listings::Reader reader_;
  DirectoryCache cache_ = DirectoryCache::kNone;
  int floor_ = 0;
  int answer_ = 0;
  size_t at_ = 0;
  bool first_ = true;
};

// A push, or another view's change.
class Changer : public Actor {
 public:
  explicit Changer(World& world) : world_(world) {}

  bool done() const override { return step_ == 3; }

  void Step() override {
    switch (step_++) {
      case 0:
        ++world_.truth;
        return;
      case 1:
        world_.listings.Take(kDirectory);
        if (world_.naive) world_.pages.Drop();
        return;
      default:
        world_.acknowledged = world_.truth;
    }
  }

 private:
  World& world_;
  int step_ = 0;
};

void Finish(Actor& actor) {
  while (!actor.done()) actor.Step();
}

// Chooses one of so many.
using Choose = std::function<size_t(size_t)>;

struct Case {
  bool naive = false;
  // It was listed before.
  bool filled = false;
  // How often the first lists it.
  int times = 1;
};

// Two who list and one who changes, and then who finds what they have left.
std::string RunTwo(const Case& of, const Choose& choose) {
  World world(of.naive);
  if (of.filled) {
    Lister before(world, 1, 1);
    Finish(before);
  }
  Lister first(world, 1, of.times);
  Lister second(world, 1, 1);
  Changer changer(world);
  Actor* const all[] = {&first, &second, &changer};
  while (true) {
    std::vector<Actor*> able;
    for (Actor* actor : all) {
      if (!actor->done()) able.push_back(actor);
    }
    if (able.empty()) break;
    able[able.size() == 1 ? 0 : choose(able.size())]->Step();
  }
  for (int i = 0; i < 2; ++i) {
    Lister after(world, 1, 1);
    Finish(after);
  }
  return world.wrong;
}

// Runs every sequence of choices; ends at the first that goes wrong.
std::string RunAll(const std::function<std::string(const Choose&)>& run,
                   uint64_t& runs) {
  std::vector<std::pair<size_t, size_t>> choices;  // chosen, of how many
  while (true) {
    size_t next = 0;
    std::string wrong = run([&](size_t of) {
      if (next == choices.size()) choices.emplace_back(0, of);
      return choices[next++].first;
    });
    ++runs;
    if (!wrong.empty()) return wrong;
    while (!choices.empty() &&
           choices.back().first + 1 == choices.back().second) {
      choices.pop_back();
    }
    if (choices.empty()) return "";
    ++choices.back().first;
  }
}

uint64_t RunAll(const Case& of, std::string& wrong) {
  uint64_t runs = 0;
  wrong =
      RunAll([&](const Choose& choose) { return RunTwo(of, choose); }, runs);
  return runs;
}

TEST(ListingsPropertyTest, NobodyIsToldOfWhatWasBefore) {
  std::string wrong;
  for (const Case& of :
       {Case{}, Case{.filled = true}, Case{.filled = true, .times = 2}}) {
    EXPECT_GT(RunAll(of, wrong), 10'000u);
    EXPECT_EQ(wrong, "");
  }
}

// The model tells what is wrong with dropping pages alone.
TEST(ListingsPropertyTest, DroppingThePagesIsNotEnough) {
  std::string wrong;
  RunAll({.naive = true}, wrong);
  EXPECT_NE(wrong, "");
}

// More readers, more names, changes again and again.
std::string RunMany(bool naive, std::mt19937& random) {
  World world(naive);
  constexpr size_t kListers = 4;
  std::vector<std::unique_ptr<Actor>> actors(kListers + 1);
  for (int step = 0; step < 400 && world.wrong.empty(); ++step) {
    const size_t which = random() % actors.size();
    std::unique_ptr<Actor>& actor = actors[which];
    if (actor == nullptr || actor->done()) {
      if (which == kListers) {
        actor = std::make_unique<Changer>(world);
      } else {
        actor = std::make_unique<Lister>(world, 3, 1 + random() % 2);
      }
    }
    // Some run for a while, as threads do.
    for (size_t i = random() % 8; i > 0 && !actor->done(); --i) actor->Step();
  }
  return world.wrong;
}

TEST(ListingsPropertyTest, NorAmongMany) {
  std::mt19937 random(1);
  for (int run = 0; run < 20'000; ++run) {
    ASSERT_EQ(RunMany(/*naive=*/false, random), "") << run;
  }
  bool found = false;
  for (int run = 0; run < 20'000 && !found; ++run) {
    found = !RunMany(/*naive=*/true, random).empty();
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace fused
