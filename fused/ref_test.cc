// Objects that are counted within themselves.
#include "fused/ref.h"

#include <atomic>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

struct Counted : RefCounted {
  explicit Counted(int* alive) : alive(alive) { ++*alive; }
  ~Counted() { --*alive; }
  int* const alive;
};

struct Derived : Counted {
  using Counted::Counted;
};

TEST(RefTest, TheLastUseDeletes) {
  int alive = 0;
  Ref<Counted> one = MakeRef<Counted>(&alive);
  Ref<Counted> two = one;
  EXPECT_EQ(one, two);
  EXPECT_EQ(one.use_count(), 2u);
  one = nullptr;
  EXPECT_EQ(alive, 1);
  // NOLINTBEGIN(bugprone-use-after-move): what is left of it is tested
  two = std::move(two);
  const Ref<Counted> three = std::move(two);
  EXPECT_EQ(two, nullptr);
  // NOLINTEND(bugprone-use-after-move)
  EXPECT_EQ(three.use_count(), 1u);
  EXPECT_EQ(alive, 1);
}

TEST(RefTest, OneAssignedOverIsLetGo) {
  int alive = 0;
  {
    Ref<Counted> ref = MakeRef<Counted>(&alive);
    ref = MakeRef<Counted>(&alive);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(RefTest, BecomesOneOfTheBaseAndOfConst) {
  int alive = 0;
  const Ref<Derived> derived = MakeRef<Derived>(&alive);
  const Ref<const Counted> base = derived;
  EXPECT_EQ(derived.use_count(), 2u);
  EXPECT_EQ(base.get(), derived.get());
  static_assert(!std::is_convertible_v<Ref<const Counted>, Ref<Counted>>);
}

TEST(RefTest, ACopyOfAnObjectIsUsedByNobody) {
  int alive = 0;
  const Ref<Counted> one = MakeRef<Counted>(&alive);
  const Counted copy(*one);
  EXPECT_EQ(Ref<const Counted>::IfUsed(&copy), nullptr);
  ++alive;  // The copy's, which did not count itself.
}

// A table of plain pointers, from which each object takes itself out.
class Table {
 public:
  struct Entry : RefCounted {
    explicit Entry(Table* table) : table(table) {}
    ~Entry() { table->Remove(this); }
    Table* const table;
    std::atomic<int> used{0};
  };

  Ref<Entry> Get() {
    absl::MutexLock lock(&mutex_);
    Ref<Entry> known = entry_ == nullptr ? nullptr : Ref<Entry>::IfUsed(entry_);
    if (known != nullptr) return known;
    Ref<Entry> made = MakeRef<Entry>(this);
    entry_ = made.get();
    ++made_;
    return made;
  }
  void Remove(Entry* entry) {
    absl::MutexLock lock(&mutex_);
    if (entry_ == entry) entry_ = nullptr;
  }
  int made() const { return made_; }

 private:
  absl::Mutex mutex_;
  Entry* entry_ = nullptr;
  int made_ = 0;
};

TEST(RefTest, OneWhoseLastUseIsOverIsNotHadAgain) {
  Table table;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&table] {
      for (int round = 0; round < 20'000; ++round) {
        const Ref<Table::Entry> entry = table.Get();
        entry->used.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(table.made(), 1);
}

}  // namespace
}  // namespace fused
