// XMP: RDF in XML.
//
// A property with a location's name is zeroed with its tags, or as the
// attribute that it is with its name, in whatever namespace: the prefix is the
// writer's to choose. What is not well-formed XML in an encoding that contains
// ASCII, or has a document type, is not understood.
#ifndef FUSED_POLICY_REDACTION_XMP_H_
#define FUSED_POLICY_REDACTION_XMP_H_

#include <cstdint>
#include <optional>

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// A packet; false where it is not understood.
bool RedactXmp(const Bytes& packet);

// One element that starts at 0, with what is within it; gives where it ends,
// nothing where it is not understood.
std::optional<uint64_t> RedactXmpElement(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_XMP_H_
