#include "fused/grants.h"

#include <utility>

#include "absl/time/clock.h"
#include "fused/lower_node.h"

namespace fused {

using policy::Operation;
using policy::OperationSet;

GrantedFile::GrantedFile(Ref<LowerNode> node) : node_(std::move(node)) {}

GrantedFile::~GrantedFile() = default;

Ref<LowerNode> GrantedFile::node() const {
  absl::MutexLock lock(&mutex_);
  return node_;
}

void GrantedFile::SetGone() {
  gone_.store(true, std::memory_order_release);
  // Let go of outside the lock.
  Ref<LowerNode> node;
  absl::MutexLock lock(&mutex_);
  std::swap(node, node_);
}

void Grants::Add(const std::shared_ptr<GrantedFile>& file, const Entry& entry) {
  const Ref<LowerNode> node = file->node();
  if (node == nullptr) return;
  Granted& granted = files_[node->file_id()];
  granted.files.push_back(file);
  granted.entries.push_back(entry);
}

OperationSet Grants::OperationsOf(uint64_t file,
                                  const policy::Subject& subject) const {
  OperationSet operations;
  const auto found = files_.find(file);
  // Another node may have taken the place of one that is gone.
  if (found == files_.end() || found->second.files.front()->gone()) {
    return operations;
  }
  for (const Entry& entry : found->second.entries) {
    if (entry.app != subject.app || entry.user != subject.user) continue;
    if (entry.expires != absl::InfiniteFuture() &&
        entry.expires <= absl::Now()) {
      continue;
    }
    operations = operations | Operation::kRead;
    if (entry.write) operations = operations | Operation::kWrite;
  }
  return operations;
}

void Grants::SetGone(uint64_t file) const {
  const auto found = files_.find(file);
  if (found == files_.end()) return;
  for (const std::shared_ptr<GrantedFile>& granted : found->second.files) {
    granted->SetGone();
  }
}

}  // namespace fused
