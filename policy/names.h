// What a name says by itself: the structural rules that are not policy.
// Thread-safe; no allocation unless said.
#ifndef FUSED_POLICY_NAMES_H_
#define FUSED_POLICY_NAMES_H_

#include <cstddef>
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
// with a leading dot is hidden. Compared as folded; allocates only for a name
// that folds to more than kMaxFolded bytes.
uint32_t NameFacts(std::string_view name);

// The file that hides its directory's media from galleries, and whether a name
// is one, as folded.
inline constexpr char kNomedia[] = ".nomedia";
bool IsNomedia(std::string_view name);

// The extension that tells the media type: after the last dot of the name
// (of `<name>` in a pending or trashed one), dots at the end not counted; empty
// where there is none, as in a name whose only dot leads it.
std::string_view Extension(std::string_view name);

// `name` as patterns and extensions are compared: ASCII is lowered; a name with
// other characters is normalised (NFKC), case-folded, and rid of ignorable code
// points, so that no spelling that a case-folding lower tree takes for one name
// is two here. For the same reason dots at the end, which FAT does not see, are
// dropped (but for a name that is nothing else). A name that is not UTF-8 as a
// whole has its ASCII lowered and the rest as it is. Allocates.
std::string Fold(std::string_view name);

// Whether every lower tree that finds names without regard to case takes `name`
// for what Fold() takes it for: letters and digits of ASCII, and dots, lines
// and blanks within. Other names may lead to what has another name, by rules of
// the lower tree's own: foreign letters, ignorable characters, 8.3 names.
bool FoldsPlainly(std::string_view name);

// The longest folded name that anything is compared with.
inline constexpr size_t kMaxFolded = 255;

// Fold() without allocation.
class FoldedName {
 public:
  explicit FoldedName(std::string_view name);

  // Empty where the folded name is longer than kMaxFolded, and so equals
  // nothing.
  std::string_view view() const { return {buffer_, size_}; }

 private:
  void FoldUnicode(std::string_view name);

  size_t size_ = 0;
  // Left as it is: clearing it would cost more than folding.
  char buffer_[kMaxFolded];
};

// Whether `text` is valid UTF-8.
bool IsUtf8(std::string_view text);

}  // namespace fused::policy

#endif  // FUSED_POLICY_NAMES_H_
