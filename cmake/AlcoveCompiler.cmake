# Compiler and linker settings every target shares. Binaries are portable: no -march=native. Code for newer
# instruction sets lives in files of its own, compiled with alcove_isa_sources() and chosen at run time.
add_library(alcove_options INTERFACE)
target_compile_options(alcove_options INTERFACE
  -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
  $<$<BOOL:${ALCOVE_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-psabi>
  -fno-omit-frame-pointer -fstack-protector-strong)
# Abseil's flat hash maps read and write their slots as pair<K, V> and pair<const K, V> by turns; g++ 12 at -O2 reorders
# such accesses and loses updates (seen as wrong evictions in services/cache). The cost is not measurable.
target_compile_options(alcove_options INTERFACE -fno-strict-aliasing)
target_include_directories(alcove_options INTERFACE ${CMAKE_SOURCE_DIR})
# -g1 keeps line numbers for profiles and crash reports at a third of the compile and link cost of -g.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1" CACHE STRING "" FORCE)

if(ALCOVE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  file(REMOVE ${CMAKE_BINARY_DIR}/fuzz/corpora)
endif()

find_program(ALCOVE_MOLD mold)
if(ALCOVE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
add_link_options(-Wl,-z,relro,-z,now -pthread)

if(ALCOVE_SANITIZE)
  # -O1 halves the compile time of instrumented code and keeps its stacks readable; libstdc++'s own assertions catch what
  # stays inside an allocation.
  add_compile_options(-fsanitize=${ALCOVE_SANITIZE} -fno-sanitize-recover=all -O1)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=${ALCOVE_SANITIZE})
  # clang 14 puts the types it checks calls against before each function, which it cannot do for coroutines.
  add_compile_options($<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
  # Every program carries the sanitizers' settings, and for ThreadSanitizer what it must know about Abseil.
  add_library(alcove_sanitizer OBJECT ${CMAKE_SOURCE_DIR}/cmake/sanitizers/defaults.cc)
  if(ALCOVE_SANITIZE MATCHES "thread")
    # Standalone fences are invisible to ThreadSanitizer; the code that uses them is annotated where it matters.
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
    target_sources(alcove_sanitizer PRIVATE ${CMAKE_SOURCE_DIR}/cmake/sanitizers/tsan_absl.cc)
    include_directories(BEFORE SYSTEM ${CMAKE_SOURCE_DIR}/cmake/sanitizers/include)
    target_link_options(alcove_options INTERFACE -rdynamic)
  endif()
  target_link_libraries(alcove_options INTERFACE
    $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:$<TARGET_OBJECTS:alcove_sanitizer>>)
endif()
