#include "policy/diff_places.h"

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "policy/diff_callers.h"

namespace fused::policy {
namespace {

// Of pairs of the automata's states; they are small but where patterns have
// several `**`.
constexpr size_t kMostPairs = 1 << 15;

class Walker {
 public:
  Walker(const Snapshot& before, const Snapshot& after)
      : before_(before), after_(after) {}

  DiffPlaces Run() {
    Visit(before_.Root(0), after_.Root(0), "");
    while (!queue_.empty()) {
      const Pair pair = std::move(queue_.front());
      queue_.pop_front();
      VisitBelow(pair);
    }
    return std::move(result_);
  }

 private:
  struct Pair {
    Location before;
    Location after;
    std::string path;
  };

  void VisitBelow(const Pair& pair) {
    std::set<std::string_view> names;
    for (const std::string_view name : before_.NamesBelow(pair.before)) {
      names.insert(name);
    }
    for (const std::string_view name : after_.NamesBelow(pair.after)) {
      names.insert(name);
    }
    for (const std::string_view name : names) Enter(pair, name, name);
    std::string other = "x";
    while (names.contains(other)) other += 'x';
    Enter(pair, other, "*");
    Enter(pair, kSomePackage, "{package}");
  }

  void Enter(const Pair& pair, std::string_view name, std::string_view shown) {
    Visit(before_.Child(pair.before, name), after_.Child(pair.after, name),
          pair.path.empty() ? std::string(shown)
                            : absl::StrCat(pair.path, "/", shown));
  }

  void Visit(const Location& before, const Location& after, std::string path) {
    if (!seen_.emplace(KeyOf(before), KeyOf(after)).second) return;
    if (seen_.size() > kMostPairs) {
      result_.complete = false;
      return;
    }
    Note(before, after, path);
    queue_.push_back({before, after, std::move(path)});
  }

  void Note(const Location& before, const Location& after,
            const std::string& path) {
    DiffPlace place;
    place.before = before_.ClassOf(before);
    place.after = after_.ClassOf(after);
    place.hides_before = before_.NomediaHides(before);
    place.hides_after = after_.NomediaHides(after);
    place.path = path.empty() ? "/" : path;
    const auto [found, added] =
        places_.try_emplace(std::tuple(place.before, place.after,
                                       place.hides_before, place.hides_after),
                            result_.places.size());
    if (added) result_.places.push_back(std::move(place));
    const int owned = (before_.PathOwnerOf(before) != kNoApp ? 1 : 0) |
                      (after_.PathOwnerOf(after) != kNoApp ? 2 : 0);
    result_.places[found->second].owned[owned] = true;
  }

  using Key = std::tuple<uint32_t, bool, bool>;
  static Key KeyOf(const Location& location) {
    return {location.state, location.capture[0] != kNoApp,
            location.capture[1] != kNoApp};
  }

  const Snapshot& before_;
  const Snapshot& after_;
  DiffPlaces result_;
  std::map<std::tuple<ClassId, ClassId, bool, bool>, size_t> places_;
  std::set<std::pair<Key, Key>> seen_;
  std::deque<Pair> queue_;
};

}  // namespace

DiffPlaces FindDiffPlaces(const Snapshot& before, const Snapshot& after) {
  return Walker(before, after).Run();
}

}  // namespace fused::policy
