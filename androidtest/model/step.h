// One step of a sequence: who does what, in which view.
#ifndef FUSED_ANDROIDTEST_MODEL_STEP_H_
#define FUSED_ANDROIDTEST_MODEL_STEP_H_

#include <string>

#include "androidtest/harness/device.h"

namespace fused::androidtest::model {

enum class Action {
  kStat,
  kList,
  kAccess,
  kRead,
  // O_WRONLY, O_RDWR, O_WRONLY | O_APPEND.
  kWrite,
  kReadAndWrite,
  kAppend,
  // O_RDONLY | O_TRUNC.
  kTruncatingRead,
  kTruncate,
  kSetTimes,
  kChangeMode,
  // O_CREAT | O_EXCL; O_CREAT.
  kCreate,
  kOpenOrCreate,
  kMakeNode,
  kMakeDirectory,
  kRemoveDirectory,
  kUnlink,
  kRename,
  kLink,
  kSymlink,
  // Of the one file that each app may hold open in each view.
  kHold,
  kReadHeld,
  kWriteHeld,
  kLetGo,
};
inline constexpr int kActions = static_cast<int>(Action::kLetGo) + 1;

struct Step {
  // Of Cast().
  int actor = 0;
  View view = View::kShared;
  Action action = Action::kStat;
  std::string path;
  // Of a rename or a link.
  std::string target;
  // A rename's flags, an access' mode; for kHold O_RDONLY or O_RDWR.
  int flags = 0;
  // What is written.
  std::string text;
  // A size, or a time in seconds.
  int number = 0;
};

// "gallery in its AppView: rename DCIM/a.jpg to Music/d".
std::string ToString(const Step& step);

}  // namespace fused::androidtest::model

#endif  // FUSED_ANDROIDTEST_MODEL_STEP_H_
