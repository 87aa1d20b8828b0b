// Whose decisions a diff compares.
#ifndef FUSED_POLICY_DIFF_CALLERS_H_
#define FUSED_POLICY_DIFF_CALLERS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy {

struct DiffCaller {
  struct Side {
    const Snapshot* snapshot = nullptr;
    Subject subject;
  };

  std::string name;
  // Further apps that are decided on as this one.
  size_t more = 0;
  // Of no app directory.
  bool made_up = false;
  // An app of the newest kind that holds one permission or role, or none.
  bool simple = false;
  // Callers before this one that hold a part of what it does: what changes for
  // them alike is not told again.
  std::vector<size_t> parts;
  Side before;
  Side after;
};

struct DiffCallers {
  // Of the two policies, with made-up apps: what callers refer to.
  std::shared_ptr<const Snapshot> before;
  std::shared_ptr<const Snapshot> after;
  // Each pair of subjects once.
  std::vector<DiffCaller> callers;
  bool complete = true;
};

// A package that both made-up directories have.
inline constexpr char kSomePackage[] = "nobody special";

DiffCallers FindDiffCallers(const Snapshot& before, const Snapshot& after,
                            size_t limit);

}  // namespace fused::policy

#endif  // FUSED_POLICY_DIFF_CALLERS_H_
