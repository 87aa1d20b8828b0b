// What is counted of all volumes together.
#ifndef FUSED_FUSED_METRICS_REGISTRY_H_
#define FUSED_FUSED_METRICS_REGISTRY_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "absl/hash/hash.h"
#include "fused/metrics/table.h"
#include "kernel/packet.h"

namespace fused::metrics {

enum class Verdict : uint8_t { kDenied, kPassthrough, kRedacted, kDaemon };
inline constexpr size_t kVerdicts = 4;

using VerdictCounts = std::array<std::atomic<uint64_t>, kVerdicts>;

// One app's, or any uid's.
struct AppCounts {
  struct Operation {
    std::atomic<uint64_t> count{0};
    std::atomic<uint64_t> nanoseconds{0};
  };
  std::array<Operation, kernel::kOpcodes> operations;
  VerdictCounts verdicts{};

  void Count(uint32_t opcode, uint64_t nanoseconds) {
    Operation& operation = operations[opcode < kernel::kOpcodes ? opcode : 0];
    operation.count.fetch_add(1, std::memory_order_relaxed);
    operation.nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
  }
};

// Thread-safe, and without a lock for what is known already.
class Registry {
 public:
  // So many uids, and rules, are told apart; the rest is one.
  using Apps = Table<AppCounts, 512>;
  using Rules = Table<VerdictCounts, 1024>;

  void CountRequest(uid_t uid, uint32_t opcode, uint64_t nanoseconds) {
    AppOf(uid).Count(opcode, nanoseconds);
  }

  // A request that was denied, or an open and how it is served, by the rule
  // that says so (empty: none does).
  void CountVerdict(uid_t uid, std::string_view rule, Verdict verdict) {
    const auto index = static_cast<size_t>(verdict);
    AppOf(uid).verdicts[index].fetch_add(1, std::memory_order_relaxed);
    RuleOf(rule)[index].fetch_add(1, std::memory_order_relaxed);
  }

  // Where an app, and a rule, is counted: they have it for good.
  // 0 is no key, and a uid.
  AppCounts& AppOf(uid_t uid) { return apps_.Of(uint64_t{uid} + 1, "app"); }
  VerdictCounts& RuleOf(std::string_view rule) {
    return rules_.Of(absl::HashOf(rule) | 1, rule);
  }

  const Apps& apps() const { return apps_; }
  const Rules& rules() const { return rules_; }
  static uid_t UidOf(const Apps::Entry& entry) {
    return static_cast<uid_t>(entry.key - 1);
  }

 private:
  Apps apps_;
  Rules rules_;
};

}  // namespace fused::metrics

#endif  // FUSED_FUSED_METRICS_REGISTRY_H_
