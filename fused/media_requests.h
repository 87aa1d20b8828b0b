// What fusedctl asks about a lower tree's media index.
#ifndef FUSED_FUSED_MEDIA_REQUESTS_H_
#define FUSED_FUSED_MEDIA_REQUESTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "fused/expiry.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "proto/control.pb.h"

namespace fused {

// What is known of the file; changes nothing.
absl::StatusOr<control::v1::FileResponse> DescribeFile(LowerTree& tree,
                                                       const std::string& path);

// Adds a tree's figures; called for each of a volume's.
void FillMedia(const LowerTree& tree, control::v1::MediaStatus& status);

void AddExpired(const std::string& volume, const LowerTree& tree,
                const ExpiryResult& result,
                control::v1::MaintainResponse& response);

}  // namespace fused

#endif  // FUSED_FUSED_MEDIA_REQUESTS_H_
