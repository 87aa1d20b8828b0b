// What is wrong with a policy or an app directory, and where.
#ifndef FUSED_POLICY_ISSUE_H_
#define FUSED_POLICY_ISSUE_H_

#include <string>
#include <vector>

namespace fused::policy {

struct Issue {
  std::string file;
  // From 1; 0 where the input has no lines (binary).
  int line = 0;
  int column = 0;
  // "rules[3].when.permission"; empty for the file as a whole.
  std::string field;
  std::string reason;
  // A lint finding that refuses nothing.
  bool warning = false;

  // "FILE:LINE:COLUMN: FIELD: REASON", with "warning: " before the reason of
  // one.
  std::string ToString() const;
};

using Issues = std::vector<Issue>;

// Whether any of them refuses.
bool HasErrors(const Issues& issues);

}  // namespace fused::policy

#endif  // FUSED_POLICY_ISSUE_H_
