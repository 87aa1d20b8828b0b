#include "kernel/session_buffer.h"

#include <cstring>
#include <string_view>
#include <utility>

namespace fused::kernel {

Session::Buffer::Buffer() : Buffer(std::make_unique<Impl>()) {}
Session::Buffer::Buffer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Buffer::~Buffer() = default;

std::unique_ptr<Session::Buffer> Session::Buffer::Copy() const {
  const bool aligned = request().opcode == FUSE_WRITE;
  const size_t offset = aligned ? kPage - kWriteHeader : 0;
  auto impl = std::make_unique<Impl>(aligned ? kPage : alignof(max_align_t),
                                     offset + impl_->size, offset);
  std::memcpy(impl->start, impl_->start, impl_->size);
  impl->size = impl_->size;
  return std::unique_ptr<Buffer>(new Buffer(std::move(impl)));
}

size_t Session::Buffer::bytes() const { return impl_->allocated; }

std::unique_ptr<Session::Buffer> Session::Buffer::Empty() {
  return std::unique_ptr<Buffer>(
      new Buffer(std::make_unique<Impl>(Impl::kBorrowed)));
}

void Session::Buffer::Put(std::string_view packet) {
  impl_->start = const_cast<char*>(packet.data());  // only read
  impl_->size = packet.size();
}

RequestId Session::Buffer::request() const {
  if (impl_->size < sizeof(fuse_in_header)) return {};
  fuse_in_header header;
  std::memcpy(&header, impl_->start, sizeof(header));
  return {header.unique, header.opcode, header.uid};
}

}  // namespace fused::kernel
