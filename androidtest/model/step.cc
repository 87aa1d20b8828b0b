#include "androidtest/model/step.h"

#include <fcntl.h>
#include <stdio.h>

#include "absl/strings/str_cat.h"
#include "androidtest/model/cast.h"

namespace fused::androidtest::model {
namespace {

std::string What(const Step& step) {
  const std::string& path = step.path;
  const std::string writing = absl::StrCat(", write \"", step.text, "\"");
  switch (step.action) {
    case Action::kStat:
      return "stat " + path;
    case Action::kList:
      return "list " + path;
    case Action::kAccess:
      return absl::StrCat("access ", path, " mode ", step.flags);
    case Action::kRead:
      return "open and read " + path;
    case Action::kWrite:
      return absl::StrCat("open O_WRONLY ", path, writing);
    case Action::kReadAndWrite:
      return absl::StrCat("open O_RDWR ", path, ", read", writing);
    case Action::kAppend:
      return absl::StrCat("open O_APPEND ", path, writing);
    case Action::kTruncatingRead:
      return absl::StrCat("open O_RDONLY|O_TRUNC ", path);
    case Action::kTruncate:
      return absl::StrCat("truncate ", path, " to ", step.number);
    case Action::kSetTimes:
      return absl::StrCat("utimens ", path, " to ", step.number);
    case Action::kChangeMode:
      return "chmod " + path;
    case Action::kCreate:
      return absl::StrCat("open O_CREAT|O_EXCL ", path, writing);
    case Action::kOpenOrCreate:
      return absl::StrCat("open O_RDWR|O_CREAT ", path, writing);
    case Action::kMakeNode:
      return "mknod " + path;
    case Action::kMakeDirectory:
      return "mkdir " + path;
    case Action::kRemoveDirectory:
      return "rmdir " + path;
    case Action::kUnlink:
      return "unlink " + path;
    case Action::kRename:
      return absl::StrCat(step.flags == RENAME_EXCHANGE    ? "exchange "
                          : step.flags == RENAME_NOREPLACE ? "rename -n "
                                                           : "rename ",
                          path, " to ", step.target);
    case Action::kLink:
      return absl::StrCat("link ", path, " as ", step.target);
    case Action::kSymlink:
      return "symlink at " + path;
    case Action::kHold:
      return absl::StrCat("open and hold ", path,
                          step.flags == O_RDWR ? " O_RDWR" : " O_RDONLY");
    case Action::kReadHeld:
      return "read what is held";
    case Action::kWriteHeld:
      return absl::StrCat("to what is held", writing);
    case Action::kLetGo:
      return "close what is held";
  }
  return "";
}

}  // namespace

std::string ToString(const Step& step) {
  return absl::StrCat(Cast()[step.actor].subject.name, " in ", Name(step.view),
                      ": ", What(step));
}

}  // namespace fused::androidtest::model
