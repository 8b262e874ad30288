#include "tools/alcovectl/private/identity.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/fhe/client/sampler.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::ctl {
namespace {

constexpr size_t kMaxFile = 16 << 20;
constexpr char kSecret[] = "/secret.seal";
constexpr char kParameters[] = "/parameters.seal";
constexpr char kSet[] = "/parameter_set";
constexpr char kKeyId[] = "/key_id";
constexpr char kGroupSecret[] = "/group_secret";  // 64 hexadecimal digits

absl::Status CheckPrivate(const std::string& path, const struct stat& info, absl::string_view advice) {
  if ((info.st_mode & 077) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(path, " can be read by others; run chmod 600 on it", advice));
}

// The folder's, made when there is none.
absl::StatusOr<GroupSecret> LoadGroupSecret(const std::string& folder) {
  const std::string path = folder + kGroupSecret;
  GroupSecret secret{};
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    if (RAND_bytes(secret.data(), static_cast<int>(secret.size())) != 1) {
      return absl::InternalError("the system gave no random numbers");
    }
    const absl::string_view bytes(reinterpret_cast<const char*>(secret.data()), secret.size());
    ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(path, absl::StrCat(absl::BytesToHexString(bytes), "\n"), 0600));
    return secret;
  }
  ALCOVE_RETURN_IF_ERROR(CheckPrivate(path, info, ""));
  ALCOVE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 4096));
  const absl::string_view digits = absl::StripAsciiWhitespace(text);
  const bool sound = digits.size() == 2 * secret.size() &&
                     std::all_of(digits.begin(), digits.end(), [](char c) { return absl::ascii_isxdigit(c); });
  if (!sound) return absl::DataLossError(absl::StrCat(path, " does not hold 64 hexadecimal digits"));
  const std::string bytes = absl::HexStringToBytes(digits);
  std::copy(bytes.begin(), bytes.end(), secret.begin());
  return secret;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Identity>> Identity::Create(const std::string& folder, const std::string& set_name,
                                                           const std::string& seal_parameters) {
  ALCOVE_ASSIGN_OR_RETURN(const auto parameters, fhe::ReadParameters(seal_parameters));
  ALCOVE_RETURN_IF_ERROR(fhe::Validate(parameters.object));
  ALCOVE_ASSIGN_OR_RETURN(auto context, fhe::Context::Create(parameters.object));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(folder, 0700));
  struct stat info;
  if (stat((folder + kSecret).c_str(), &info) == 0) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder, " holds a secret key already; name another folder with --keys, or remove it"));
  }
  fhe::SecretKey secret = fhe::SecretKey::Generate(*context);
  std::string bytes = secret.Write(*context, {kVersion, fhe::Compression::kNone});
  const absl::Status written = WriteFileAtomically(folder + kSecret, bytes, 0600);
  fhe::Wipe(bytes.data(), bytes.size());
  ALCOVE_RETURN_IF_ERROR(written);
  ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(folder + kParameters, seal_parameters, 0600));
  ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(folder + kSet, set_name, 0600));
  std::unique_ptr<Identity> identity(new Identity(folder, std::move(context), std::move(secret)));
  identity->set_name_ = set_name;
  ALCOVE_ASSIGN_OR_RETURN(identity->group_secret_, LoadGroupSecret(folder));
  return identity;
}

absl::StatusOr<std::unique_ptr<Identity>> Identity::Load(const std::string& folder) {
  struct stat info;
  if (stat((folder + kSecret).c_str(), &info) != 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no secret key in ", folder, "; make one with `alcovectl private keygen`"));
  }
  ALCOVE_RETURN_IF_ERROR(CheckPrivate(folder + kSecret, info, " and think about making a new key"));
  ALCOVE_ASSIGN_OR_RETURN(const std::string seal_parameters, ReadFile(folder + kParameters, kMaxFile));
  ALCOVE_ASSIGN_OR_RETURN(const auto parameters, fhe::ReadParameters(seal_parameters));
  ALCOVE_RETURN_IF_ERROR(fhe::Validate(parameters.object));
  ALCOVE_ASSIGN_OR_RETURN(auto context, fhe::Context::Create(parameters.object));
  ALCOVE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(folder + kSecret, kMaxFile));
  auto secret = fhe::SecretKey::Read(bytes, *context);
  fhe::Wipe(bytes.data(), bytes.size());
  if (!secret.ok()) return Annotate(secret.status(), folder + kSecret);
  std::unique_ptr<Identity> identity(new Identity(folder, std::move(context), *std::move(secret)));
  ALCOVE_ASSIGN_OR_RETURN(identity->group_secret_, LoadGroupSecret(folder));
  ALCOVE_ASSIGN_OR_RETURN(identity->set_name_, ReadFile(folder + kSet, 4096));
  if (auto key_id = ReadFile(folder + kKeyId, 4096); key_id.ok()) identity->key_id_ = *std::move(key_id);
  return identity;
}

std::string Identity::EvaluationKeys(const std::vector<uint32_t>& elements) const {
  return fhe::WriteGaloisKeys(fhe::MakeGaloisKeys(*context_, secret_, elements), context_->parameters(),
                              {kVersion, fhe::Compression::kZstd});
}

absl::Status Identity::SetKeyId(const std::string& key_id) {
  ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(folder_ + kKeyId, key_id, 0600));
  key_id_ = key_id;
  return absl::OkStatus();
}

std::string Identity::Encrypt(const std::vector<std::vector<uint64_t>>& parts) const {
  std::string out;
  for (const auto& part : parts) {
    out += fhe::WriteCiphertext(fhe::EncryptSymmetric(*context_, secret_, part), {kVersion, fhe::Compression::kZstd});
  }
  return out;
}

absl::StatusOr<std::vector<uint64_t>> Identity::Decrypt(const std::string& ciphertext) const {
  ALCOVE_ASSIGN_OR_RETURN(const auto read, fhe::ReadCiphertext(ciphertext, context_->parameters()));
  ALCOVE_ASSIGN_OR_RETURN(fhe::Decrypted plain, fhe::Decrypt(*context_, secret_, read.object));
  // Said to this person only; it must never travel back.
  if (plain.noise_budget_bits <= 0)
    return absl::DataLossError("the reply does not decrypt: the server computed wrongly");
  return std::move(plain.coefficients);
}

}  // namespace alcove::ctl
