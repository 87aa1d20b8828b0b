// What a small volume holds, and what of it each app is shown: the model that
// caches are held against.
#ifndef FUSED_ANDROIDTEST_CACHES_WORLD_H_
#define FUSED_ANDROIDTEST_CACHES_WORLD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace fused::androidtest::caches {

// What an operation came to.
struct Result {
  int error = 0;
  // Of a file that was looked at.
  std::optional<int64_t> size;
  // Of a directory.
  std::optional<int64_t> links;
  // Of a listing.
  std::optional<std::vector<std::string>> names;

  friend bool operator==(const Result&, const Result&) = default;
};
std::string ToString(const Result& result);

// The rules: what lies below a veiled path, whose name begins with a dot or
// that has a `.nomedia` beside it or above, does not exist but for the apps
// that hold the permission SEE. All that is below `plain` is everybody's.
class World {
 public:
  // With three directories in the root.
  World();

  void SetVeils(std::vector<std::string> paths) { veils_ = std::move(paths); }
  // The text of the policy.
  std::string Policy(uint64_t version) const;

  // `sees`: the asker holds SEE.
  // `shared`: in the view that all share.
  Result Stat(bool sees, const std::string& path, bool shared = false) const;
  Result List(bool sees, const std::string& path) const;
  Result Create(bool sees, const std::string& path, int64_t size);
  Result Write(bool sees, const std::string& path, int64_t size);
  Result MakeDirectory(bool sees, const std::string& path);
  Result Unlink(bool sees, const std::string& path);
  Result RemoveDirectory(bool sees, const std::string& path);
  // `exchange`: both are there, and neither below the other.
  Result Rename(bool sees, const std::string& from, const std::string& to,
                bool exchange);
  // Whether the rules, or the kernel's order of asking, leave the error open.
  bool IsUnclearRename(bool sees, const std::string& from,
                       const std::string& to, bool exchange) const;

  bool Has(const std::string& path) const { return nodes_.count(path) != 0; }
  bool IsDirectory(const std::string& path) const;
  // What stands there below the three, and all directories with the root ("").
  std::vector<std::string> Paths() const;
  std::vector<std::string> Directories() const;

 private:
  struct Node {
    bool directory = false;
    int64_t size = 0;
  };

  // Whether it is one that the asker may know, there or not.
  bool Shown(bool sees, const std::string& path) const;
  bool Hidden(const std::string& path) const;
  // ENOENT or ENOTDIR on the way; else 0.
  int WayTo(bool sees, const std::string& path) const;
  // The same, and of what has to be there.
  int Find(bool sees, const std::string& path) const;
  std::vector<std::string> Below(const std::string& path) const;
  void Move(const std::string& from, const std::string& to);
  bool MayMove(bool sees, const std::string& from, const std::string& to) const;

  std::map<std::string, Node> nodes_;
  std::vector<std::string> veils_;
};

}  // namespace fused::androidtest::caches

#endif  // FUSED_ANDROIDTEST_CACHES_WORLD_H_
