// What a name says by itself: the structural rules that are not policy.
// Thread-safe; no allocation unless said.
#ifndef FUSED_POLICY_NAMES_H_
#define FUSED_POLICY_NAMES_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace fused::policy {

// Whether FAT can hold `name`: valid UTF-8, 1 to 255 bytes, no control
// characters, none of " * / : < > ? \ |, no trailing dot or space, not "." or
// "..".
bool FatClean(std::string_view name);

// kFactPending, kFactTrashed, kFactHidden as the name alone tells them:
// ".pending-<digits>-<name>", ".trashed-<digits>-<name>", and any other name
// with a leading dot is hidden. Compared without regard to case.
uint32_t NameFacts(std::string_view name);

// The extension that tells the media type: after the last dot of the name
// (of `<name>` in a pending or trashed one); empty where there is none.
std::string_view Extension(std::string_view name);

// `name` as patterns and extensions are compared: ASCII is lowered; a name with
// other characters is normalised (NFKC), case-folded, and rid of ignorable code
// points, so that no spelling that a case-folding lower tree takes for one name
// is two here. Bytes that are not UTF-8 stand for themselves. Allocates for
// other than ASCII.
std::string Fold(std::string_view name);

}  // namespace fused::policy

#endif  // FUSED_POLICY_NAMES_H_
