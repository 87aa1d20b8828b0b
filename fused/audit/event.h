// What the request threads tell the audit log: fixed in size, so that telling
// costs neither an allocation nor a wait.
#ifndef FUSED_FUSED_AUDIT_EVENT_H_
#define FUSED_FUSED_AUDIT_EVENT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "proto/audit.pb.h"

namespace fused::audit {

// At most N bytes of text; what is longer is cut.
template <uint16_t N>
class Text {
 public:
  Text& operator=(std::string_view text) {
    cut_ = text.size() > N;
    size_ = static_cast<uint16_t>(std::min<size_t>(text.size(), N));
    std::memcpy(bytes_, text.data(), size_);
    return *this;
  }
  std::string_view view() const { return {bytes_, size_}; }
  bool cut() const { return cut_; }

 private:
  uint16_t size_ = 0;
  bool cut_ = false;
  char bytes_[N];
};

// One record in the making.
struct Event {
  int64_t time = 0;  // nanoseconds since 1970
  uint64_t epoch = 0;
  v1::Record::Kind kind = v1::Record::KIND_UNSPECIFIED;
  uint32_t uid = 0;
  int error = 0;
  // The gate's.
  uint32_t slot = 0;
  Text<32> operation;
  Text<64> volume;
  Text<64> rule;
  Text<64> path_class;
  Text<128> package;
  Text<128> message;
  Text<1024> path;
};
static_assert(std::is_trivially_copyable_v<Event>);

// What makes events the same: they become one record with a count.
struct Key {
  v1::Record::Kind kind = v1::Record::KIND_UNSPECIFIED;
  uint32_t uid = 0;
  uint32_t operation = 0;
  uint32_t rule = 0;
  uint32_t path_class = 0;
  int error = 0;
  // Of the volume; any number that is its own.
  uint64_t volume = 0;

  template <typename H>
  friend H AbslHashValue(H h, const Key& key) {
    return H::combine(std::move(h), static_cast<int>(key.kind), key.uid,
                      key.operation, key.rule, key.path_class, key.error,
                      key.volume);
  }
};

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_EVENT_H_
