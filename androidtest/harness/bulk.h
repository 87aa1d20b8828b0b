// Fills files and checks them, by every way that Linux has to move bytes. As
// programs of the agent:
//
//   Fill METHOD PATH SIZE SEED     the file is new
//   Check METHOD PATH SIZE SEED
//   SmallWrites FD COUNT BYTES SEED
//
// The content is a function of seed and offset, so that no byte can be missing
// or at another place unseen.
#ifndef FUSED_ANDROIDTEST_HARNESS_BULK_H_
#define FUSED_ANDROIDTEST_HARNESS_BULK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fused::androidtest {

void FillPattern(char* buffer, size_t size, uint64_t offset, uint64_t seed);
// The offset of the first wrong byte in the buffer; `size` if there is none.
size_t FirstWrong(const char* buffer, size_t size, uint64_t offset,
                  uint64_t seed);

// The first argument of Fill and of Check.
std::vector<std::string> WriteMethods();
std::vector<std::string> ReadMethods();

// Sizes are multiples of this.
inline constexpr size_t kBulkChunk = 1 << 20;

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_BULK_H_
