// fused --check: whether a start would succeed, without starting.
#ifndef FUSED_FUSED_CHECK_H_
#define FUSED_FUSED_CHECK_H_

#include "fused/settings.h"
#include "policy/issue.h"

namespace fused {

// Appends all that is wrong with the settings, the directories and files that
// they name, the policy and the apps, with lint's warnings. Changes nothing,
// and asks nothing of a FUSE mount that is there already, so that it may be
// used beside the daemon that runs. Returns the exit code that a start would
// end with, 0 for none.
int CheckSettings(const Settings& settings, policy::Issues& issues);

// Appends where volumes, and what the daemon keeps for itself, are not apart: a
// tree inside another's would be judged by two sets of rules.
void CheckApart(const Settings& settings, policy::Issues& issues);

}  // namespace fused

#endif  // FUSED_FUSED_CHECK_H_
