# alcove_embed(OUT var SYMBOL name FILE path): makes a .cc that defines
#   namespace alcove::gateway { extern const std::string_view <name>; }
# holding the bytes of the file, and puts its path into `var`. As a script (-P) it does the work at build time.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${INPUT}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
  file(WRITE "${OUTPUT}" "#include <string_view>

namespace alcove::gateway {
namespace {
constexpr unsigned char kBytes[] = {
${bytes}0x00};
}  // namespace
extern const std::string_view ${SYMBOL};
const std::string_view ${SYMBOL}(reinterpret_cast<const char*>(kBytes), sizeof(kBytes) - 1);
}  // namespace alcove::gateway
")
  return()
endif()

set(ALCOVE_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(alcove_embed)
  cmake_parse_arguments(ARG "" "OUT;SYMBOL;FILE" "" ${ARGN})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${ARG_SYMBOL}.cc)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${ARG_FILE} -DOUTPUT=${output} -DSYMBOL=${ARG_SYMBOL} -P ${ALCOVE_EMBED_SCRIPT}
    DEPENDS ${ARG_FILE} ${ALCOVE_EMBED_SCRIPT} VERBATIM)
  set(${ARG_OUT} ${output} PARENT_SCOPE)
endfunction()

# The same for large files, by the assembler: alcove_embed_large(OUT var SYMBOL name FILE path).
function(alcove_embed_large)
  cmake_parse_arguments(ARG "" "OUT;SYMBOL;FILE" "" ${ARGN})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${ARG_SYMBOL}.cc)
  file(GENERATE OUTPUT ${output} CONTENT "#include <string_view>

asm(\".section .rodata\\n${ARG_SYMBOL}Begin:\\n.incbin \\\"${ARG_FILE}\\\"\\n${ARG_SYMBOL}End:\\n.byte 0\\n.previous\\n\");
extern const char k_begin[] asm(\"${ARG_SYMBOL}Begin\");
extern const char k_end[] asm(\"${ARG_SYMBOL}End\");

namespace alcove::gateway {
extern const std::string_view ${ARG_SYMBOL};
const std::string_view ${ARG_SYMBOL}(k_begin, static_cast<size_t>(k_end - k_begin));
}  // namespace alcove::gateway
")
  set_property(SOURCE ${output} APPEND PROPERTY OBJECT_DEPENDS ${ARG_FILE})
  set(${ARG_OUT} ${output} PARENT_SCOPE)
endfunction()
