#include "policy/path_classes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/pattern.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using Kind = PatternPart::Kind;

struct Pattern {
  ClassId path_class;
  int8_t slot;  // of its {package}
  std::vector<PatternPart> parts;
  uint32_t first_position;
};

// How much work a policy may ask for, in positions visited.
constexpr size_t kMaxWork = 4'000'000;

}  // namespace

// The subset construction. A position is (pattern, number of parts matched); a
// state is the sorted set of positions that a path may have come to.
class AutomatonBuilder {
 public:
  explicit AutomatonBuilder(PathClasses& out) : out_(out) {}

  void Add(ClassId path_class, int8_t slot, std::vector<PatternPart> parts) {
    const auto pattern = static_cast<uint32_t>(patterns_.size());
    const auto first = static_cast<uint32_t>(pattern_of_.size());
    pattern_of_.insert(pattern_of_.end(), parts.size() + 1, pattern);
    for (const PatternPart& part : parts) {
      if (part.kind == Kind::kLiteral) {
        literals_.try_emplace(part.literal, literals_.size());
      }
    }
    patterns_.push_back({path_class, slot, std::move(parts), first});
  }

  // Whether it stayed within its bounds.
  bool Build() {
    Positions start;
    for (const Pattern& pattern : patterns_) {
      start.push_back(pattern.first_position);
    }
    StateOf(std::move(start));
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (!Expand(i)) return false;
    }
    FindReachable();
    std::vector<std::pair<std::string, uint32_t>> literals(literals_.begin(),
                                                           literals_.end());
    out_.literals_ = StringTable(literals);
    out_.literal_texts_.resize(literals.size());
    for (const auto& [text, number] : literals) {
      out_.literal_texts_[number] = text;
    }
    return true;
  }

 private:
  using Positions = std::vector<uint32_t>;

  // The part that a position waits for; null at the pattern's end.
  const PatternPart* PartAt(uint32_t position) const {
    const Pattern& pattern = patterns_[pattern_of_[position]];
    const uint32_t index = position - pattern.first_position;
    return index < pattern.parts.size() ? &pattern.parts[index] : nullptr;
  }

  // Adds what `**` may skip, sorts, and drops what can no longer matter: once a
  // pattern's last `**` is reached the path and all below is in its class,
  // whatever later patterns say.
  void Close(Positions& positions) {
    for (size_t i = 0; i < positions.size(); ++i) {
      const PatternPart* part = PartAt(positions[i]);
      if (part != nullptr && part->kind == Kind::kAny) {
        positions.push_back(positions[i] + 1);
      }
    }
    std::sort(positions.begin(), positions.end());
    positions.erase(std::unique(positions.begin(), positions.end()),
                    positions.end());
    work_ += positions.size();
    for (const uint32_t position : positions) {
      const PatternPart* part = PartAt(position);
      const Pattern& pattern = patterns_[pattern_of_[position]];
      if (part != nullptr && part->kind == Kind::kAny &&
          position - pattern.first_position + 1 == pattern.parts.size()) {
        const auto end = pattern.first_position +
                         static_cast<uint32_t>(pattern.parts.size()) + 1;
        positions.erase(
            std::lower_bound(positions.begin(), positions.end(), end),
            positions.end());
        return;
      }
    }
  }

  uint32_t StateOf(Positions positions) {
    Close(positions);
    const auto [found, made] = state_of_.try_emplace(
        std::move(positions), static_cast<uint32_t>(sets_.size()));
    if (made) {
      sets_.push_back(found->first);
      out_.states_.push_back(Describe(found->first));
    }
    return found->second;
  }

  PathClasses::State Describe(const Positions& positions) const {
    PathClasses::State state;
    for (const uint32_t position : positions) {
      const Pattern& pattern = patterns_[pattern_of_[position]];
      const PatternPart* part = PartAt(position);
      if (part == nullptr) {
        // Positions are in the policy's order, so the first one wins.
        if (state.path_class != kOtherClass) continue;
        state.path_class = pattern.path_class;
        state.owner_slot = pattern.slot;
      } else if (part->kind == Kind::kPackage) {
        state.capture_slot = pattern.slot;
      }
    }
    return state;
  }

  // The positions that a component leads to, and the literals that lead to
  // more.
  bool Expand(size_t index) {
    Positions otherwise;
    std::map<uint32_t, Positions> by_literal;
    const Positions positions = sets_[index];
    work_ += positions.size();
    for (const uint32_t position : positions) {
      const PatternPart* part = PartAt(position);
      if (part == nullptr) continue;
      switch (part->kind) {
        case Kind::kLiteral:
          by_literal[literals_.at(part->literal)].push_back(position + 1);
          break;
        case Kind::kOne:
        case Kind::kPackage:
          otherwise.push_back(position + 1);
          break;
        case Kind::kAny:
          otherwise.push_back(position);
          break;
      }
    }
    const uint32_t next = StateOf(otherwise);
    out_.states_[index].otherwise = next;
    out_.states_[index].first_edge = static_cast<uint32_t>(out_.edges_.size());
    for (auto& [literal, more] : by_literal) {
      more.insert(more.end(), otherwise.begin(), otherwise.end());
      out_.edges_.push_back({literal, StateOf(std::move(more))});
      if (TooMuch()) return false;
    }
    out_.states_[index].edges = static_cast<uint32_t>(by_literal.size());
    return !TooMuch();
  }

  bool TooMuch() const {
    return sets_.size() > kMaxStates || out_.edges_.size() > kMaxEdges ||
           work_ > kMaxWork;
  }

  // Every state was come to by some path, so a class is empty exactly where no
  // state has it.
  void FindReachable() {
    out_.reachable_.assign(out_.size() + 1, false);
    out_.has_owner_.assign(out_.size() + 1, false);
    for (const PathClasses::State& state : out_.states_) {
      const size_t at = std::min<size_t>(state.path_class, out_.size());
      out_.reachable_[at] = true;
      if (state.owner_slot >= 0) out_.has_owner_[at] = true;
    }
  }

  PathClasses& out_;
  std::vector<Pattern> patterns_;
  std::vector<uint32_t> pattern_of_;  // by position
  absl::flat_hash_map<std::string, uint32_t> literals_;
  absl::flat_hash_map<Positions, uint32_t> state_of_;
  std::vector<Positions> sets_;  // by state
  size_t work_ = 0;
};

namespace {

// Gives each depth at which {package} stands its slot.
class Slots {
 public:
  // -1 for no {package}; nothing where there are too many depths.
  std::optional<int8_t> SlotOf(const std::vector<PatternPart>& parts) {
    const auto package = std::find_if(
        parts.begin(), parts.end(),
        [](const PatternPart& part) { return part.kind == Kind::kPackage; });
    if (package == parts.end()) return static_cast<int8_t>(-1);
    const ptrdiff_t depth = package - parts.begin();
    auto slot = std::find(depths_.begin(), depths_.end(), depth);
    if (slot == depths_.end()) {
      if (depths_.size() == Location::kCaptures) return std::nullopt;
      slot = depths_.insert(depths_.end(), depth);
    }
    return static_cast<int8_t>(slot - depths_.begin());
  }

 private:
  std::vector<ptrdiff_t> depths_;
};

void AddPatterns(const v1::Policy& policy, const SourceMap& source,
                 AutomatonBuilder& builder, Issues& issues) {
  Slots slots;
  size_t count = 0;
  for (int i = 0; i < policy.path_classes_size(); ++i) {
    const v1::PathClass& path_class = policy.path_classes(i);
    for (int j = 0; j < path_class.patterns_size(); ++j) {
      const std::string field =
          absl::StrCat("path_classes[", i, "].patterns[", j, "]");
      if (++count > kMaxPatterns) {
        issues.push_back(source.At(
            field, absl::StrCat("more than ", kMaxPatterns, " patterns")));
        return;
      }
      absl::StatusOr<std::vector<PatternPart>> parts =
          ParsePattern(path_class.patterns(j));
      if (!parts.ok()) {
        issues.push_back(
            source.At(field, std::string(parts.status().message())));
        continue;
      }
      const std::optional<int8_t> slot = slots.SlotOf(*parts);
      if (!slot) {
        issues.push_back(source.At(
            field, absl::StrCat("{package} stands at more than ",
                                Location::kCaptures, " different depths")));
        continue;
      }
      builder.Add(static_cast<ClassId>(i), *slot, *std::move(parts));
    }
  }
}

void CheckClasses(const v1::Policy& policy, const SourceMap& source,
                  Issues& issues) {
  absl::flat_hash_set<std::string_view> seen;
  for (int i = 0; i < policy.path_classes_size(); ++i) {
    const v1::PathClass& path_class = policy.path_classes(i);
    const std::string field = absl::StrCat("path_classes[", i, "].name");
    if (path_class.name().empty()) {
      issues.push_back(source.At(field, "a path class needs a name"));
    } else if (path_class.name() == "other") {
      issues.push_back(
          source.At(field, "`other` is the class of what no pattern matches"));
    } else if (!seen.insert(path_class.name()).second) {
      issues.push_back(source.At(
          field, absl::StrCat("\"", path_class.name(), "\" is there twice")));
    }
    if (!v1::NomediaRule_IsValid(path_class.nomedia())) {
      issues.push_back(
          source.At(absl::StrCat("path_classes[", i, "].nomedia"),
                    absl::StrCat("unknown value ", path_class.nomedia())));
    }
    if (!v1::NameRule_IsValid(path_class.names())) {
      issues.push_back(
          source.At(absl::StrCat("path_classes[", i, "].names"),
                    absl::StrCat("unknown value ", path_class.names())));
    }
  }
}

}  // namespace

std::vector<std::string_view> PathClasses::NamesBelow(
    const State& state) const {
  std::vector<std::string_view> names;
  names.reserve(state.edges);
  for (uint32_t i = 0; i < state.edges; ++i) {
    names.emplace_back(literal_texts_[edges_[state.first_edge + i].literal]);
  }
  return names;
}

std::optional<PathClasses> PathClasses::Compile(const v1::Policy& policy,
                                                const SourceMap& source,
                                                Issues& issues) {
  const size_t before = issues.size();
  if (static_cast<size_t>(policy.path_classes_size()) > kMaxPathClasses) {
    issues.push_back(source.At(
        absl::StrCat("path_classes[", kMaxPathClasses, "]"),
        absl::StrCat("more than ", kMaxPathClasses, " path classes")));
    return std::nullopt;
  }
  CheckClasses(policy, source, issues);
  PathClasses classes;
  for (const v1::PathClass& path_class : policy.path_classes()) {
    classes.names_.push_back(path_class.name());
    classes.fat_.push_back(path_class.names() == v1::FAT);
    classes.nomedia_ignored_.push_back(path_class.nomedia() == v1::IGNORED);
  }
  AutomatonBuilder builder(classes);
  AddPatterns(policy, source, builder, issues);
  if (issues.size() != before) return std::nullopt;
  if (!builder.Build()) {
    issues.push_back(source.At(
        "path_classes", absl::StrCat("patterns with several `**` multiply to "
                                     "more than ",
                                     kMaxStates, " states")));
    return std::nullopt;
  }
  return classes;
}

uint32_t PathClasses::Next(const State& state, std::string_view folded) const {
  if (state.edges == 0) return state.otherwise;
  const uint32_t literal = literals_.Find(folded);
  if (literal == StringTable::kNone) return state.otherwise;
  const Edge* const first = edges_.data() + state.first_edge;
  const Edge* const last = first + state.edges;
  const Edge* const edge = std::lower_bound(
      first, last, literal,
      [](const Edge& e, uint32_t wanted) { return e.literal < wanted; });
  return edge != last && edge->literal == literal ? edge->next
                                                  : state.otherwise;
}

std::string_view PathClasses::NameOf(ClassId path_class) const {
  if (path_class >= names_.size()) return "other";
  return names_[path_class];
}

bool PathClasses::reachable(ClassId path_class) const {
  return reachable_[std::min<size_t>(path_class, size())];
}

bool PathClasses::has_owner(ClassId path_class) const {
  return has_owner_[std::min<size_t>(path_class, size())];
}

}  // namespace fused::policy
