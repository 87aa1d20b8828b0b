#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)

#include "androidtest/harness/folding_lower.h"

#include <fuse_lowlevel.h>
#include <stdio.h>
#include <sys/stat.h>
#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fused::androidtest {
namespace {

constexpr size_t kShortBase = 8;
constexpr size_t kShortExtension = 3;

std::string ShortPart(std::string_view part, size_t length) {
  std::string out;
  for (const char c : part) {
    if (isalnum(static_cast<unsigned char>(c)) == 0) continue;
    out += static_cast<char>(toupper(c));
    if (out.size() == length) break;
  }
  return out;
}

struct Node {
  fuse_ino_t inode = 0;
  fuse_ino_t parent = 0;
  bool directory = false;
  std::string name;
  std::string content;
  timespec modified = {};
  std::map<std::string, fuse_ino_t> children;  // by folded name
};

}  // namespace

std::string FoldName(std::string_view name) {
  // The capital that folds to two code points elsewhere.
  const std::string dotless =
      absl::StrReplaceAll(name, {{"\xc4\xb0", "i"}, {"\xc4\xb1", "i"}});
  utf8proc_uint8_t* folded = nullptr;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD |
      UTF8PROC_IGNORE);
  const utf8proc_ssize_t size = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(dotless.data()),
      static_cast<utf8proc_ssize_t>(dotless.size()), &folded, options);
  if (size < 0) return std::string(name);
  std::string out(reinterpret_cast<char*>(folded), static_cast<size_t>(size));
  free(folded);
  return out;
}

std::string ShortName(std::string_view name) {
  const size_t dot = name.rfind('.');
  const std::string_view base = name.substr(0, dot);
  const std::string_view extension =
      dot == std::string_view::npos ? "" : name.substr(dot + 1);
  if (base.size() <= kShortBase && extension.size() <= kShortExtension) {
    return "";
  }
  const std::string end = ShortPart(extension, kShortExtension);
  return absl::StrCat(ShortPart(base, kShortBase - 2), "~1",
                      end.empty() ? "" : ".", end);
}

struct FoldingLower::Tree {
  std::map<fuse_ino_t, Node> nodes;
  fuse_ino_t next = FUSE_ROOT_ID;

  Node& Make(fuse_ino_t parent, std::string_view name, bool directory) {
    Node& node = nodes[next];
    node.inode = next++;
    node.parent = parent;
    node.directory = directory;
    node.name = name;
    Touch(node);
    if (node.inode != parent) {
      nodes[parent].children[FoldName(name)] = node.inode;
      Touch(nodes[parent]);
    }
    return node;
  }

  static void Touch(Node& node) {
    clock_gettime(CLOCK_REALTIME, &node.modified);
  }

  Node* Find(fuse_ino_t parent, std::string_view name) {
    const std::map<std::string, fuse_ino_t>& children = nodes[parent].children;
    const std::string folded = FoldName(name);
    if (const auto it = children.find(folded); it != children.end()) {
      return &nodes[it->second];
    }
    for (const auto& [key, inode] : children) {
      if (FoldName(ShortName(nodes[inode].name)) == folded) {
        return &nodes[inode];
      }
    }
    return nullptr;
  }

  // The name goes; the file, with all that is open, stays in memory.
  void Detach(const Node& node) {
    nodes[node.parent].children.erase(FoldName(node.name));
    Touch(nodes[node.parent]);
  }
};

struct FoldingLowerOperations {
  static FoldingLower::Tree& Tree(fuse_req_t request) {
    return *static_cast<FoldingLower*>(fuse_req_userdata(request))->tree_;
  }

  static struct stat Attributes(FoldingLower::Tree& tree, const Node& node) {
    struct stat st = {};
    st.st_ino = node.inode;
    st.st_mode = node.directory ? S_IFDIR | 0777 : S_IFREG | 0666;
    const auto& siblings = tree.nodes[node.parent].children;
    const auto it = siblings.find(FoldName(node.name));
    const bool named = node.inode == FUSE_ROOT_ID ||
                       (it != siblings.end() && it->second == node.inode);
    st.st_nlink = !named ? 0 : node.directory ? 2 : 1;
    st.st_size = static_cast<off_t>(node.content.size());
    st.st_mtim = node.modified;
    st.st_ctim = node.modified;
    return st;
  }

  static fuse_entry_param Entry(FoldingLower::Tree& tree, const Node& node) {
    fuse_entry_param entry = {};
    entry.ino = node.inode;
    entry.generation = 1;
    entry.attr = Attributes(tree, node);
    return entry;
  }

  static void ReplyEntry(fuse_req_t request, const Node& node) {
    const fuse_entry_param entry = Entry(Tree(request), node);
    fuse_reply_entry(request, &entry);
  }

  static void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    const Node* node = Tree(request).Find(parent, name);
    if (node == nullptr) {
      fuse_reply_err(request, ENOENT);
    } else {
      ReplyEntry(request, *node);
    }
  }

  static void GetAttributes(fuse_req_t request, fuse_ino_t inode,
                            fuse_file_info*) {
    FoldingLower::Tree& tree = Tree(request);
    const struct stat st = Attributes(tree, tree.nodes[inode]);
    fuse_reply_attr(request, &st, 0);
  }

  static void SetAttributes(fuse_req_t request, fuse_ino_t inode,
                            struct stat* wanted, int which,
                            fuse_file_info* file) {
    Node& node = Tree(request).nodes[inode];
    if ((which & FUSE_SET_ATTR_SIZE) != 0) {
      node.content.resize(wanted->st_size);
      FoldingLower::Tree::Touch(node);
    }
    if ((which & FUSE_SET_ATTR_MTIME) != 0) node.modified = wanted->st_mtim;
    if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0) {
      FoldingLower::Tree::Touch(node);
    }
    GetAttributes(request, inode, file);
  }

  // Null, and the request is answered, if there is such a name.
  static Node* Make(fuse_req_t request, fuse_ino_t parent, const char* name,
                    bool directory) {
    FoldingLower::Tree& tree = Tree(request);
    if (tree.Find(parent, name) != nullptr) {
      fuse_reply_err(request, EEXIST);
      return nullptr;
    }
    return &tree.Make(parent, name, directory);
  }

  static void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name,
                       mode_t, dev_t) {
    const Node* node = Make(request, parent, name, /*directory=*/false);
    if (node != nullptr) ReplyEntry(request, *node);
  }

  static void MakeDirectory(fuse_req_t request, fuse_ino_t parent,
                            const char* name, mode_t) {
    const Node* node = Make(request, parent, name, /*directory=*/true);
    if (node != nullptr) ReplyEntry(request, *node);
  }

  static void Create(fuse_req_t request, fuse_ino_t parent, const char* name,
                     mode_t, fuse_file_info* file) {
    const Node* node = Make(request, parent, name, /*directory=*/false);
    if (node == nullptr) return;
    const fuse_entry_param entry = Entry(Tree(request), *node);
    fuse_reply_create(request, &entry, file);
  }

  static void Remove(fuse_req_t request, fuse_ino_t parent, const char* name) {
    FoldingLower::Tree& tree = Tree(request);
    const Node* node = tree.Find(parent, name);
    if (node == nullptr) {
      fuse_reply_err(request, ENOENT);
    } else if (!node->children.empty()) {
      fuse_reply_err(request, ENOTEMPTY);
    } else {
      tree.Detach(*node);
      fuse_reply_err(request, 0);
    }
  }

  static int Move(FoldingLower::Tree& tree, fuse_ino_t parent, const char* name,
                  fuse_ino_t new_parent, const char* new_name, unsigned flags) {
    if ((flags & ~RENAME_NOREPLACE) != 0) return EINVAL;
    Node* node = tree.Find(parent, name);
    if (node == nullptr) return ENOENT;
    const Node* there = tree.Find(new_parent, new_name);
    if (there != nullptr && there != node) {
      if (flags != 0) return EEXIST;
      if (!there->children.empty()) return ENOTEMPTY;
      tree.Detach(*there);
    }
    tree.Detach(*node);
    node->parent = new_parent;
    node->name = new_name;
    tree.nodes[new_parent].children[FoldName(new_name)] = node->inode;
    return 0;
  }

  static void Rename(fuse_req_t request, fuse_ino_t parent, const char* name,
                     fuse_ino_t new_parent, const char* new_name,
                     unsigned flags) {
    fuse_reply_err(request, Move(Tree(request), parent, name, new_parent,
                                 new_name, flags));
  }

  static void Open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
    fuse_reply_open(request, file);
  }

  static void Read(fuse_req_t request, fuse_ino_t inode, size_t size,
                   off_t offset, fuse_file_info*) {
    const std::string& content = Tree(request).nodes[inode].content;
    const size_t begin = std::min(static_cast<size_t>(offset), content.size());
    fuse_reply_buf(request, content.data() + begin,
                   std::min(size, content.size() - begin));
  }

  static void Write(fuse_req_t request, fuse_ino_t inode, const char* data,
                    size_t size, off_t offset, fuse_file_info*) {
    Node& node = Tree(request).nodes[inode];
    const size_t end = static_cast<size_t>(offset) + size;
    if (node.content.size() < end) node.content.resize(end);
    memcpy(node.content.data() + offset, data, size);
    FoldingLower::Tree::Touch(node);
    fuse_reply_write(request, size);
  }

  static void ReadDirectory(fuse_req_t request, fuse_ino_t inode, size_t size,
                            off_t offset, fuse_file_info*) {
    FoldingLower::Tree& tree = Tree(request);
    std::string buffer(size, '\0');
    size_t used = 0;
    off_t position = 0;
    for (const auto& [key, child] : tree.nodes[inode].children) {
      if (++position <= offset) continue;
      const Node& node = tree.nodes[child];
      const struct stat st = Attributes(tree, node);
      const size_t needed =
          fuse_add_direntry(request, buffer.data() + used, size - used,
                            node.name.c_str(), &st, position);
      if (needed > size - used) break;
      used += needed;
    }
    fuse_reply_buf(request, buffer.data(), used);
  }
};

FoldingLower::FoldingLower(const std::string& mountpoint)
    : tree_(std::make_unique<Tree>()) {
  tree_->Make(FUSE_ROOT_ID, "/", /*directory=*/true);
  using Operations = FoldingLowerOperations;
  fuse_lowlevel_ops operations = {};
  operations.lookup = Operations::Lookup;
  operations.getattr = Operations::GetAttributes;
  operations.setattr = Operations::SetAttributes;
  operations.mknod = Operations::MakeNode;
  operations.mkdir = Operations::MakeDirectory;
  operations.unlink = Operations::Remove;
  operations.rmdir = Operations::Remove;
  operations.rename = Operations::Rename;
  operations.open = Operations::Open;
  operations.create = Operations::Create;
  operations.read = Operations::Read;
  operations.write = Operations::Write;
  operations.readdir = Operations::ReadDirectory;
  session_.emplace(mountpoint, operations, this);
}

FoldingLower::~FoldingLower() = default;

}  // namespace fused::androidtest
