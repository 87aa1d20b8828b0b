// Shared objects that are counted within themselves.
#ifndef FUSED_FUSED_REF_H_
#define FUSED_FUSED_REF_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace fused {

// The base of what a Ref shares. Against std::shared_ptr it spares a control
// block for each object and a pointer for each use: where there are a million
// objects, that is a fifth of them.
class RefCounted {
 public:
  RefCounted& operator=(const RefCounted&) = delete;

 protected:
  RefCounted() = default;
  // A copy is another object, which nobody uses yet.
  RefCounted(const RefCounted&) {}
  ~RefCounted() = default;

 private:
  template <typename T>
  friend class Ref;

  mutable std::atomic<uint32_t> uses_{0};
};

// Used as std::shared_ptr is, and as thread-safe. The last one deletes the
// object, by T::Delete() where T has that.
template <typename T>
class Ref {
 public:
  Ref() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): as with a pointer.
  Ref(std::nullptr_t) {}
  // One use more: of an object that was just made, or that others use for as
  // long as this takes.
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) {
      object_->uses_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <typename U>
  requires std::is_convertible_v<U*, T*>
  // NOLINTNEXTLINE(google-explicit-constructor): as with a pointer.
  Ref(Ref<U> other) : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Release(); }

  // Null where the last use of the object is over already: it is then about to
  // be deleted, and is not to be had again. Whoever holds a plain pointer must
  // know by other means that the memory is still there.
  static Ref IfUsed(T* object) {
    uint32_t uses = object->uses_.load(std::memory_order_relaxed);
    Ref ref;
    do {
      if (uses == 0) return ref;
    } while (!object->uses_.compare_exchange_weak(uses, uses + 1,
                                                  std::memory_order_relaxed));
    ref.object_ = object;
    return ref;
  }

  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // As of now, where others use it too.
  uint32_t use_count() const {
    return object_ == nullptr ? 0
                              : object_->uses_.load(std::memory_order_relaxed);
  }

  template <typename U>
  friend bool operator==(const Ref& a, const Ref<U>& b) {
    return a.get() == b.get();
  }
  friend bool operator==(const Ref& ref, std::nullptr_t) {
    return ref.object_ == nullptr;
  }

 private:
  template <typename U>
  friend class Ref;

  void Release() {
    if (object_ == nullptr ||
        object_->uses_.fetch_sub(1, std::memory_order_acq_rel) != 1) {
      return;
    }
    if constexpr (requires { T::Delete(object_); }) {
      T::Delete(object_);
    } else {
      delete object_;
    }
  }

  T* object_ = nullptr;
};

template <typename T, typename... Args>
Ref<T> MakeRef(Args&&... args) {
  return Ref<T>(new T(std::forward<Args>(args)...));
}

}  // namespace fused

#endif  // FUSED_FUSED_REF_H_
