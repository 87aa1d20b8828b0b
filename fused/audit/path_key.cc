#include "fused/audit/path_key.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernel/fd.h"
#include "kernel/status.h"

namespace fused::audit {
namespace {

constexpr size_t kKeySize = 32;
constexpr size_t kShown = 16;

absl::Status Errno(std::string_view what) {
  return kernel::ErrnoStatus(errno, what);
}

}  // namespace

absl::StatusOr<PathKey> PathKey::LoadOrMake(const std::string& file) {
  std::string key(kKeySize + 1, '\0');
  const kernel::Fd old(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (old.valid()) {
    const ssize_t got = read(old.get(), key.data(), key.size());
    if (got < 0) return Errno(file);
    if (got != kKeySize) {
      return absl::DataLossError(absl::StrCat(file, ": no key of 32 bytes"));
    }
    key.resize(kKeySize);
    return PathKey(std::move(key));
  }
  if (errno != ENOENT) return Errno(file);
  key.resize(kKeySize);
  if (getrandom(key.data(), kKeySize, 0) != kKeySize) return Errno("getrandom");
  // Half a key is never found: it has its name when it is whole.
  const std::string fresh = absl::StrCat(file, ".new");
  const kernel::Fd made(
      open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
           0600));
  if (!made.valid()) return Errno(fresh);
  if (write(made.get(), key.data(), kKeySize) != kKeySize ||
      fsync(made.get()) != 0 || rename(fresh.c_str(), file.c_str()) != 0) {
    return Errno(fresh);
  }
  return PathKey(std::move(key));
}

std::string PathKey::Hide(std::string_view path) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
           reinterpret_cast<const unsigned char*>(path.data()), path.size(),
           digest.data(), &size) == nullptr ||
      size < kShown) {
    return "";
  }
  return absl::StrCat(
      "hmac-sha256:",
      absl::BytesToHexString(
          {reinterpret_cast<const char*>(digest.data()), kShown}));
}

}  // namespace fused::audit
