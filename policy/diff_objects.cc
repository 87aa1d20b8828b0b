#include "policy/diff_objects.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

enum : size_t { kOwned, kOwnsFile, kState, kHidden, kGranted, kType };

// What the rules of a policy ask of an object.
struct Asked {
  std::set<std::string> media_types;
  std::set<int> states;
  std::set<int> relations;
  bool granted = false;

  void Add(const v1::Condition& condition) {
    for (const v1::Condition& each : condition.all_of().conditions()) Add(each);
    for (const v1::Condition& each : condition.any_of().conditions()) Add(each);
    switch (condition.kind_case()) {
      case v1::Condition::kNot:
        Add(condition.not_());
        break;
      case v1::Condition::kMediaType:
        media_types.insert(condition.media_type());
        break;
      case v1::Condition::kState:
        states.insert(condition.state());
        break;
      case v1::Condition::kRelation:
        relations.insert(condition.relation());
        break;
      case v1::Condition::kGranted:
        granted = true;
        break;
      default:
        break;
    }
  }
  void Add(const v1::Policy& policy) {
    for (const v1::Rule& rule : policy.rules()) Add(rule.when());
  }
};

uint32_t BitsOf(const v1::Policy& policy,
                const std::set<std::string>& media_types) {
  uint32_t bits = 0;
  for (int i = 0; i < policy.media_types_size(); ++i) {
    if (media_types.contains(policy.media_types(i).name())) bits |= 1u << i;
  }
  return bits;
}

// The names of a policy's media types in a mask.
std::string TypeNames(const v1::Policy& policy, uint32_t mask) {
  std::vector<std::string> names;
  for (int i = 0; i < policy.media_types_size(); ++i) {
    if ((mask >> i & 1) != 0) names.push_back(policy.media_types(i).name());
  }
  return names.empty() ? "none" : absl::StrJoin(names, "+");
}

}  // namespace

DiffObjects::DiffObjects(const Snapshot& before, const Snapshot& after) {
  Asked asked;
  asked.Add(before.policy().source());
  asked.Add(after.policy().source());
  // By DiffPlace's two bits.
  dimensions_[kOwned] = {{"", "relation:OWNS_PATH before",
                          "relation:OWNS_PATH after", "relation:OWNS_PATH"},
                         asked.relations.contains(v1::OWNS_PATH)};
  dimensions_[kOwnsFile] = {{"", "relation:OWNS_FILE"},
                            asked.relations.contains(v1::OWNS_FILE)};
  dimensions_[kState] = {
      {"", "state:PENDING", "state:TRASHED"},
      asked.states.contains(v1::PENDING) || asked.states.contains(v1::TRASHED)};
  dimensions_[kHidden] = {{"", "state:HIDDEN"},
                          asked.states.contains(v1::HIDDEN)};
  dimensions_[kGranted] = {{"", "granted"}, asked.granted};
  AddTypes(before, after, BitsOf(before.policy().source(), asked.media_types),
           BitsOf(after.policy().source(), asked.media_types));
  size_ = 1;
  for (const Dimension& dimension : dimensions_) {
    size_ *= dimension.values.size();
  }
}

void DiffObjects::AddTypes(const Snapshot& before, const Snapshot& after,
                           uint32_t asked_before, uint32_t asked_after) {
  types_.push_back({});
  dimensions_[kType].values.emplace_back("");
  std::set<std::string> extensions;
  for (const Snapshot* snapshot : {&before, &after}) {
    for (const v1::MediaType& type :
         snapshot->policy().source().media_types()) {
      extensions.insert(type.extensions().begin(), type.extensions().end());
    }
  }
  std::map<std::pair<uint32_t, uint32_t>, std::string> seen = {{{0, 0}, ""}};
  for (const std::string& extension : extensions) {
    const std::string name = absl::StrCat("x.", extension);
    const auto mask = [&](const Snapshot& snapshot, uint32_t asked) {
      return snapshot.ObjectAt(snapshot.Root(0), name, false, kNoApp).facts &
             kMediaTypeMask & asked;
    };
    const std::pair<uint32_t, uint32_t> masks = {mask(before, asked_before),
                                                 mask(after, asked_after)};
    if (!seen.emplace(masks, extension).second) continue;
    types_.push_back({masks.first, masks.second, false});
    const std::string old_names =
        TypeNames(before.policy().source(), masks.first);
    const std::string new_names =
        TypeNames(after.policy().source(), masks.second);
    dimensions_[kType].values.push_back(
        old_names == new_names
            ? absl::StrCat("media_type:", new_names)
            : absl::StrCat("extension:", extension, " (", old_names, " -> ",
                           new_names, ")"));
  }
  types_.push_back({kFactDirectory, kFactDirectory, false});
  dimensions_[kType].values.emplace_back("directory");
  types_.push_back({0, 0, true});
  dimensions_[kType].values.emplace_back("a name that FAT cannot hold");
}

DiffObjects::Point DiffObjects::PointOf(size_t index) const {
  Point point;
  for (size_t d = 0; d < kDimensions; ++d) {
    point[d] = index % dimensions_[d].values.size();
    index /= dimensions_[d].values.size();
  }
  return point;
}

size_t DiffObjects::IndexOf(const Point& point) const {
  size_t index = 0;
  for (size_t d = kDimensions; d-- > 0;) {
    index = index * dimensions_[d].values.size() + point[d];
  }
  return index;
}

DiffObjects::Kind DiffObjects::At(size_t index) const {
  const Point point = PointOf(index);
  const Type& type = types_[point[kType]];
  uint32_t facts = 0;
  if (point[kState] == 1) facts |= kFactPending;
  if (point[kState] == 2) facts |= kFactTrashed;
  if (point[kHidden] == 1) facts |= kFactHidden;
  if (point[kGranted] == 1) facts |= kFactGranted;
  return {static_cast<int>(point[kOwned]), point[kOwnsFile] == 1,
          type.before | facts, type.after | facts, type.foul};
}

size_t DiffObjects::Like(size_t index, const bool (&owned)[4],
                         bool owns_files) const {
  Point point = PointOf(index);
  for (size_t d = 0; d < kDimensions; ++d) {
    if (!dimensions_[d].asked) point[d] = 0;
  }
  if (!owned[point[kOwned]]) point[kOwned] = 0;
  if (!owns_files) point[kOwnsFile] = 0;
  return IndexOf(point);
}

template <typename Function>
void DiffObjects::ForEach(const Box& box, Function function) const {
  std::array<size_t, kDimensions> at = {};
  for (;;) {
    Point point;
    for (size_t d = 0; d < kDimensions; ++d) point[d] = box[d][at[d]];
    function(IndexOf(point));
    size_t d = 0;
    while (d < kDimensions && ++at[d] == box[d].size()) at[d++] = 0;
    if (d == kDimensions) return;
  }
}

// As many kinds as a conjunction can have that holds for nothing outside.
DiffObjects::Box DiffObjects::Grow(const Set& set, size_t from) const {
  const Point start = PointOf(from);
  Box box;
  for (size_t d = 0; d < kDimensions; ++d) box[d] = {start[d]};
  for (size_t d = 0; d < kDimensions; ++d) {
    std::vector<size_t> values;
    for (size_t value = 0; value < dimensions_[d].values.size(); ++value) {
      Box trial = box;
      trial[d] = {value};
      bool inside = true;
      ForEach(trial, [&](size_t index) { inside = inside && set[index]; });
      if (inside) values.push_back(value);
    }
    box[d] = std::move(values);
  }
  return box;
}

std::vector<std::vector<std::string>> DiffObjects::Describe(
    const Set& set) const {
  std::vector<std::vector<std::string>> lines;
  Set left = set;
  for (size_t index = 0; index < size_; ++index) {
    if (!left[index]) continue;
    const Box box = Grow(set, index);
    ForEach(box, [&](size_t covered) { left[covered] = false; });
    std::vector<std::string> words;
    for (size_t d = 0; d < kDimensions; ++d) {
      const std::vector<std::string>& values = dimensions_[d].values;
      if (box[d].size() == values.size()) continue;
      // With what has no mark, what is left out says more.
      const bool unmarked = box[d].front() == 0;
      std::vector<std::string> names;
      for (size_t value = 1; value < values.size(); ++value) {
        const bool in =
            std::find(box[d].begin(), box[d].end(), value) != box[d].end();
        if (in != unmarked) names.push_back(values[value]);
      }
      words.push_back(
          absl::StrCat(unmarked ? "not " : "", absl::StrJoin(names, "|")));
    }
    lines.push_back(std::move(words));
  }
  return lines;
}

}  // namespace fused::policy
