// The kinds of object that a diff compares.
#ifndef FUSED_POLICY_DIFF_OBJECTS_H_
#define FUSED_POLICY_DIFF_OBJECTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy {

// All combinations of what can be known of an object, numbered. A set of them
// is a bit for each.
class DiffObjects {
 public:
  using Set = std::vector<bool>;

  DiffObjects(const Snapshot& before, const Snapshot& after);

  size_t size() const { return size_; }

  struct Kind {
    // As DiffPlace::owned.
    int owned = 0;
    bool owns_file = false;
    uint32_t facts_before = 0;
    uint32_t facts_after = 0;
    // A name that FAT cannot hold.
    bool foul = false;
  };
  Kind At(size_t index) const;
  // The kind whose decisions this one shares: it differs in what no rule asks
  // for, or in what is not there: paths that a caller owns (`owned`, as
  // DiffPlace has it), files of one who makes none.
  size_t Like(size_t index, const bool (&owned)[4], bool owns_files) const;

  // `set` as few conjunctions of words, each as Difference::objects.
  std::vector<std::vector<std::string>> Describe(const Set& set) const;

 private:
  // Owned, owns the file, pending or trashed, hidden, granted, type.
  static constexpr size_t kDimensions = 6;
  using Point = std::array<size_t, kDimensions>;
  struct Dimension {
    // The first is what has none of the others' marks.
    std::vector<std::string> values;
    // Whether a rule of either policy looks.
    bool asked = true;
  };
  struct Type {
    uint32_t before = 0;
    uint32_t after = 0;
    bool foul = false;
  };

  void AddTypes(const Snapshot& before, const Snapshot& after,
                uint32_t asked_before, uint32_t asked_after);
  Point PointOf(size_t index) const;
  size_t IndexOf(const Point& point) const;
  using Box = std::array<std::vector<size_t>, kDimensions>;
  Box Grow(const Set& set, size_t from) const;
  template <typename Function>
  void ForEach(const Box& box, Function function) const;

  std::array<Dimension, kDimensions> dimensions_;
  std::vector<Type> types_;
  size_t size_ = 0;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_DIFF_OBJECTS_H_
