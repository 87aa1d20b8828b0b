// Names as a caller may send them.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "policy/names.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fused::policy;  // NOLINT(google-build-using-namespace)
  const std::string_view name(reinterpret_cast<const char*>(data), size);
  const std::string folded = Fold(name);
  CHECK(Fold(folded) == folded);
  CHECK(IsUtf8(folded) == IsUtf8(name));
  CHECK(FoldedName(name).view() ==
        (folded.size() <= kMaxFolded ? folded : std::string()));
  CHECK(std::popcount(NameFacts(name)) <= 1);
  CHECK(NameFacts(name) == NameFacts(folded) || folded.empty());
  if (FatClean(name)) CHECK(IsUtf8(name) && !name.empty() && size <= 255);
  const std::string_view extension = Extension(name);
  CHECK(extension.size() < size || size == 0);
  return 0;
}
