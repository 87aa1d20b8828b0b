// A sequence that shares what it has in common with the one it was copied from.
#ifndef FUSED_POLICY_CHUNKS_H_
#define FUSED_POLICY_CHUNKS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace fused::policy {

// A copy costs a pointer for each chunk, a change of it one chunk more. Grows
// at its end alone. Thread-compatible; copies may be used on other threads.
template <typename T, size_t kChunk>
class Chunks {
 public:
  Chunks() = default;
  Chunks(const Chunks& other) : chunks_(other.chunks_), size_(other.size_) {}
  Chunks& operator=(const Chunks& other) {
    chunks_ = other.chunks_;
    own_.clear();
    size_ = other.size_;
    return *this;
  }
  Chunks(Chunks&&) noexcept = default;
  Chunks& operator=(Chunks&&) noexcept = default;
  ~Chunks() = default;

  size_t size() const { return size_; }
  const T& operator[](size_t at) const {
    return (*chunks_[at / kChunk])[at % kChunk];
  }
  T& Mutable(size_t at) { return Own(at / kChunk)[at % kChunk]; }
  void push_back(T value) {
    Grow(size_ + 1, T());
    Mutable(size_ - 1) = std::move(value);
  }
  // Never shrinks.
  void Grow(size_t size, const T& value) {
    while (size_ < size) {
      if (size_ % kChunk == 0) {
        own_.resize(chunks_.size());
        chunks_.push_back(std::make_shared<Chunk>());
        own_.push_back(true);
      }
      Mutable(size_++) = value;
    }
  }

  // Whether the chunk with this element is the same one in both.
  bool Shares(const Chunks& other, size_t at) const {
    const size_t chunk = at / kChunk;
    return chunk < chunks_.size() && chunk < other.chunks_.size() &&
           chunks_[chunk] == other.chunks_[chunk];
  }

 private:
  using Chunk = std::array<T, kChunk>;

  Chunk& Own(size_t chunk) {
    own_.resize(chunks_.size());
    if (!own_[chunk]) {
      chunks_[chunk] = std::make_shared<Chunk>(*chunks_[chunk]);
      own_[chunk] = true;
    }
    return *chunks_[chunk];
  }

  std::vector<std::shared_ptr<Chunk>> chunks_;
  // Which chunks nobody else can have yet.
  std::vector<bool> own_;
  size_t size_ = 0;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_CHUNKS_H_
