// Path classes, compiled to a deterministic automaton over components.
#ifndef FUSED_POLICY_PATH_CLASSES_H_
#define FUSED_POLICY_PATH_CLASSES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

inline constexpr size_t kMaxPathClasses = 255;
inline constexpr size_t kMaxPatterns = 4096;
// Of the automaton; patterns with several `**` multiply.
inline constexpr size_t kMaxStates = 1 << 14;
inline constexpr size_t kMaxEdges = 1 << 17;

// Immutable.
class PathClasses {
 public:
  // Checks names and patterns too. Nothing where it adds an error.
  static std::optional<PathClasses> Compile(const v1::Policy& policy,
                                            const SourceMap& source,
                                            Issues& issues);

  // A place in the automaton. What is below it has the state that Next() gives.
  struct State {
    uint32_t otherwise = 0;  // the state of a component without an edge
    uint32_t first_edge = 0;
    uint32_t edges = 0;
    ClassId path_class = kOtherClass;
    // Where Location::capture has the class's {package}; -1 where nowhere.
    int8_t owner_slot = -1;
    // Where the next component goes as a package; -1 where nowhere.
    int8_t capture_slot = -1;

    // Whether the next component's name matters at all.
    bool reads_name() const { return edges != 0 || capture_slot >= 0; }
  };

  static constexpr uint32_t kRoot = 0;

  const State& state(uint32_t index) const { return states_[index]; }
  // `folded` is the component as Fold() makes it.
  uint32_t Next(const State& state, std::string_view folded) const;

  size_t states() const { return states_.size(); }
  size_t size() const { return names_.size(); }
  // "other" for kOtherClass.
  std::string_view NameOf(ClassId path_class) const;
  bool demands_fat(ClassId path_class) const {
    return path_class < fat_.size() && fat_[path_class];
  }
  // The literals that are told apart from other names in that state, folded.
  std::vector<std::string_view> NamesBelow(const State& state) const;
  // Whether a `.nomedia` of this class hides its directory.
  bool nomedia_hides(ClassId path_class) const {
    return path_class >= nomedia_ignored_.size() ||
           !nomedia_ignored_[path_class];
  }
  // Whether some path is in this class.
  bool reachable(ClassId path_class) const;
  // Whether some path in it has a {package}.
  bool has_owner(ClassId path_class) const;

 private:
  friend class AutomatonBuilder;

  struct Edge {
    uint32_t literal;
    uint32_t next;
  };

  std::vector<State> states_;
  std::vector<Edge> edges_;  // by literal within a state
  StringTable literals_;
  std::vector<std::string> literal_texts_;
  std::vector<std::string> names_;
  std::vector<bool> fat_;
  std::vector<bool> nomedia_ignored_;
  std::vector<bool> reachable_;  // and of `other`, the last
  std::vector<bool> has_owner_;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_PATH_CLASSES_H_
