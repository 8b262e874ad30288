// Tokenizer::FromFolder and FromJson: the two file forms a BERT tokenizer comes in.
#include <filesystem>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/status.h"
#include "services/inference/model/json.h"
#include "services/inference/model/mapped_file.h"
#include "services/inference/model/tokenizer.h"

namespace alcove::inference {
namespace {

constexpr int64_t kMaxTokenId = 4'000'000;
constexpr size_t kMaxAddedTokens = 4096;

absl::Status Unsupported(absl::string_view name, absl::string_view what, absl::string_view type,
                         absl::string_view known) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", what, " \"", type, "\" is not supported; supported: ", known));
}

absl::StatusOr<std::vector<std::string>> ReadVocabulary(const JsonObject& vocab) {
  std::vector<std::string> vocabulary;
  for (const simdjson::dom::key_value_pair& field : vocab.fields()) {
    int64_t id = 0;
    if (field.value.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
      return absl::InvalidArgumentError(
          absl::StrCat(vocab.name(), ": token \"", View(field.key), "\" has no id of 0..", kMaxTokenId));
    }
    if (static_cast<size_t>(id) >= vocabulary.size()) vocabulary.resize(id + 1);
    vocabulary[id] = std::string(field.key);
  }
  return vocabulary;
}

absl::StatusOr<WordPieceOptions> ReadWordPiece(const JsonObject& model) {
  WordPieceOptions options;
  ALCOVE_ASSIGN_OR_RETURN(std::optional<std::string> unknown, model.String("unk_token"));
  ALCOVE_ASSIGN_OR_RETURN(std::optional<std::string> prefix, model.String("continuing_subword_prefix"));
  ALCOVE_ASSIGN_OR_RETURN(std::optional<int64_t> max_chars, model.Int("max_input_chars_per_word"));
  if (unknown) options.unknown_token = *std::move(unknown);
  if (prefix) options.continuing_prefix = *std::move(prefix);
  if (max_chars) {
    if (*max_chars < 1) {
      return absl::InvalidArgumentError(absl::StrCat(model.name(), ": max_input_chars_per_word is not positive"));
    }
    options.max_chars_per_word = static_cast<size_t>(*max_chars);
  }
  return options;
}

absl::StatusOr<BertNormalizerOptions> ReadNormalizer(const JsonObject& object) {
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> type, object.String("type"));
  if (type.value_or("") != "BertNormalizer") {
    return Unsupported(object.name(), "normalizer", type.value_or(""), "BertNormalizer");
  }
  BertNormalizerOptions options;
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> clean, object.Bool("clean_text"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> chinese, object.Bool("handle_chinese_chars"));
  ALCOVE_ASSIGN_OR_RETURN(options.strip_accents, object.Bool("strip_accents"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> lowercase, object.Bool("lowercase"));
  options.clean_text = clean.value_or(true);
  options.handle_chinese_chars = chinese.value_or(true);
  options.lowercase = lowercase.value_or(true);
  return options;
}

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(simdjson::dom::array array, const std::string& name) {
  std::vector<AddedToken> tokens;
  for (const simdjson::dom::element& element : array) {
    if (tokens.size() == kMaxAddedTokens) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": more than ", kMaxAddedTokens, " added tokens"));
    }
    ALCOVE_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(element, absl::StrCat(name, ": added_tokens")));
    AddedToken token;
    ALCOVE_ASSIGN_OR_RETURN(const int64_t id, object.RequiredInt("id", 0, kMaxTokenId));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> content, object.String("content"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> single_word, object.Bool("single_word"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> lstrip, object.Bool("lstrip"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> rstrip, object.Bool("rstrip"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> normalized, object.Bool("normalized"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> special, object.Bool("special"));
    token.id = static_cast<int32_t>(id);
    token.content = content.value_or("");
    token.single_word = single_word.value_or(false);
    token.lstrip = lstrip.value_or(false);
    token.rstrip = rstrip.value_or(false);
    token.normalized = normalized.value_or(false);
    token.special = special.value_or(false);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

using SpecialIds = absl::flat_hash_map<std::string, std::vector<int32_t>>;

absl::StatusOr<SpecialIds> ReadSpecialIds(const JsonObject& post) {
  SpecialIds specials;
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> table, post.Object("special_tokens"));
  if (!table) return specials;
  for (const simdjson::dom::key_value_pair& field : table->fields()) {
    ALCOVE_ASSIGN_OR_RETURN(const JsonObject entry, JsonObject::From(field.value, table->name()));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<simdjson::dom::array> ids, entry.Array("ids"));
    std::vector<int32_t>& out = specials[std::string(field.key)];
    if (!ids) continue;
    for (const simdjson::dom::element& element : *ids) {
      int64_t id = 0;
      if (element.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
        return absl::InvalidArgumentError(
            absl::StrCat(entry.name(), ": \"", View(field.key), "\" has an id out of range"));
      }
      out.push_back(static_cast<int32_t>(id));
    }
  }
  return specials;
}

absl::StatusOr<std::vector<TemplatePiece>> ReadTemplate(const JsonObject& post, absl::string_view key,
                                                        const SpecialIds& specials) {
  std::vector<TemplatePiece> pieces;
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<simdjson::dom::array> array, post.Array(key));
  if (!array) return pieces;
  for (const simdjson::dom::element& element : *array) {
    ALCOVE_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(element, absl::StrCat(post.name(), ": ", key)));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> special, object.Object("SpecialToken"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> sequence, object.Object("Sequence"));
    if (!special && !sequence) {
      return absl::InvalidArgumentError(
          absl::StrCat(object.name(), ": an element is neither SpecialToken nor Sequence"));
    }
    const JsonObject& body = special ? *special : *sequence;
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> id, body.String("id"));
    ALCOVE_ASSIGN_OR_RETURN(const int64_t type_id, body.RequiredInt("type_id", 0, 1));
    TemplatePiece piece;
    piece.type_id = static_cast<int32_t>(type_id);
    if (special) {
      piece.kind = TemplatePiece::Kind::kSpecial;
      const auto found = specials.find(id.value_or(""));
      if (found == specials.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(body.name(), ": special token \"", id.value_or(""), "\" is not listed in special_tokens"));
      }
      piece.special_ids = found->second;
    } else {
      piece.kind = id.value_or("A") == "B" ? TemplatePiece::Kind::kSecond : TemplatePiece::Kind::kFirst;
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

void FillBertTemplates(int32_t cls, int32_t sep, TokenizerSpec& spec) {
  using Kind = TemplatePiece::Kind;
  spec.single = {{Kind::kSpecial, {cls}, 0}, {Kind::kFirst, {}, 0}, {Kind::kSpecial, {sep}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSecond, {}, 1});
  spec.pair.push_back({Kind::kSpecial, {sep}, 1});
}

absl::StatusOr<int32_t> ReadNamedId(const JsonObject& post, absl::string_view key) {
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<simdjson::dom::array> pair, post.Array(key));
  int64_t id = 0;
  if (!pair || pair->at(1).get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
    return absl::InvalidArgumentError(absl::StrCat(post.name(), ": field \"", key, "\" is not a [token, id] pair"));
  }
  return static_cast<int32_t>(id);
}

absl::Status ReadPostProcessor(const JsonObject& post, TokenizerSpec& spec) {
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> type, post.String("type"));
  if (type == "TemplateProcessing") {
    ALCOVE_ASSIGN_OR_RETURN(const SpecialIds specials, ReadSpecialIds(post));
    ALCOVE_ASSIGN_OR_RETURN(spec.single, ReadTemplate(post, "single", specials));
    ALCOVE_ASSIGN_OR_RETURN(spec.pair, ReadTemplate(post, "pair", specials));
    return absl::OkStatus();
  }
  if (type == "BertProcessing") {
    ALCOVE_ASSIGN_OR_RETURN(const int32_t cls, ReadNamedId(post, "cls"));
    ALCOVE_ASSIGN_OR_RETURN(const int32_t sep, ReadNamedId(post, "sep"));
    FillBertTemplates(cls, sep, spec);
    return absl::OkStatus();
  }
  return Unsupported(post.name(), "post_processor", type.value_or(""), "TemplateProcessing, BertProcessing");
}

// A special token in tokenizer_config.json is a string or an object with "content".
std::string SpecialTokenName(const JsonObject& config, absl::string_view key, absl::string_view fallback) {
  if (const auto text = config.String(key); text.ok()) return text->value_or(std::string(fallback));
  if (const auto object = config.Object(key); object.ok() && *object) {
    if (const auto content = (*object)->String("content"); content.ok())
      return content->value_or(std::string(fallback));
  }
  return std::string(fallback);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> FromVocabularyFile(const std::string& folder) {
  const std::string vocabulary_path = folder + "/vocab.txt";
  ALCOVE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(vocabulary_path));
  TokenizerSpec spec;
  absl::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (spec.vocabulary.size() > static_cast<size_t>(kMaxTokenId)) {
      return absl::InvalidArgumentError(absl::StrCat(vocabulary_path, ": more than ", kMaxTokenId, " lines"));
    }
    spec.vocabulary.emplace_back(line);
  }
  while (!spec.vocabulary.empty() && spec.vocabulary.back().empty()) spec.vocabulary.pop_back();

  std::string cls = "[CLS]", sep = "[SEP]", pad = "[PAD]", mask = "[MASK]";
  BertNormalizerOptions normalizer;
  const std::string config_path = folder + "/tokenizer_config.json";
  if (std::filesystem::exists(config_path)) {
    ALCOVE_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::ReadFile(config_path));
    ALCOVE_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::From(document.root(), config_path));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> lower, config.Bool("do_lower_case"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> chinese, config.Bool("tokenize_chinese_chars"));
    ALCOVE_ASSIGN_OR_RETURN(normalizer.strip_accents, config.Bool("strip_accents"));
    normalizer.lowercase = lower.value_or(true);
    normalizer.handle_chinese_chars = chinese.value_or(true);
    spec.wordpiece.unknown_token = SpecialTokenName(config, "unk_token", "[UNK]");
    cls = SpecialTokenName(config, "cls_token", cls);
    sep = SpecialTokenName(config, "sep_token", sep);
    pad = SpecialTokenName(config, "pad_token", pad);
    mask = SpecialTokenName(config, "mask_token", mask);
  }
  spec.normalizer = normalizer;

  absl::flat_hash_map<absl::string_view, int32_t> id_of;
  for (size_t id = 0; id < spec.vocabulary.size(); ++id) id_of.emplace(spec.vocabulary[id], static_cast<int32_t>(id));
  for (const std::string* required : {&cls, &sep}) {
    if (!id_of.contains(*required)) {
      return absl::InvalidArgumentError(
          absl::StrCat(vocabulary_path, ": special token \"", *required, "\" is missing"));
    }
  }
  for (const std::string* name : {&cls, &sep, &pad, &mask, &spec.wordpiece.unknown_token}) {
    const auto found = id_of.find(*name);
    if (found == id_of.end()) continue;
    AddedToken token;
    token.content = *name;
    token.id = found->second;
    token.special = true;
    spec.added_tokens.push_back(std::move(token));
  }
  FillBertTemplates(id_of[cls], id_of[sep], spec);
  return Tokenizer::Create(std::move(spec));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(absl::string_view json, absl::string_view name) {
  ALCOVE_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(json, name));
  ALCOVE_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(document.root(), name));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> model, root.Object("model"));
  if (!model) return absl::InvalidArgumentError(absl::StrCat(name, ": field \"model\" is missing"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> type, model->String("type"));
  // Old files leave the type out; WordPiece is then told by its prefix field.
  const bool wordpiece = type ? *type == "WordPiece" : model->fields().at_key("continuing_subword_prefix").error() == 0;
  if (!wordpiece) return Unsupported(name, "tokenizer model", type.value_or(""), "WordPiece");

  TokenizerSpec spec;
  ALCOVE_ASSIGN_OR_RETURN(spec.wordpiece, ReadWordPiece(*model));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> vocab, model->Object("vocab"));
  if (!vocab) return absl::InvalidArgumentError(absl::StrCat(name, ": field \"model.vocab\" is missing"));
  ALCOVE_ASSIGN_OR_RETURN(spec.vocabulary, ReadVocabulary(*vocab));

  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> normalizer, root.Object("normalizer"));
  if (normalizer) {
    ALCOVE_ASSIGN_OR_RETURN(spec.normalizer, ReadNormalizer(*normalizer));
  }
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> splitter, root.Object("pre_tokenizer"));
  if (!splitter) return absl::InvalidArgumentError(absl::StrCat(name, ": field \"pre_tokenizer\" is missing"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> splitter_type, splitter->String("type"));
  if (splitter_type != "BertPreTokenizer") {
    return Unsupported(name, "pre_tokenizer", splitter_type.value_or(""), "BertPreTokenizer");
  }
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<simdjson::dom::array> added, root.Array("added_tokens"));
  if (added) {
    ALCOVE_ASSIGN_OR_RETURN(spec.added_tokens, ReadAddedTokens(*added, std::string(name)));
  }
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> post, root.Object("post_processor"));
  if (post) ALCOVE_RETURN_IF_ERROR(ReadPostProcessor(*post, spec));
  auto tokenizer = Create(std::move(spec));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), name);
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromFolder(const std::string& folder) {
  const std::string json_path = folder + "/tokenizer.json";
  if (std::filesystem::exists(json_path)) {
    ALCOVE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(json_path));
    return FromJson({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, json_path);
  }
  if (std::filesystem::exists(folder + "/vocab.txt")) return FromVocabularyFile(folder);
  return absl::NotFoundError(absl::StrCat("model folder ", folder, " has neither tokenizer.json nor vocab.txt"));
}

}  // namespace alcove::inference
