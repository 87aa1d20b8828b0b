// Counts the instructions that a part of a program takes, without a processor
// that counts and without an emulator: by single steps.
#ifndef FUSED_FUSED_INSTRUCTION_COUNT_H_
#define FUSED_FUSED_INSTRUCTION_COUNT_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace fused {

// What is between them is counted. A system call is one instruction, and so is
// one that is served by what the kernel lends (vdso(7)).
void BeginCounting();
void EndCounting();

// Runs `run` in a child process and gives the instructions that it took there
// between BeginCounting() and EndCounting(), all times together. Slow: each
// instruction of `run` is a stop. With one thread only. `places`: by address,
// how often the instruction there was counted.
using InstructionPlaces = absl::flat_hash_map<uint64_t, uint64_t>;
absl::StatusOr<uint64_t> CountInstructions(absl::FunctionRef<void()> run,
                                           InstructionPlaces* places = nullptr);

}  // namespace fused

#endif  // FUSED_FUSED_INSTRUCTION_COUNT_H_
