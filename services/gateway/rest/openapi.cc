#include "services/gateway/rest/openapi.h"

#include <map>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/gateway/rest/json_writer.h"
#include "services/gateway/rest/octet.h"
#include "services/gateway/rest/schema.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

constexpr int kMaxQueryDepth = 2;  // ?params.ef=10, not deeper

constexpr std::string_view kDescription =
    "Alcove: private AI serving. Embeddings, semantic search over your documents, vectors, encrypted search. "
    "The same methods are served as gRPC on this port, with reflection. Errors are problem details (RFC 9457).";

constexpr std::string_view kProblemSchema =
    R"({"type":"object","description":"What went wrong (RFC 9457).","properties":{)"
    R"("type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"detail":{"type":"string"},)"
    R"("code":{"type":"string","description":"Name of the canonical status code."},"request_id":{"type":"string"},)"
    R"("reason":{"type":"string"},"retry_after_ms":{"type":"integer"},)"
    R"("errors":{"type":"array","items":{"type":"object","properties":{"field":{"type":"string"},)"
    R"("description":{"type":"string"}}}},)"
    R"("resource":{"type":"object","properties":{"type":{"type":"string"},"name":{"type":"string"}}}},)"
    R"("required":["title","status","detail","code"]})";

class Document {
 public:
  Document(const MethodTable& methods, std::string_view version, const OpenApiExtras& extras)
      : methods_(methods), version_(version), extras_(extras) {}

  std::string Build() {
    // Paths first: they tell which schemas are needed.
    JsonBuilder paths;
    paths.BeginObject();
    std::map<std::string, std::vector<std::string>> operations;
    std::map<std::string, std::string> tags;
    for (const MethodInfo& info : methods_.methods()) {
      if (info.internal) continue;
      const MethodDescriptor& method = *ApiPool().FindMethodByName(info.method->full_name());
      for (size_t i = 0; i < info.bindings.size(); ++i) {
        operations[PathOf(info.bindings[i])].push_back(Operation(info, method, i));
        tags[method.service()->name()] = ApiComment(*method.service());
      }
    }
    for (const auto& [path, members] : operations) {
      paths.Key(path).Raw("{");
      for (size_t i = 0; i < members.size(); ++i) absl::StrAppend(&paths.text(), i > 0 ? "," : "", members[i]);
      paths.text().push_back('}');
    }
    if (!extras_.paths.empty()) paths.Raw(extras_.paths);
    paths.EndObject();

    JsonBuilder json;
    json.BeginObject().Member("openapi", "3.1.0");
    json.Key("info").BeginObject().Member("title", "Alcove").Member("version", version_);
    json.Member("description", kDescription);
    json.Key("license").BeginObject().Member("name", "Apache-2.0").Member("identifier", "Apache-2.0").EndObject();
    json.EndObject();
    json.Key("servers").BeginArray().BeginObject().Member("url", "/").EndObject().EndArray();
    json.Key("security").BeginArray();
    json.BeginObject().Key("bearer").BeginArray().EndArray().EndObject();
    json.BeginObject().Key("api_key").BeginArray().EndArray().EndObject().EndArray();
    json.Key("tags").BeginArray();
    for (const auto& [name, text] : tags) {
      json.BeginObject().Member("name", name).Member("description", text).EndObject();
    }
    json.EndArray();
    json.Key("paths").Raw(paths.Take());
    json.Key("components").BeginObject();
    json.Key("securitySchemes").BeginObject();
    json.Key("bearer").BeginObject().Member("type", "http").Member("scheme", "bearer");
    json.Member("description", "An API key: Authorization: Bearer alc_…").EndObject();
    json.Key("api_key").BeginObject().Member("type", "apiKey").Member("in", "header").Member("name", "x-api-key");
    json.EndObject().EndObject();
    json.Key("responses").BeginObject().Key("Problem").BeginObject().Member("description", "The call failed.");
    json.Key("content").BeginObject().Key("application/problem+json").BeginObject();
    json.Key("schema").Raw(Reference("Problem")).EndObject().EndObject().EndObject().EndObject();
    json.Key("schemas").Raw(Schemas()).EndObject().EndObject();
    return json.Take();
  }

 private:
  static std::string Reference(std::string_view name) {
    return absl::StrCat(R"({"$ref":"#/components/schemas/)", ToAbsl(name), "\"}");
  }

  static std::string PathOf(const HttpBinding& binding) {
    std::string path;
    size_t variable = 0;
    const PathTemplate& parsed = binding.path;
    for (size_t i = 0; i < parsed.segments.size(); ++i) {
      if (variable < parsed.variables.size() && parsed.variables[variable].first == i) {
        absl::StrAppend(&path, "/{", parsed.variables[variable].field_path, "}");
        i += parsed.variables[variable].count - 1;
        ++variable;
      } else {
        absl::StrAppend(&path, "/", parsed.segments[i].literal);
      }
    }
    if (!parsed.verb.empty()) absl::StrAppend(&path, ":", parsed.verb);
    return path;
  }

  static bool InPath(const HttpBinding& binding, std::string_view field) {
    for (const TemplateVariable& variable : binding.path.variables) {
      if (variable.field_path == field) return true;
    }
    return false;
  }

  // "\"post\":{…}"
  std::string Operation(const MethodInfo& info, const MethodDescriptor& method, size_t index) {
    const HttpBinding& binding = info.bindings[index];
    JsonBuilder json;
    json.Key(absl::AsciiStrToLower(binding.http_method)).BeginObject();
    json.Key("tags").BeginArray().Text(method.service()->name()).EndArray();
    json.Member("operationId", absl::StrCat(method.service()->name(), "_", method.name(),
                                            index == 0 ? "" : absl::StrCat("_", index + 1)));
    const std::string comment = ApiComment(method);
    json.Member("summary", comment.substr(0, comment.find(". ")));
    json.Member("description", absl::StrCat(comment, info.planned ? " Not built in this release: answers 501." : "",
                                            " Needs the scope ", ToAbsl(AccessScopeName(info.scope)), "."));
    if (info.scope == AccessScope::kPublic) json.Key("security").BeginArray().EndArray();
    json.Member("x-grpc-method", info.path);
    if (info.planned) json.Member("x-availability", "planned");

    json.Key("parameters").BeginArray();
    for (const TemplateVariable& variable : binding.path.variables) PathParameter(method, variable, json);
    if (!binding.whole_body) QueryParameters(binding, *method.input_type(), "", 0, json);
    json.EndArray();
    if (binding.takes_body()) {
      json.Key("requestBody").BeginObject().Key("required").Bool(true).Key("content").BeginObject();
      json.Key("application/json").BeginObject().Key("schema");
      if (binding.whole_body) {
        json.Raw(MessageSchema(*method.input_type(), &binding));
      } else {
        json.Raw(FieldSchema(*method.input_type()->FindFieldByName(binding.body_field->name())));
      }
      json.EndObject();
      const FieldDescriptor* octets = binding.whole_body ? OctetField(*method.input_type()) : nullptr;
      if (octets != nullptr)
        Octets(absl::StrCat("The field `", octets->name(), "` as it is; all others are query parameters."), json);
      json.EndObject().EndObject();
    }
    json.Key("responses").BeginObject();
    if (info.planned) {
      json.Key("501").Raw(R"({"$ref":"#/components/responses/Problem"})");
    } else {
      const Descriptor& reply = *method.output_type();
      json.Key("200").BeginObject().Member("description", ApiComment(reply)).Key("content").BeginObject();
      // A stream of replies is a line of JSON each; the last line says how it ended.
      json.Key(method.server_streaming() ? "application/x-ndjson" : "application/json").BeginObject().Key("schema");
      json.Raw(binding.response_field != nullptr ? FieldSchema(*reply.FindFieldByName(binding.response_field->name()))
                                                 : TypeSchema(reply));
      json.EndObject();
      if (OctetField(reply) != nullptr) Octets("Frames of JSON and bytes, when asked for with `accept`.", json);
      json.EndObject().EndObject();
    }
    json.Key("default").Raw(R"({"$ref":"#/components/responses/Problem"})");
    json.EndObject().EndObject();
    return json.Take();
  }

  // "application/octet-stream": {…}
  static void Octets(std::string_view description, JsonBuilder& json) {
    json.Key("application/octet-stream").BeginObject().Key("schema").BeginObject();
    json.Member("type", "string").Member("format", "binary").Member("description", description);
    json.EndObject().EndObject();
  }

  void PathParameter(const MethodDescriptor& method, const TemplateVariable& variable, JsonBuilder& json) {
    const FieldDescriptor* field = method.input_type()->FindFieldByName(variable.field_path);
    json.BeginObject().Member("name", variable.field_path).Member("in", "path").Key("required").Bool(true);
    if (field != nullptr) json.Member("description", ApiComment(*field));
    json.Key("schema").Raw(R"({"type":"string","minLength":1})").EndObject();
  }

  void QueryParameters(const HttpBinding& binding, const Descriptor& type, const std::string& prefix, int depth,
                       JsonBuilder& json) {
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const std::string name = absl::StrCat(prefix, field.name());
      if (InPath(binding, name) || field.is_map()) continue;
      if (prefix.empty() && binding.body_field != nullptr && binding.body_field->name() == field.name()) continue;
      const bool message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                           field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED;
      if (message && !field.is_repeated() && depth + 1 < kMaxQueryDepth && Flat(*field.message_type())) {
        QueryParameters(binding, *field.message_type(), absl::StrCat(name, "."), depth + 1, json);
        continue;
      }
      json.BeginObject().Member("name", name).Member("in", "query").Member("description", ApiComment(field));
      if (message) {
        json.Key("content").BeginObject().Key("application/json").BeginObject();
        json.Key("schema").Raw(TypeSchema(*field.message_type())).EndObject().EndObject();
      } else {
        json.Key("schema").Raw(FieldSchema(field, false));
      }
      json.EndObject();
    }
  }

  // Whether a message is only scalars, so that its fields make good query parameters.
  static bool Flat(const Descriptor& type) {
    for (int i = 0; i < type.field_count(); ++i) {
      if (type.field(i)->is_repeated() || type.field(i)->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return false;
    }
    return true;
  }

  std::string FieldSchema(const FieldDescriptor& field, bool described = true) {
    std::string schema;
    if (field.is_map()) {
      schema = absl::StrCat(R"({"type":"object","additionalProperties":)",
                            ScalarSchema(*field.message_type()->map_value()), "}");
    } else if (field.is_repeated()) {
      schema = absl::StrCat(R"({"type":"array","items":)", ScalarSchema(field), "}");
    } else {
      schema = ScalarSchema(field);
    }
    const std::string comment = described ? ApiComment(field) : "";
    if (comment.empty()) return schema;
    schema.pop_back();
    absl::StrAppend(&schema, schema.size() > 1 ? "," : "", "\"description\":");
    AppendJsonText(comment, schema);
    schema.push_back('}');
    return schema;
  }

  // One value of the field, whether or not it is repeated.
  std::string ScalarSchema(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: return R"({"type":"integer","format":"int32"})";
      case FieldDescriptor::CPPTYPE_UINT32: return R"({"type":"integer","minimum":0,"maximum":4294967295})";
      case FieldDescriptor::CPPTYPE_INT64:
        return R"({"type":["integer","string"],"format":"int64","pattern":"^-?[0-9]{1,19}$"})";
      case FieldDescriptor::CPPTYPE_UINT64:
        return R"({"type":["integer","string"],"minimum":0,"pattern":"^[0-9]{1,20}$"})";
      case FieldDescriptor::CPPTYPE_FLOAT: return R"({"type":"number","format":"float"})";
      case FieldDescriptor::CPPTYPE_DOUBLE: return R"({"type":"number","format":"double"})";
      case FieldDescriptor::CPPTYPE_BOOL: return R"({"type":"boolean"})";
      case FieldDescriptor::CPPTYPE_STRING:
        return field.type() == FieldDescriptor::TYPE_BYTES ? R"({"type":"string","contentEncoding":"base64"})"
                                                           : R"({"type":"string"})";
      case FieldDescriptor::CPPTYPE_ENUM:
        needed_enums_.insert(field.enum_type());
        return Reference(field.enum_type()->full_name());
      case FieldDescriptor::CPPTYPE_MESSAGE: return TypeSchema(*field.message_type());
    }
    return "{}";
  }

  std::string TypeSchema(const Descriptor& type) {
    switch (type.well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_STRUCT: return R"({"type":"object","additionalProperties":true})";
      case Descriptor::WELLKNOWNTYPE_VALUE: return "{}";
      case Descriptor::WELLKNOWNTYPE_LISTVALUE: return R"({"type":"array","items":{}})";
      case Descriptor::WELLKNOWNTYPE_TIMESTAMP: return R"({"type":"string","format":"date-time"})";
      case Descriptor::WELLKNOWNTYPE_DURATION: return R"({"type":"string","pattern":"^-?[0-9]+(\\.[0-9]{1,9})?s$"})";
      case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: break;
      default: return ScalarSchema(*type.FindFieldByName("value"));
    }
    if (needed_.insert(&type).second) waiting_.push_back(&type);
    return Reference(type.full_name());
  }

  // The schema of a message itself; fields bound to the path are left out of a body.
  std::string MessageSchema(const Descriptor& type, const HttpBinding* binding = nullptr) {
    JsonBuilder json;
    json.BeginObject().Member("type", "object");
    if (const std::string comment = ApiComment(type); !comment.empty()) json.Member("description", comment);
    json.Key("properties").BeginObject();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (binding != nullptr && InPath(*binding, field.name())) continue;
      json.Key(field.name()).Raw(FieldSchema(field));
    }
    json.EndObject().Key("additionalProperties").Bool(false).EndObject();
    return json.Take();
  }

  std::string EnumSchema(const EnumDescriptor& type) {
    JsonBuilder json;
    std::string description = ApiComment(type);
    json.BeginObject().Member("type", "string").Key("enum").BeginArray();
    for (int i = 0; i < type.value_count(); ++i) {
      json.Text(type.value(i)->name());
      absl::StrAppend(&description, " ", type.value(i)->name(), ": ", ApiComment(*type.value(i)));
    }
    json.EndArray().Member("description", description).EndObject();
    return json.Take();
  }

  std::string Schemas() {
    std::map<std::string, std::string> schemas;
    while (!waiting_.empty()) {
      const Descriptor& type = *waiting_.back();
      waiting_.pop_back();
      schemas[type.full_name()] = MessageSchema(type);
    }
    for (const EnumDescriptor* type : needed_enums_) schemas[type->full_name()] = EnumSchema(*type);
    JsonBuilder json;
    json.BeginObject().Key("Problem").Raw(kProblemSchema);
    for (const auto& [name, schema] : schemas) json.Key(name).Raw(schema);
    if (!extras_.schemas.empty()) json.Raw(extras_.schemas);
    json.EndObject();
    return json.Take();
  }

  const MethodTable& methods_;
  const std::string_view version_;
  const OpenApiExtras extras_;
  std::set<const Descriptor*> needed_;
  std::vector<const Descriptor*> waiting_;
  std::set<const EnumDescriptor*> needed_enums_;
};

}  // namespace

std::string BuildOpenApi(const MethodTable& methods, std::string_view version, const OpenApiExtras& extras) {
  return Document(methods, version, extras).Build();
}

}  // namespace alcove::gateway
