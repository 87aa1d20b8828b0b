// A lower file system to which spellings of a name are one name, as vfat's are:
// without regard to case (all of Unicode's), to code points that show nothing,
// and to width; and by a short name beside. It keeps the spelling that a name
// was made with, has no extended attributes, and lives in memory.
#ifndef FUSED_ANDROIDTEST_HARNESS_FOLDING_LOWER_H_
#define FUSED_ANDROIDTEST_HARNESS_FOLDING_LOWER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "androidtest/harness/lower_session.h"

namespace fused::androidtest {

// What all spellings of a name have in common.
std::string FoldName(std::string_view name);
// The short name, as RECORD~1.JPG; empty: the name is short itself.
std::string ShortName(std::string_view name);

class FoldingLower {
 public:
  // Mounted at `mountpoint`, until it is destroyed.
  explicit FoldingLower(const std::string& mountpoint);
  ~FoldingLower();
  FoldingLower(const FoldingLower&) = delete;
  FoldingLower& operator=(const FoldingLower&) = delete;

  bool mounted() const { return session_->mounted(); }

 private:
  friend struct FoldingLowerOperations;
  // Touched by the loop's thread alone.
  struct Tree;

  std::unique_ptr<Tree> tree_;
  // Ends before the tree does.
  std::optional<LowerSession> session_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_FOLDING_LOWER_H_
