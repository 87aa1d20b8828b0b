// The values that a decision is made of. All are trivially copyable; all that
// refer to a snapshot (subjects, locations, objects) are void with it.
#ifndef FUSED_POLICY_TYPES_H_
#define FUSED_POLICY_TYPES_H_

#include <cstdint>

namespace fused::policy {

// In the order of policy.proto, LOOKUP first.
enum class Operation : uint8_t {
  kLookup,
  kList,
  kRead,
  kWrite,
  kCreate,
  kUnlink,
  kMkdir,
  kRmdir,
  kRenameFrom,
  kRenameTo,
  kSetattr,
  kGetxattr,
  kSetxattr,
  kLink,
  kSymlink,
  kMknod,
};
inline constexpr int kOperations = 16;

// A set of operations that are asked for at once.
class OperationSet {
 public:
  constexpr OperationSet() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): one operation is a set.
  constexpr OperationSet(Operation operation)
      : bits_(1u << static_cast<int>(operation)) {}

  constexpr OperationSet operator|(OperationSet other) const {
    OperationSet both;
    both.bits_ = bits_ | other.bits_;
    return both;
  }
  constexpr OperationSet operator&(OperationSet other) const {
    OperationSet common;
    common.bits_ = bits_ & other.bits_;
    return common;
  }
  constexpr OperationSet Without(OperationSet other) const {
    OperationSet rest;
    rest.bits_ = bits_ & ~other.bits_;
    return rest;
  }
  constexpr bool Has(Operation operation) const {
    return (bits_ >> static_cast<int>(operation) & 1u) != 0;
  }
  constexpr uint32_t bits() const { return bits_; }
  constexpr bool empty() const { return bits_ == 0; }

 private:
  uint32_t bits_ = 0;
};

// The least error is the one that tells least.
enum class Error : uint8_t { kNone, kNoEntry, kAccess, kNotPermitted };

// How an approved open is served; the later is the stricter.
enum class IoMode : uint8_t { kPassthrough, kDaemon, kRedacted };

// Which rule made a decision: its place in the policy, or one of these.
using RuleId = uint16_t;
inline constexpr RuleId kNoRule = 0xffff;        // none matched
inline constexpr RuleId kUnlistedRule = 0xfffe;  // a uid in no entry
inline constexpr RuleId kNameRule = 0xfffd;      // the class refuses the name

struct Decision {
  // kNone: allowed.
  Error error = Error::kAccess;
  // Of an allowed one.
  IoMode io = IoMode::kDaemon;
  RuleId rule = kNoRule;

  constexpr bool allowed() const { return error == Error::kNone; }
  friend constexpr bool operator==(const Decision&, const Decision&) = default;
};

using ClassId = uint8_t;
inline constexpr ClassId kOtherClass = 0xff;

// Names an app (a uid's entry) within one snapshot.
using AppIndex = int32_t;
inline constexpr AppIndex kNoApp = -1;

// On whose behalf a request comes.
struct Subject {
  // Permissions, roles and target versions, as the policy numbers them.
  uint64_t word = 0;
  // The entry; kNoApp for ROOT, SHELL and uids in no entry.
  AppIndex app = kNoApp;
  // The class of equal subject words.
  uint32_t row = 0;
  uint32_t user = 0;
  // Whether it is in an entry, or ROOT or SHELL.
  bool listed = false;
};

// Where a path stands in the policy's path classes: the result of walking its
// components. `capture[i]` is the app that the i-th capture depth of the policy
// named.
struct Location {
  static constexpr int kCaptures = 2;

  uint32_t state = 0;
  uint32_t user = 0;
  AppIndex capture[kCaptures] = {kNoApp, kNoApp};
  uint8_t depth = 0;  // components below the root; stays at 255
  // A component of it, or a directory above it, is hidden.
  bool hidden = false;
  // Its name is a pending or trashed file's: a directory of that name hides
  // what is below it, as with any other leading dot.
  bool dotted = false;

  friend bool operator==(const Location&, const Location&) = default;
};

// Bits of Object::facts. The low 16 are the policy's media types.
inline constexpr uint32_t kFactPending = 1u << 16;
inline constexpr uint32_t kFactTrashed = 1u << 17;
inline constexpr uint32_t kFactHidden = 1u << 18;
inline constexpr uint32_t kFactDirectory = 1u << 19;
inline constexpr uint32_t kFactGranted = 1u << 20;
inline constexpr uint32_t kMediaTypeMask = 0xffff;

// What is operated on.
struct Object {
  ClassId path_class = kOtherClass;
  // The app that the path's {package} names.
  AppIndex path_owner = kNoApp;
  // The app that made the file.
  AppIndex file_owner = kNoApp;
  // Whose tree it lies in.
  uint32_t user = 0;
  uint32_t facts = 0;
  // The file, as whoever tells kFactGranted knows it; 0: none. Not looked at.
  uint64_t file = 0;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_TYPES_H_
