# Every outside library, found once. Names of the imported targets are what rooms link to.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf REQUIRED)          # module mode: Debian ships no config package
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(simdjson CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
pkg_check_modules(HIREDIS REQUIRED IMPORTED_TARGET hiredis)
pkg_check_modules(PQXX REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# Boost.Asio and Boost.Beast are header-only; Boost.URL and Boost.System are small libraries beside them.
find_package(Boost 1.81 REQUIRED COMPONENTS system url)
add_library(alcove_asio INTERFACE)
target_link_libraries(alcove_asio INTERFACE Boost::headers Boost::system Boost::url OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
target_compile_definitions(alcove_asio INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_VISIBILITY)
add_library(alcove::asio ALIAS alcove_asio)

# google/api/*.proto and google/rpc/*.proto come with grpc-gateway's package.
find_path(ALCOVE_GOOGLEAPIS_DIR google/api/annotations.proto
  PATHS /usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis REQUIRED NO_DEFAULT_PATH)
# grpc/health/v1 and grpc/reflection/v1 come with grpc-proto.
find_path(ALCOVE_GRPC_PROTO_DIR grpc/reflection/v1/reflection.proto PATHS /usr/share/grpc-proto REQUIRED NO_DEFAULT_PATH)

if(ALCOVE_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(ALCOVE_BUILD_BENCHMARKS OR ALCOVE_BUILD_TESTS)
  find_package(benchmark QUIET)
endif()
