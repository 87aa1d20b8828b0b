// The items of a `meta` box: Exif, XMP and previews among them.
#ifndef FUSED_POLICY_REDACTION_ITEMS_H_
#define FUSED_POLICY_REDACTION_ITEMS_H_

#include <optional>

#include "policy/redaction/boxes.h"
#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// `infos` (iinf) says what they are, `places` (iloc) where: in `file` or in
// `data` (idat). False where items of metadata cannot be found.
bool RedactItems(const Bytes& file, const Box& infos, const Box& places,
                 const std::optional<Box>& data);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_ITEMS_H_
