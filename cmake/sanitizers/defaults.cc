// How the sanitizers behave in every program of the asan and tsan presets, wherever it is started from. What the
// environment says (ASAN_OPTIONS …) comes on top. Suppressions name other people's code only, each with its reason.

extern "C" {

// Not detect_stack_use_after_return: GCC 12 misaligns what is aligned to 64 bytes on the stacks that option makes (GCC
// bug 110027).
const char* __asan_default_options() { return ""; }

const char* __ubsan_default_options() { return "print_stacktrace=1"; }

// libpqxx 6.4 loses the result of a statement during which the server dies (216 bytes and what it holds).
const char* __lsan_default_suppressions() { return "leak:libpqxx-6.4.so\n"; }

const char* __tsan_default_options() {
  // Debian's gRPC, protobuf, SQLite and the like are not instrumented: what they read and write is not checked, since
  // the order they establish among themselves is not seen either.
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1";
}

// gRPC hands a callback to the thread that runs it through lock-free queues that are not seen: what the callback refers
// to was made before the call began.
const char* __tsan_default_suppressions() { return "race:grpc::internal::CatchingCallback\n"; }

}  // extern "C"
