#include "kernel/packet.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "fuse_kernel.h"

namespace fused::kernel {
namespace {

// What follows the header of a request: `fixed` bytes, then strings.
struct Shape {
  std::string_view name;
  size_t fixed = 0;
  enum class Strings {
    kNone,
    kName,        // one component
    kTwoNames,    // two
    kNameTarget,  // one, then what a symbolic link holds
    kAttribute,   // an attribute's name, not empty
  } strings = Strings::kNone;
};

using Strings = Shape::Strings;

struct ShapeTable {
  std::array<Shape, kOpcodes> shapes;

  constexpr ShapeTable() {
    Set(FUSE_LOOKUP, "LOOKUP", 0, Strings::kName);
    Set(FUSE_FORGET, "FORGET", sizeof(fuse_forget_in));
    Set(FUSE_GETATTR, "GETATTR", sizeof(fuse_getattr_in));
    Set(FUSE_SETATTR, "SETATTR", sizeof(fuse_setattr_in));
    Set(FUSE_READLINK, "READLINK", 0);
    Set(FUSE_SYMLINK, "SYMLINK", 0, Strings::kNameTarget);
    Set(FUSE_MKNOD, "MKNOD", sizeof(fuse_mknod_in), Strings::kName);
    Set(FUSE_MKDIR, "MKDIR", sizeof(fuse_mkdir_in), Strings::kName);
    Set(FUSE_UNLINK, "UNLINK", 0, Strings::kName);
    Set(FUSE_RMDIR, "RMDIR", 0, Strings::kName);
    Set(FUSE_RENAME, "RENAME", sizeof(fuse_rename_in), Strings::kTwoNames);
    Set(FUSE_LINK, "LINK", sizeof(fuse_link_in), Strings::kName);
    Set(FUSE_OPEN, "OPEN", sizeof(fuse_open_in));
    Set(FUSE_READ, "READ", sizeof(fuse_read_in));
    Set(FUSE_WRITE, "WRITE", sizeof(fuse_write_in));
    Set(FUSE_STATFS, "STATFS", 0);
    Set(FUSE_RELEASE, "RELEASE", sizeof(fuse_release_in));
    Set(FUSE_FSYNC, "FSYNC", sizeof(fuse_fsync_in));
    Set(FUSE_SETXATTR, "SETXATTR", FUSE_COMPAT_SETXATTR_IN_SIZE,
        Strings::kAttribute);
    Set(FUSE_GETXATTR, "GETXATTR", sizeof(fuse_getxattr_in),
        Strings::kAttribute);
    Set(FUSE_LISTXATTR, "LISTXATTR", sizeof(fuse_getxattr_in));
    Set(FUSE_REMOVEXATTR, "REMOVEXATTR", 0, Strings::kAttribute);
    Set(FUSE_FLUSH, "FLUSH", sizeof(fuse_flush_in));
    Set(FUSE_INIT, "INIT", offsetof(fuse_init_in, flags2));
    Set(FUSE_OPENDIR, "OPENDIR", sizeof(fuse_open_in));
    Set(FUSE_READDIR, "READDIR", sizeof(fuse_read_in));
    Set(FUSE_RELEASEDIR, "RELEASEDIR", sizeof(fuse_release_in));
    Set(FUSE_FSYNCDIR, "FSYNCDIR", sizeof(fuse_fsync_in));
    Set(FUSE_GETLK, "GETLK", sizeof(fuse_lk_in));
    Set(FUSE_SETLK, "SETLK", sizeof(fuse_lk_in));
    Set(FUSE_SETLKW, "SETLKW", sizeof(fuse_lk_in));
    Set(FUSE_ACCESS, "ACCESS", sizeof(fuse_access_in));
    Set(FUSE_CREATE, "CREATE", sizeof(fuse_create_in), Strings::kName);
    Set(FUSE_INTERRUPT, "INTERRUPT", sizeof(fuse_interrupt_in));
    Set(FUSE_BMAP, "BMAP", sizeof(fuse_bmap_in));
    Set(FUSE_DESTROY, "DESTROY", 0);
    Set(FUSE_IOCTL, "IOCTL", sizeof(fuse_ioctl_in));
    Set(FUSE_POLL, "POLL", sizeof(fuse_poll_in));
    Set(FUSE_NOTIFY_REPLY, "NOTIFY_REPLY", 0);
    Set(FUSE_BATCH_FORGET, "BATCH_FORGET", sizeof(fuse_batch_forget_in));
    Set(FUSE_FALLOCATE, "FALLOCATE", sizeof(fuse_fallocate_in));
    Set(FUSE_READDIRPLUS, "READDIRPLUS", sizeof(fuse_read_in));
    Set(FUSE_RENAME2, "RENAME2", sizeof(fuse_rename2_in), Strings::kTwoNames);
    Set(FUSE_LSEEK, "LSEEK", sizeof(fuse_lseek_in));
    Set(FUSE_COPY_FILE_RANGE, "COPY_FILE_RANGE",
        sizeof(fuse_copy_file_range_in));
    Set(FUSE_SETUPMAPPING, "SETUPMAPPING", 0);
    Set(FUSE_REMOVEMAPPING, "REMOVEMAPPING", 0);
    Set(FUSE_SYNCFS, "SYNCFS", 0);
    Set(FUSE_TMPFILE, "TMPFILE", sizeof(fuse_create_in));
    Set(FUSE_STATX, "STATX", sizeof(fuse_statx_in));
    Set(FUSE_COPY_FILE_RANGE_64, "COPY_FILE_RANGE_64",
        sizeof(fuse_copy_file_range_in));
  }

  constexpr void Set(uint32_t opcode, std::string_view name, size_t fixed,
                     Strings strings = Strings::kNone) {
    shapes[opcode].name = name;
    shapes[opcode].fixed = fixed;
    shapes[opcode].strings = strings;
  }
};

constexpr ShapeTable kShapes;

constexpr std::string_view kUnknown[] = {
    "OPCODE_0",  "OPCODE_1",  "OPCODE_2",  "OPCODE_3",  "OPCODE_4",
    "OPCODE_5",  "OPCODE_6",  "OPCODE_7",  "OPCODE_8",  "OPCODE_9",
    "OPCODE_10", "OPCODE_11", "OPCODE_12", "OPCODE_13", "OPCODE_14",
    "OPCODE_15", "OPCODE_16", "OPCODE_17", "OPCODE_18", "OPCODE_19",
    "OPCODE_20", "OPCODE_21", "OPCODE_22", "OPCODE_23", "OPCODE_24",
    "OPCODE_25", "OPCODE_26", "OPCODE_27", "OPCODE_28", "OPCODE_29",
    "OPCODE_30", "OPCODE_31", "OPCODE_32", "OPCODE_33", "OPCODE_34",
    "OPCODE_35", "OPCODE_36", "OPCODE_37", "OPCODE_38", "OPCODE_39",
    "OPCODE_40", "OPCODE_41", "OPCODE_42", "OPCODE_43", "OPCODE_44",
    "OPCODE_45", "OPCODE_46", "OPCODE_47", "OPCODE_48", "OPCODE_49",
    "OPCODE_50", "OPCODE_51", "OPCODE_52", "OPCODE_53", "OPCODE_54",
    "OPCODE_55", "OPCODE_56", "OPCODE_57", "OPCODE_58", "OPCODE_59",
    "OPCODE_60", "OPCODE_61", "OPCODE_62", "OPCODE_63"};
static_assert(sizeof(kUnknown) / sizeof(kUnknown[0]) == kOpcodes);

constexpr PacketVerdict kPass = {PacketVerdict::Kind::kPass, 0};
constexpr PacketVerdict kDrop = {PacketVerdict::Kind::kDrop, 0};

PacketVerdict Refuse(int error) {
  return {PacketVerdict::Kind::kRefuse, error};
}

template <typename T>
T ReadAs(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

// Takes the terminated string off the front of `bytes`.
bool TakeString(std::string_view* bytes, std::string_view* text) {
  const size_t end = bytes->find('\0');
  if (end == std::string_view::npos || end == 0) return false;
  *text = bytes->substr(0, end);
  bytes->remove_prefix(end + 1);
  return true;
}

bool TakeName(std::string_view* bytes, std::string_view* name) {
  return TakeString(bytes, name) && name->find('/') == std::string_view::npos;
}

bool IsDots(std::string_view name) { return name == "." || name == ".."; }

// `rest` is what follows the fixed part; left behind: what follows the strings.
PacketVerdict CheckStrings(uint32_t opcode, Strings strings, bool exported,
                           std::string_view* rest) {
  std::string_view name;
  switch (strings) {
    case Strings::kNone:
      return kPass;
    case Strings::kName:
      if (!TakeName(rest, &name)) return Refuse(EINVAL);
      if (!IsDots(name)) return kPass;
      if (opcode != FUSE_LOOKUP) return Refuse(EINVAL);
      return exported ? kPass : Refuse(ESTALE);
    case Strings::kTwoNames:
      for (int i = 0; i < 2; ++i) {
        if (!TakeName(rest, &name) || IsDots(name)) return Refuse(EINVAL);
      }
      return kPass;
    case Strings::kNameTarget:
      if (!TakeName(rest, &name) || IsDots(name)) return Refuse(EINVAL);
      return TakeString(rest, &name) ? kPass : Refuse(EINVAL);
    case Strings::kAttribute:
      return TakeString(rest, &name) ? kPass : Refuse(EINVAL);
  }
  return Refuse(EINVAL);
}

PacketVerdict CheckLock(const fuse_lk_in& in) {
  constexpr uint64_t kMaxOffset = INT64_MAX;
  const bool type =
      in.lk.type == F_RDLCK || in.lk.type == F_WRLCK || in.lk.type == F_UNLCK;
  if (!type || in.lk.start > in.lk.end || in.lk.end > kMaxOffset) {
    return Refuse(EINVAL);
  }
  return kPass;
}

// Counts and sizes. `fixed` is the fixed part, `rest` what follows the strings.
PacketVerdict CheckSizes(uint32_t opcode, std::string_view fixed,
                         std::string_view rest) {
  switch (opcode) {
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return ReadAs<fuse_read_in>(fixed).size > kMaxTransfer ? Refuse(EINVAL)
                                                             : kPass;
    case FUSE_WRITE:
      return ReadAs<fuse_write_in>(fixed).size > rest.size() ? Refuse(EINVAL)
                                                             : kPass;
    case FUSE_SETXATTR:
      return ReadAs<uint32_t>(fixed) > rest.size() ? Refuse(EINVAL) : kPass;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
      return ReadAs<fuse_getxattr_in>(fixed).size > kMaxTransfer
                 ? Refuse(EINVAL)
                 : kPass;
    case FUSE_IOCTL: {
      const auto in = ReadAs<fuse_ioctl_in>(fixed);
      return in.in_size > rest.size() || in.out_size > kMaxTransfer
                 ? Refuse(EINVAL)
                 : kPass;
    }
    case FUSE_BATCH_FORGET: {
      const size_t held = rest.size() / sizeof(fuse_forget_one);
      return ReadAs<fuse_batch_forget_in>(fixed).count > held ? kDrop : kPass;
    }
    case FUSE_GETLK:
    case FUSE_SETLK:
    case FUSE_SETLKW:
      return CheckLock(ReadAs<fuse_lk_in>(fixed));
    case FUSE_INIT: {
      const auto flags =
          ReadAs<uint32_t>(fixed.substr(offsetof(fuse_init_in, flags)));
      const bool complete = fixed.size() + rest.size() >= sizeof(fuse_init_in);
      return (flags & FUSE_INIT_EXT) != 0 && !complete ? Refuse(EINVAL) : kPass;
    }
    default:
      return kPass;
  }
}

bool HasNoAnswer(uint32_t opcode) {
  return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
         opcode == FUSE_INTERRUPT || opcode == FUSE_NOTIFY_REPLY;
}

}  // namespace

std::string_view OpcodeName(uint32_t opcode) {
  if (opcode >= kOpcodes) return "OPCODE_?";
  const std::string_view name = kShapes.shapes[opcode].name;
  return name.empty() ? kUnknown[opcode] : name;
}

PacketVerdict CheckPacket(std::string_view packet, bool exported) {
  if (packet.size() < sizeof(fuse_in_header)) return kDrop;
  const auto header = ReadAs<fuse_in_header>(packet);
  const PacketVerdict malformed =
      HasNoAnswer(header.opcode) ? kDrop : Refuse(EINVAL);
  if (header.len != packet.size()) return malformed;
  // Nothing was ever asked of the kernel that it would reply to so.
  if (header.opcode == FUSE_NOTIFY_REPLY) return kDrop;
  if (header.opcode >= kOpcodes || kShapes.shapes[header.opcode].name.empty()) {
    return Refuse(ENOSYS);
  }
  const Shape& shape = kShapes.shapes[header.opcode];
  std::string_view rest = packet.substr(sizeof(fuse_in_header));
  if (rest.size() < shape.fixed) return malformed;
  const std::string_view fixed = rest.substr(0, shape.fixed);
  rest.remove_prefix(shape.fixed);
  const PacketVerdict strings =
      CheckStrings(header.opcode, shape.strings, exported, &rest);
  if (strings.kind != PacketVerdict::Kind::kPass) return strings;
  return CheckSizes(header.opcode, fixed, rest);
}

}  // namespace fused::kernel
