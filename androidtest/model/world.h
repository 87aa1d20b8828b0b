// What a volume holds after a sequence of steps, and what each step has to
// come to.
#ifndef FUSED_ANDROIDTEST_MODEL_WORLD_H_
#define FUSED_ANDROIDTEST_MODEL_WORLD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "androidtest/model/rules.h"
#include "androidtest/model/step.h"

namespace fused::androidtest::model {

struct Node {
  bool directory = false;
  std::string content;
  int owner = kNobody;
  // Seconds; absent: some time in the test.
  std::optional<int> modified;
  std::map<std::string, std::shared_ptr<Node>> children;
};

// What a step has to come to, or came to.
struct Result {
  // 0: success. Several where two rules forbid it, by different errors.
  std::set<int> errors = {0};
  std::optional<std::string> data;
  std::optional<std::vector<std::string>> names;
  std::optional<int64_t> size;
  std::optional<int> modified;

  bool ok() const { return errors.count(0) > 0; }
};

std::string ToString(const Result& result);
// Whether what came was what had to.
bool Fits(const Result& expected, const Result& seen);

class World {
 public:
  // Of the default directories.
  World();

  static std::vector<std::string> FirstDirectories();

  // Whether the table leaves open what the step comes to.
  bool IsUnclear(const Step& step) const;
  // Nothing, as for a step on what is held by an app that holds nothing.
  bool IsNothing(const Step& step) const;
  Result Do(const Step& step);

  // Of everything that there is, and of the directories.
  std::vector<std::string> Paths() const;
  std::vector<std::string> Directories() const;
  const Node& root() const { return *root_; }

 private:
  struct Found {
    // Of the way there; 0 if the parent is there.
    int error = 0;
    std::vector<std::string> path;
    Node* parent = nullptr;
    // Null: not there, or not to be seen.
    std::shared_ptr<Node> node;
    Object object;
  };
  struct Held {
    std::shared_ptr<Node> node;
    int flags = 0;
  };

  Found Find(const Subject& subject, const std::string& path) const;
  std::shared_ptr<Node> At(const std::vector<std::string>& path) const;
  bool IsUnclearRename(const Subject& subject, const Step& step) const;

  Result Look(const Subject& subject, const Step& step) const;
  Result Access(const Subject& subject, const Step& step) const;
  Result Open(const Subject& subject, const Step& step);
  Result Change(const Subject& subject, const Step& step);
  Result Make(const Subject& subject, const Step& step);
  Result Remove(const Subject& subject, const Step& step);
  Result Rename(const Subject& subject, const Step& step);
  Result LinkOrSymlink(const Subject& subject, const Step& step) const;
  Result OnHeld(const Step& step);

  std::shared_ptr<Node> root_;
  std::map<std::pair<int, View>, Held> held_;
};

}  // namespace fused::androidtest::model

#endif  // FUSED_ANDROIDTEST_MODEL_WORLD_H_
