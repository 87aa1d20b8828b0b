// What a view's kernel may have kept of directories: their attributes, and
// which names are not in them.
#ifndef FUSED_FUSED_KEPT_ANSWERS_H_
#define FUSED_FUSED_KEPT_ANSWERS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include "kernel/types.h"

namespace fused {

// A directory that many views have seen is changed again and again by one of
// them. A kernel that was told, and has not asked since, keeps nothing that it
// would have to be told of: so what is kept is noted here by who answers, and
// taken by who tells.
//
// Nothing is missed: who answers notes it first, and then looks at the lower
// tree, or makes sure that nobody has told since he looked
// (LowerTree::tellings()); who changes the tree tells, and looks here, after
// that. Where an answer is taken before the kernel has it, the word that is
// sent then makes the kernel throw the answer away (the attributes' version, or
// the lock of the directory: see telling.cc). Thread-safe.
class KeptAnswers {
 public:
  // The kernel is about to be told attributes of the directory.
  void NoteAttributes(kernel::NodeId directory);
  // Whether it may have them.
  bool HasAttributes(kernel::NodeId directory) const;
  // It is about to be told to drop them.
  void TakeAttributes(kernel::NodeId directory);

  // The same of a name that is not in the directory. More than kMostNames of a
  // directory are not told apart: any name may be one of them.
  void NoteAbsence(kernel::NodeId directory, std::string_view name);
  bool HasAbsence(kernel::NodeId directory, std::string_view name) const;
  void TakeAbsence(kernel::NodeId directory, std::string_view name);

  // The kernel has forgotten the directory.
  void Forget(kernel::NodeId directory);

  // Directories of which something is noted.
  size_t size() const;

  static constexpr size_t kMostNames = 64;

 private:
  // A name's hash: who has the same is told for nothing.
  using Hash = uint64_t;
  struct Directory {
    bool attributes = false;
    // More names than can be told apart.
    bool many = false;
    absl::InlinedVector<Hash, 1> absent;
  };
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<kernel::NodeId, Directory> directories
        ABSL_GUARDED_BY(mutex);

    const Directory* Find(kernel::NodeId directory) const
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  };

  static constexpr size_t kShards = 16;

  Shard& ShardOf(kernel::NodeId directory) {
    return shards_[directory % kShards];
  }
  const Shard& ShardOf(kernel::NodeId directory) const {
    return shards_[directory % kShards];
  }

  Shard shards_[kShards];
};

}  // namespace fused

#endif  // FUSED_FUSED_KEPT_ANSWERS_H_
