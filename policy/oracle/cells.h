// Writes a table of who may do what, and reads it against the built-in policy.
#ifndef FUSED_POLICY_ORACLE_CELLS_H_
#define FUSED_POLICY_ORACLE_CELLS_H_

#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy::oracle {

// One row. Words are parted by spaces; "{a,b}" in one stands for both.
struct Row {
  // Kinds of caller: see Kinds() in cells.cc.
  std::string callers;
  // A trailing '/' makes a directory, "/" is the root. "{own}" is the caller's
  // package.
  std::string paths;
  // Whose the file is: "self", "other" or "none" (an app that is gone). Of
  // directories it says nothing: they are nobody's.
  std::string owners;
  // "ok" or an errno before the operations that answer it:
  //   S lookup   L list    R read         W write      A setattr
  //   C create   D delete  N rename from  T rename to  K link
  //   Y symlink  X mknod of a device
  // C and D are MKDIR and RMDIR of a directory.
  std::string want;
};

// One that differs.
struct Cell {
  std::string caller;
  std::string path;
  std::string owner;
  std::string operation;
  std::string want;
  std::string got;

  friend std::ostream& operator<<(std::ostream& out, const Cell& cell);
};

struct Outcome {
  int cells = 0;
  std::vector<Cell> different;
};

class Table {
 public:
  Table();

  // Asks for each cell of the rows as users 0 and 10, in their own tree, with
  // the path spelled as it is, in capitals, and in small letters.
  Outcome Check(const std::vector<Row>& rows) const;

  // Asks for the tree of a user that is not the caller's.
  Outcome CheckOtherUsers(const std::vector<Row>& rows) const;

  // Whether names there may be cached for all subjects of a user.
  bool SharesLookup(const std::string& path) const;

 private:
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace fused::policy::oracle

#endif  // FUSED_POLICY_ORACLE_CELLS_H_
