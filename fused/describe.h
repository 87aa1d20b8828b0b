// What a file's name says of it, for the media index and for its expiry.
#ifndef FUSED_FUSED_DESCRIBE_H_
#define FUSED_FUSED_DESCRIBE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fused/media/record.h"
#include "proto/policy.pb.h"

namespace fused {

// By the policy's media types. Thread-safe.
media::Described DescribeName(const policy::v1::Policy& policy,
                              std::string_view name);

// When a pending or trashed file of that name expires, in seconds since 1970.
// Nothing for other names, and for a stamp that is no number or too large.
std::optional<int64_t> ExpiryOf(std::string_view name);
// `name`, for which ExpiryOf() gives something, with another stamp.
std::string WithExpiry(std::string_view name, int64_t expires);

}  // namespace fused

#endif  // FUSED_FUSED_DESCRIBE_H_
