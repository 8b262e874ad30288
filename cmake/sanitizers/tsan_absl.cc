// Tells ThreadSanitizer about absl::Mutex and what is built on it.
//
// Debian's Abseil is not instrumented, so ThreadSanitizer sees neither its locks nor the order they make, and would
// report every access they guard. These definitions stand before those of the shared library, for our code and for gRPC
// alike, and wrap each in the annotations that an instrumented Abseil would have made. Linked into every program of the
// tsan preset; the code under test is not changed.
//
// The range between a "pre" and a "post" annotation is not checked, which is what Abseil's own inside needs.
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

using absl::Condition;
using absl::CondVar;
using absl::Mutex;

constexpr unsigned kExclusive = 0;
constexpr unsigned kShared = __tsan_mutex_read_lock;
constexpr unsigned kTry = __tsan_mutex_try_lock;
constexpr unsigned kFailed = __tsan_mutex_try_lock_failed;

// Abseil's functions call one another; only the outermost is annotated.
thread_local int depth = 0;

struct Outermost {
  Outermost() : outer(depth++ == 0) {}
  ~Outermost() { --depth; }
  explicit operator bool() const { return outer; }
  bool outer;
};

void* Find(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) {
    std::fprintf(stderr, "tsan_absl.cc: %s is not in the Abseil this runs with\n", name);
    std::abort();
  }
  return found;
}

// A member function of the shared library by its mangled name: on this ABI it takes the object first.
#define ALCOVE_REAL(name, result, ...)           \
  reinterpret_cast<result (*)(__VA_ARGS__)>([] { \
    static void* const found = Find(name);       \
    return found;                                \
  }())

// The first word of a Mutex says how it is held (kMuWriter in mutex.cc); it does not change while the caller holds it.
unsigned HeldHow(const Mutex* mutex) {
  constexpr intptr_t kWriter = 0x8;
  const intptr_t word = __atomic_load_n(reinterpret_cast<const intptr_t*>(mutex), __ATOMIC_RELAXED);
  return (word & kWriter) != 0 ? kExclusive : kShared;
}

// A wait gives the mutex up and takes it again; `wait` does both.
template <typename Wait>
auto GiveUpAndTakeAgain(Mutex* mutex, const Wait& wait) {
  const unsigned how = HeldHow(mutex);
  __tsan_mutex_pre_unlock(mutex, how);
  __tsan_mutex_post_unlock(mutex, how);
  __tsan_mutex_pre_lock(mutex, how);
  const auto result = wait();
  __tsan_mutex_post_lock(mutex, how, 0);
  return result;
}

template <typename Take>
auto TakeIt(Mutex* mutex, unsigned how, const Take& take) {
  __tsan_mutex_pre_lock(mutex, how);
  const auto result = take();
  __tsan_mutex_post_lock(mutex, how, 0);
  return result;
}

template <typename Take>
bool TryToTake(Mutex* mutex, unsigned how, const Take& take) {
  __tsan_mutex_pre_lock(mutex, how | kTry);
  const bool taken = take();
  __tsan_mutex_post_lock(mutex, how | kTry | (taken ? 0 : kFailed), 0);
  return taken;
}

}  // namespace

// debian3 is the name of Abseil's inline namespace in Debian 12.
#define ALCOVE_MUTEX(method) "_ZN4absl7debian35Mutex" method

namespace absl {
inline namespace debian3 {

Mutex::~Mutex() {
  ALCOVE_REAL(ALCOVE_MUTEX("D1Ev"), void, Mutex*)(this);
  __tsan_mutex_destroy(this, __tsan_mutex_not_static);
}

void Mutex::Lock() {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("4LockEv"), void, Mutex*);
  const Outermost outermost;
  if (!outermost) return real(this);
  TakeIt(this, kExclusive, [&] { return real(this), true; });
}

void Mutex::Unlock() {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("6UnlockEv"), void, Mutex*);
  const Outermost outermost;
  if (!outermost) return real(this);
  __tsan_mutex_pre_unlock(this, kExclusive);
  real(this);
  __tsan_mutex_post_unlock(this, kExclusive);
}

bool Mutex::TryLock() {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("7TryLockEv"), bool, Mutex*);
  const Outermost outermost;
  return outermost ? TryToTake(this, kExclusive, [&] { return real(this); }) : real(this);
}

void Mutex::ReaderLock() {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("10ReaderLockEv"), void, Mutex*);
  const Outermost outermost;
  if (!outermost) return real(this);
  TakeIt(this, kShared, [&] { return real(this), true; });
}

void Mutex::ReaderUnlock() {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("12ReaderUnlockEv"), void, Mutex*);
  const Outermost outermost;
  if (!outermost) return real(this);
  __tsan_mutex_pre_unlock(this, kShared);
  real(this);
  __tsan_mutex_post_unlock(this, kShared);
}

bool Mutex::ReaderTryLock() {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("13ReaderTryLockEv"), bool, Mutex*);
  const Outermost outermost;
  return outermost ? TryToTake(this, kShared, [&] { return real(this); }) : real(this);
}

void Mutex::LockWhen(const Condition& cond) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("8LockWhenERKNS0_9ConditionE"), void, Mutex*, const Condition&);
  const Outermost outermost;
  if (!outermost) return real(this, cond);
  TakeIt(this, kExclusive, [&] { return real(this, cond), true; });
}

void Mutex::ReaderLockWhen(const Condition& cond) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("14ReaderLockWhenERKNS0_9ConditionE"), void, Mutex*, const Condition&);
  const Outermost outermost;
  if (!outermost) return real(this, cond);
  TakeIt(this, kShared, [&] { return real(this, cond), true; });
}

bool Mutex::LockWhenWithTimeout(const Condition& cond, Duration timeout) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE"), bool, Mutex*,
                                const Condition&, Duration);
  const Outermost outermost;
  if (!outermost) return real(this, cond, timeout);
  return TakeIt(this, kExclusive, [&] { return real(this, cond, timeout); });
}

bool Mutex::LockWhenWithDeadline(const Condition& cond, Time deadline) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE"), bool, Mutex*,
                                const Condition&, Time);
  const Outermost outermost;
  if (!outermost) return real(this, cond, deadline);
  return TakeIt(this, kExclusive, [&] { return real(this, cond, deadline); });
}

void Mutex::Await(const Condition& cond) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("5AwaitERKNS0_9ConditionE"), void, Mutex*, const Condition&);
  const Outermost outermost;
  if (!outermost) return real(this, cond);
  GiveUpAndTakeAgain(this, [&] { return real(this, cond), true; });
}

bool Mutex::AwaitWithTimeout(const Condition& cond, Duration timeout) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"), bool, Mutex*,
                                const Condition&, Duration);
  const Outermost outermost;
  if (!outermost) return real(this, cond, timeout);
  return GiveUpAndTakeAgain(this, [&] { return real(this, cond, timeout); });
}

bool Mutex::AwaitWithDeadline(const Condition& cond, Time deadline) {
  const auto real = ALCOVE_REAL(ALCOVE_MUTEX("17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"), bool, Mutex*,
                                const Condition&, Time);
  const Outermost outermost;
  if (!outermost) return real(this, cond, deadline);
  return GiveUpAndTakeAgain(this, [&] { return real(this, cond, deadline); });
}

void CondVar::Wait(Mutex* mutex) {
  const auto real = ALCOVE_REAL("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", void, CondVar*, Mutex*);
  const Outermost outermost;
  if (!outermost) return real(this, mutex);
  GiveUpAndTakeAgain(mutex, [&] { return real(this, mutex), true; });
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  const auto real = ALCOVE_REAL("_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", bool, CondVar*,
                                Mutex*, Duration);
  const Outermost outermost;
  if (!outermost) return real(this, mutex, timeout);
  return GiveUpAndTakeAgain(mutex, [&] { return real(this, mutex, timeout); });
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  const auto real =
      ALCOVE_REAL("_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", bool, CondVar*, Mutex*, Time);
  const Outermost outermost;
  if (!outermost) return real(this, mutex, deadline);
  return GiveUpAndTakeAgain(mutex, [&] { return real(this, mutex, deadline); });
}

// A notification that has come already is seen without its lock, by an atomic flag.
#define ALCOVE_NOTIFICATION(kind, method) "_ZN" kind "4absl7debian312Notification" method

void Notification::Notify() {
  const auto real = ALCOVE_REAL(ALCOVE_NOTIFICATION("", "6NotifyEv"), void, Notification*);
  __tsan_release(this);
  real(this);
}

void Notification::WaitForNotification() const {
  const auto real = ALCOVE_REAL(ALCOVE_NOTIFICATION("K", "19WaitForNotificationEv"), void, const Notification*);
  real(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(absl::Duration timeout) const {
  const auto real = ALCOVE_REAL(ALCOVE_NOTIFICATION("K", "30WaitForNotificationWithTimeoutENS0_8DurationE"), bool,
                                const Notification*, absl::Duration);
  const bool notified = real(this, timeout);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(absl::Time deadline) const {
  const auto real = ALCOVE_REAL(ALCOVE_NOTIFICATION("K", "31WaitForNotificationWithDeadlineENS0_4TimeE"), bool,
                                const Notification*, absl::Time);
  const bool notified = real(this, deadline);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

}  // namespace debian3
}  // namespace absl
