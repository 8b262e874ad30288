#include "libs/fhe/wire/compress.h"

#include <algorithm>
#include <memory>

#include <absl/strings/str_cat.h>
#include <zlib.h>
#include <zstd.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

constexpr size_t kChunk = size_t{64} << 10;
constexpr int kZstdWindowLog = 23;

// Grows `out` so that at least one more byte fits, up to one byte past the limit: that byte proves the stream too
// large.
void Grow(std::string& out, size_t used, size_t max_bytes) {
  if (used < out.size()) return;
  const size_t cap = max_bytes + 1;
  out.resize(std::min(cap, std::max(kChunk, out.size() * 2)));
}

absl::Status TooLarge(size_t max_bytes) {
  return FaultError(Fault::kTooLarge, absl::StrCat("the object expands to more than ", max_bytes, " bytes"));
}

}  // namespace

absl::StatusOr<std::string> ZlibDecompress(absl::string_view in, size_t max_bytes) {
  z_stream z{};
  if (inflateInit(&z) != Z_OK) return absl::ResourceExhaustedError("zlib: out of memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, &inflateEnd);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  size_t fed = 0;
  size_t used = 0;
  std::string out;
  for (;;) {
    Grow(out, used, max_bytes);
    if (used > max_bytes) return TooLarge(max_bytes);
    if (z.avail_in == 0 && fed < in.size()) {
      const size_t take = std::min<size_t>(in.size() - fed, 1u << 30);
      z.avail_in = static_cast<uInt>(take);
      fed += take;
    }
    const size_t space = std::min<size_t>(out.size() - used, 1u << 30);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    z.avail_out = static_cast<uInt>(space);
    const int code = inflate(&z, Z_NO_FLUSH);
    used += space - z.avail_out;
    if (used > max_bytes) return TooLarge(max_bytes);
    if (code == Z_STREAM_END) break;
    if (code == Z_OK) continue;
    if (code == Z_BUF_ERROR && z.avail_in == 0 && fed == in.size()) {
      return FaultError(Fault::kTruncated, "the zlib stream ends early");
    }
    return FaultError(Fault::kBadCompressedData, "damaged zlib stream");
  }
  if (z.avail_in != 0 || fed != in.size()) return FaultError(Fault::kTrailingBytes, "bytes after the zlib stream");
  out.resize(used);
  return out;
}

std::string ZlibCompress(absl::string_view in) {
  uLongf size = compressBound(in.size());
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(in.data()), in.size(),
            Z_DEFAULT_COMPRESSION);
  out.resize(size);
  return out;
}

absl::StatusOr<std::string> ZstdDecompress(absl::string_view in, size_t max_bytes) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> ctx(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  if (ctx == nullptr) return absl::ResourceExhaustedError("zstd: out of memory");
  ZSTD_DCtx_setParameter(ctx.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  std::string out;
  size_t used = 0;
  for (;;) {
    Grow(out, used, max_bytes);
    ZSTD_outBuffer output{out.data(), out.size(), used};
    const size_t before = input.pos;
    const size_t code = ZSTD_decompressStream(ctx.get(), &output, &input);
    if (ZSTD_isError(code)) return FaultError(Fault::kBadCompressedData, "damaged zstd frame");
    const bool progress = output.pos != used || input.pos != before;
    used = output.pos;
    if (used > max_bytes) return TooLarge(max_bytes);
    if (code == 0) break;
    if (!progress && input.pos == in.size()) return FaultError(Fault::kTruncated, "the zstd frame ends early");
  }
  if (input.pos != in.size()) return FaultError(Fault::kTrailingBytes, "bytes after the zstd frame");
  out.resize(used);
  return out;
}

std::string ZstdCompress(absl::string_view in) {
  std::string out(ZSTD_compressBound(in.size()), '\0');
  // One-shot compression records the content size and picks a window no larger than it. Level 3 caps it at 2 MiB.
  const size_t size = ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3);
  out.resize(ZSTD_isError(size) ? 0 : size);
  return out;
}

}  // namespace alcove::fhe
