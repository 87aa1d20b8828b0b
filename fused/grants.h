// Access to single files beyond the rules: AppDirectory.grants, each bound to
// the file that its path named when it was made.
#ifndef FUSED_FUSED_GRANTS_H_
#define FUSED_FUSED_GRANTS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/ref.h"
#include "policy/types.h"

namespace fused {

class LowerNode;

// Keeps a lower node known, so that the file goes on being the same object,
// until the file is gone. Thread-safe.
class GrantedFile {
 public:
  explicit GrantedFile(Ref<LowerNode> node);
  ~GrantedFile();

  // Null when the file is gone.
  Ref<LowerNode> node() const;
  bool gone() const { return gone_.load(std::memory_order_acquire); }
  // The file has lost its last name: nobody is granted anything of it any more,
  // and it is not kept from being freed.
  void SetGone();

 private:
  mutable absl::Mutex mutex_;
  Ref<LowerNode> node_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> gone_{false};
};

// All grants of one epoch. Immutable but for files that go. Thread-safe.
class Grants {
 public:
  struct Entry {
    policy::AppIndex app = policy::kNoApp;
    uint32_t user = 0;
    bool write = false;
    // InfiniteFuture(): never.
    absl::Time expires = absl::InfiniteFuture();
  };

  // Before it is shared.
  void Add(const std::shared_ptr<GrantedFile>& file, const Entry& entry);

  bool empty() const { return files_.empty(); }

  // The operations on a file, as policy::Object names it, that the subject was
  // granted. A grant to write is one to read, too.
  policy::OperationSet OperationsOf(uint64_t file,
                                    const policy::Subject& subject) const;

  bool Has(uint64_t file) const { return files_.contains(file); }
  void SetGone(uint64_t file) const;

 private:
  struct Granted {
    std::vector<std::shared_ptr<GrantedFile>> files;  // all are the same file
    std::vector<Entry> entries;
  };
  absl::flat_hash_map<uint64_t, Granted> files_;
};

}  // namespace fused

#endif  // FUSED_FUSED_GRANTS_H_
