// What a view's kernel was told that names are.
#include "fused/told_names.h"

#include <sys/stat.h>

#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "fused/node.h"
#include "fused/testing/lower_fixture.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

class ToldNamesTest : public LowerNodeTest {
 protected:
  Ref<Node> Make(kernel::NodeId id) {
    return Node::Make(id, Synthetic(id, S_IFREG), NodeKey(), std::nullopt);
  }
  static ToldNames::Key Key(const char* name) {
    return ToldNames::KeyOf(1, name);
  }
};

TEST_F(ToldNamesTest, TheLastWordCounts) {
  ToldNames told;
  const Ref<Node> a = Make(2), b = Make(3);
  EXPECT_EQ(told.Find(Key("n")), std::nullopt);
  told.Set(Key("n"), a);
  told.Set(Key("n"), a);
  EXPECT_EQ(told.Find(Key("n")), 2u);
  told.Set(Key("n"), b);
  EXPECT_EQ(told.Find(Key("n")), 3u);
  // What is under it now is not the other's to take.
  told.EraseNode(*a);
  EXPECT_EQ(told.Find(Key("n")), 3u);
  told.EraseNode(*b);
  EXPECT_EQ(told.Find(Key("n")), std::nullopt);
  told.Set(Key("n"), a);
  told.Erase(Key("n"));
  EXPECT_EQ(told.Find(Key("n")), std::nullopt);
}

TEST_F(ToldNamesTest, ANodeMayHaveSeveralNames) {
  ToldNames told;
  const Ref<Node> a = Make(2), b = Make(3);
  for (const char* const name : {"n", "m", "o"}) told.Set(Key(name), a);
  for (const char* const name : {"n", "m", "o"}) {
    EXPECT_EQ(told.Find(Key(name)), 2u) << name;
  }
  told.Set(Key("m"), b);
  EXPECT_EQ(told.Find(Key("m")), 3u);
  told.Erase(Key("n"));
  EXPECT_EQ(told.Find(Key("n")), std::nullopt);
  EXPECT_EQ(told.Find(Key("o")), 2u);
  // It has room for a name again.
  told.Set(Key("o"), a);
  EXPECT_EQ(told.Find(Key("o")), 2u);
  told.Erase(Key("o"));
  EXPECT_EQ(told.Find(Key("o")), std::nullopt);
}

TEST_F(ToldNamesTest, LetsGoOfNodes) {
  const Ref<Node> a = Make(2), b = Make(3);
  {
    ToldNames told;
    told.Set(Key("n"), a);
    told.Set(Key("m"), b);
    EXPECT_EQ(a.use_count(), 2u);
    told.Erase(Key("m"));
    EXPECT_EQ(b.use_count(), 1u);
    told.Clear();
    EXPECT_EQ(a.use_count(), 1u);
    EXPECT_EQ(told.Find(Key("n")), std::nullopt);
    told.Set(Key("m"), a);
  }
  EXPECT_EQ(a.use_count(), 1u);
}

TEST_F(ToldNamesTest, StaysWholeWhereAllIsToldAtOnce) {
  ToldNames told;
  std::vector<Ref<Node>> nodes;
  for (kernel::NodeId id = 2; id < 6; ++id) nodes.push_back(Make(id));
  const ToldNames::Key keys[] = {Key("n"), Key("m"), Key("o")};
  std::vector<std::thread> threads;
  for (size_t start = 0; start < 4; ++start) {
    threads.emplace_back([&, start] {
      for (size_t i = start; i < 20'000 + start; ++i) {
        told.Set(keys[i % 3], nodes[i % 4]);
        told.Find(keys[(i + 1) % 3]);
        if (i % 5 == 0) told.EraseNode(*nodes[(i + 2) % 4]);
        if (i % 7 == 0) told.Erase(keys[(i + 2) % 3]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const ToldNames::Key key : keys) told.Erase(key);
  for (const Ref<Node>& node : nodes) {
    EXPECT_EQ(node->told.load(), 0u);
    EXPECT_EQ(node.use_count(), 1u);
  }
}

}  // namespace
}  // namespace fused
