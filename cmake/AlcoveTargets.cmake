# The few shapes a target can have. Each call lists what it needs; nothing is globbed.
include(GoogleTest)

# alcove_library(NAME foo SOURCES a.cc … DEPS alcove::bar …): static library alcove_foo with alias alcove::foo.
function(alcove_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(alcove_${ARG_NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(alcove_${ARG_NAME} PUBLIC ${ARG_DEPS} PRIVATE alcove_options ${ARG_PRIVATE_DEPS})
    target_include_directories(alcove_${ARG_NAME} PUBLIC
      ${CMAKE_SOURCE_DIR})
  else()
    add_library(alcove_${ARG_NAME} INTERFACE)
    target_link_libraries(alcove_${ARG_NAME} INTERFACE ${ARG_DEPS})
    target_include_directories(alcove_${ARG_NAME} INTERFACE
      ${CMAKE_SOURCE_DIR})
  endif()
  add_library(alcove::${ARG_NAME} ALIAS alcove_${ARG_NAME})
endfunction()

# alcove_isa_sources(NAME foo FLAGS "-mavx2;-mfma" SOURCES a_avx2.cc): compiles those files of alcove_foo for one
# instruction set. Such a file must define only functions reached through run-time dispatch, and include no header
# with inline functions other code may share (the linker could keep the wrong copy).
function(alcove_isa_sources)
  cmake_parse_arguments(ARG "" "NAME" "FLAGS;SOURCES" ${ARGN})
  if(ALCOVE_FUZZ)
    # clang takes many minutes to instrument such a file; preset asan instruments them, and inputs choose no path here.
    list(APPEND ARG_FLAGS -fno-sanitize=all)
  endif()
  set_source_files_properties(${ARG_SOURCES} PROPERTIES COMPILE_OPTIONS "${ARG_FLAGS}")
  target_sources(alcove_${ARG_NAME} PRIVATE ${ARG_SOURCES})
endfunction()

# alcove_binary(NAME alcove-foo SOURCES main.cc DEPS …): executable placed in <build>/bin.
function(alcove_binary)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE alcove_options ${ARG_DEPS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  install(TARGETS ${ARG_NAME} RUNTIME DESTINATION bin)
endfunction()

# Instrumented code is several times slower, so its tests may take longer.
function(alcove_sanitized_timeout var)
  if(ALCOVE_SANITIZE)
    math(EXPR longer "${${var}} * 6")
    set(${var} ${longer} PARENT_SCOPE)
  endif()
endfunction()

# alcove_test(NAME foo_test SOURCES foo_test.cc DEPS … [LABELS unit|integration|slow|gpu] [TIMEOUT seconds]).
# One ctest entry per GoogleTest case, so that the run's total counts cases. Needs gmock; supplies main().
function(alcove_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ALCOVE_BUILD_TESTS)
    return()
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  alcove_sanitized_timeout(ARG_TIMEOUT)
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE alcove_options ${ARG_DEPS} $<TARGET_NAME_IF_EXISTS:alcove_testing_paths>
    GTest::gtest GTest::gmock GTest::gmock_main)
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${ARG_NAME}: "
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# alcove_old_processor_test(NAME foo_test [FILTER gtest_filter]): runs that test again on emulated processors without
# AVX and without AVX-512 (their years 2008 and 2013), which must not be led to an instruction they do not have. Needs
# qemu-user; emulation takes some twenty times as long.
find_program(ALCOVE_QEMU qemu-x86_64)
function(alcove_old_processor_test)
  cmake_parse_arguments(ARG "" "NAME;FILTER" "" ${ARGN})
  if(NOT TARGET ${ARG_NAME} OR NOT ALCOVE_QEMU OR ALCOVE_SANITIZE OR NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    return()
  endif()
  if(NOT ARG_FILTER)
    set(ARG_FILTER *)
  endif()
  foreach(processor Nehalem Haswell)
    set(name "${ARG_NAME}: on a ${processor} processor")
    add_test(NAME ${name} COMMAND ${ALCOVE_QEMU} -cpu ${processor} $<TARGET_FILE:${ARG_NAME}> --gtest_filter=${ARG_FILTER})
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300)
  endforeach()
endfunction()

# alcove_benchmark(NAME foo_bench SOURCES foo_bench.cc DEPS …): built only with ALCOVE_BUILD_BENCHMARKS.
function(alcove_benchmark)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  if(NOT ALCOVE_BUILD_BENCHMARKS)
    return()
  endif()
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE alcove_options ${ARG_DEPS} benchmark::benchmark)
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

# alcove_fuzzer(NAME foo_fuzz SOURCES foo_fuzz.cc DEPS … [DEFINITIONS …]): a libFuzzer target; the same file also becomes
# an ordinary test that replays the corpus beside it (corpus/foo_fuzz/*), so that gcc builds check every past finding.
function(alcove_fuzzer)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;DEFINITIONS" ${ARGN})
  if(ALCOVE_FUZZ)
    add_executable(${ARG_NAME} ${ARG_SOURCES})
    target_link_libraries(${ARG_NAME} PRIVATE alcove_options ${ARG_DEPS})
    target_compile_definitions(${ARG_NAME} PRIVATE ${ARG_DEFINITIONS})
    target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    # scripts/fuzz finds the corpus by this line.
    file(APPEND ${CMAKE_BINARY_DIR}/fuzz/corpora "${ARG_NAME} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${ARG_NAME}\n")
    if(NOT TARGET alcove_fuzzers)
      add_custom_target(alcove_fuzzers)
    endif()
    add_dependencies(alcove_fuzzers ${ARG_NAME})
  elseif(ALCOVE_BUILD_TESTS)
    add_executable(${ARG_NAME}_replay ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/cmake/fuzz_replay_main.cc)
    target_link_libraries(${ARG_NAME}_replay PRIVATE alcove_options ${ARG_DEPS})
    target_compile_definitions(${ARG_NAME}_replay PRIVATE ${ARG_DEFINITIONS})
    set_target_properties(${ARG_NAME}_replay PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME "${ARG_NAME}: replays corpus and mutations"
      COMMAND ${ARG_NAME}_replay ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${ARG_NAME})
    set(timeout 120)
    alcove_sanitized_timeout(timeout)
    set_tests_properties("${ARG_NAME}: replays corpus and mutations" PROPERTIES LABELS unit TIMEOUT ${timeout})
  endif()
endfunction()
