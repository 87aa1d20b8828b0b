// Random lives of a tree: makes, moves, removals and kills at any moment.
// What was acknowledged is there in the next life, and nobody inherits.
#include <fcntl.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fused/media/index.h"
#include "fused/media/testing/fake_storage.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/testing/scratch.h"

namespace fused::media {
namespace {

constexpr KeyKind kKind = KeyKind::kPath;

struct File {
  std::string owner;
  int64_t birth = 0;
};
using Files = std::map<std::string, File>;

class Life {
 public:
  Life(FakeDisk* disk, int root)
      : index_(
            std::make_unique<Interner>(), std::make_unique<FakeStorage>(disk),
            {.gather = absl::ZeroDuration(), .retry = absl::Milliseconds(1)}) {
    index_.Start([] {});
    tree_ = index_.Attach({.name = {"card", 0}, .root = root, .kind = kKind});
  }
  ~Life() { index_.Detach(tree_.get()); }

  Tree& tree() { return *tree_; }

 private:
  Index index_;
  std::unique_ptr<Tree> tree_;
};

class PropertyTest : public testing::TestWithParam<int> {
 protected:
  static FileKey KeyOf(const std::string& path, const File& file) {
    return PathKey(kKind, path, file.birth);
  }

  int Random(int below) {
    return std::uniform_int_distribution<int>(0, below - 1)(random_);
  }
  std::string RandomDirectory() { return absl::StrCat("d", Random(3)); }
  std::string RandomPath() {
    return absl::StrCat(RandomDirectory(), "/f", Random(6));
  }

  Tree::End EndOf(const std::string& path) const {
    Tree::End end{.path = path};
    const auto found = files_.find(path);
    if (found != files_.end()) end.file = KeyOf(path, found->second);
    end.directory = !absl::StrContains(path, '/');
    return end;
  }

  void Create(Tree& tree, const std::string& path) {
    if (files_.contains(path)) return;
    // Two lives of a path may fall into one tick of a coarse clock, but not in
    // one run of the daemon; here none do.
    const File file{absl::StrCat("app", Random(3)), ++clock_};
    const uint64_t ticket =
        tree.SetOwner(KeyOf(path, file), path, {file.owner, 1});
    if (tree.Wait(ticket).ok()) {
      files_[path] = file;
    } else {
      tree.Drop(KeyOf(path, file));
    }
  }

  void Unlink(Tree& tree, const std::string& path) {
    const auto found = files_.find(path);
    if (found == files_.end()) return;
    tree.Drop(KeyOf(path, found->second));
    files_.erase(found);
  }

  // As the lower tree moves it.
  void MoveFiles(const std::string& from, const std::string& to) {
    Files moved;
    for (auto it = files_.begin(); it != files_.end();) {
      if (it->first == from || absl::StartsWith(it->first, from + "/")) {
        moved[to + it->first.substr(from.size())] = it->second;
        it = files_.erase(it);
      } else {
        ++it;
      }
    }
    for (auto& [path, file] : moved) files_[path] = file;
  }

  // True: the daemon was killed between the steps of the move.
  bool Rename(Tree& tree, const std::string& from, const std::string& to) {
    const Tree::End end = EndOf(to);
    const std::vector<Tree::Moved> plan =
        tree.PlanMove(EndOf(from), end, false);
    if (!tree.StageMove(plan).ok()) {
      tree.CancelMove(plan);
      return false;
    }
    if (Random(10) == 0) {
      tree.CancelMove(plan);
      return false;
    }
    if (!files_.contains(from) && end.file.has_value()) return false;
    const bool killed_before = Random(20) == 0;
    if (killed_before) return true;
    MoveFiles(from, to);
    if (Random(20) == 0) return true;
    tree.FinishMove(plan, end, false, true);
    return false;
  }

  bool Step(Tree& tree) {
    switch (Random(8)) {
      case 0:
      case 1:
      case 2:
        Create(tree, RandomPath());
        return false;
      case 3:
        Unlink(tree, RandomPath());
        return false;
      case 4:
      case 5: {
        const std::string from = RandomPath();
        const std::string to = RandomPath();
        if (from == to || !files_.contains(from)) return false;
        return Rename(tree, from, to);
      }
      case 6: {
        // Onto a directory that is empty.
        const std::string to = RandomDirectory();
        const std::string from = RandomDirectory();
        for (const auto& [path, file] : files_) {
          if (absl::StartsWith(path, to + "/")) return false;
        }
        return from != to && Rename(tree, from, to);
      }
      default:
        disk_.FailWith(Random(2) == 0 ? absl::OkStatus()
                                      : absl::ResourceExhaustedError("full"));
        return false;
    }
  }

  void Check(Tree& tree) {
    for (const auto& [path, file] : files_) {
      const std::optional<Owner> owner = tree.OwnerOf(KeyOf(path, file));
      ASSERT_TRUE(owner.has_value()) << path << " seed " << GetParam();
      EXPECT_EQ(owner->package, file.owner) << path;
    }
    // A new file in an old one's place is nobody's.
    for (int d = 0; d < 3; ++d) {
      for (int f = 0; f < 6; ++f) {
        const std::string path = absl::StrCat("d", d, "/f", f);
        EXPECT_EQ(tree.OwnerOf(PathKey(kKind, path, clock_ + 1)), std::nullopt);
      }
    }
  }

  std::mt19937 random_{static_cast<unsigned>(GetParam())};
  FakeDisk disk_;
  Files files_;
  int64_t clock_ = 0;
};

TEST_P(PropertyTest, NothingAcknowledgedIsLost) {
  const kernel::ScratchDirectory scratch;
  const kernel::Fd root(open(scratch.path().c_str(), O_PATH | O_DIRECTORY));
  for (int life = 0; life < 12; ++life) {
    {
      Life now(&disk_, root.get());
      Check(now.tree());
      const int steps = Random(60);
      bool killed = false;
      for (int i = 0; i < steps && !killed; ++i) killed = Step(now.tree());
      if (!killed) Check(now.tree());
      // Most lives end with a kill: nothing is written any more.
      if (killed || Random(4) != 0) {
        disk_.FailWith(absl::UnavailableError("killed"));
      } else {
        disk_.FailWith(absl::OkStatus());
      }
    }
    disk_.FailWith(absl::OkStatus());
  }
}

INSTANTIATE_TEST_SUITE_P(, PropertyTest, testing::Range(0, 200));

}  // namespace
}  // namespace fused::media
