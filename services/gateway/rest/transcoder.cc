#include "services/gateway/rest/transcoder.h"

#include <utility>

#include <google/api/annotations.pb.h>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/gateway/rest/json_reader.h"
#include "services/gateway/rest/json_writer.h"
#include "services/gateway/rest/scalar_text.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

using google::api::HttpRule;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::Reflection;

const FieldDescriptor* FindField(const Descriptor& type, std::string_view name) {
  const std::string text(name);
  if (const FieldDescriptor* field = type.FindFieldByName(text)) return field;
  return type.FindFieldByCamelcaseName(text);
}

std::string Nearest(const Descriptor& type, std::string_view name) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return std::string(ClosestMatch(ToAbsl(name), names));
}

// The field at the end of `path`, through singular messages only.
absl::StatusOr<const FieldDescriptor*> ResolvePath(const Descriptor& type, std::string_view path) {
  const Descriptor* at = &type;
  while (true) {
    const size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    const FieldDescriptor* field = FindField(*at, name);
    if (field == nullptr) {
      const std::string nearest = Nearest(*at, name);
      return absl::InvalidArgumentError(nearest.empty()
                                            ? std::string("unknown parameter")
                                            : absl::StrCat("unknown parameter; did you mean \"", nearest, "\"?"));
    }
    if (dot == std::string_view::npos) return field;
    if (field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        field->message_type()->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
      return absl::InvalidArgumentError(absl::StrCat("\"", field->name(), "\" has no fields inside"));
    }
    at = field->message_type();
    path.remove_prefix(dot + 1);
  }
}

absl::Status BadRule(const MethodDescriptor& method, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("google.api.http of ", method.full_name(), ": ", ToAbsl(what)));
}

absl::StatusOr<HttpBinding> CompileRule(const MethodDescriptor& method, const HttpRule& rule) {
  HttpBinding binding;
  binding.method = &method;
  switch (rule.pattern_case()) {
    case HttpRule::kGet: binding.http_method = "GET", binding.path_text = rule.get(); break;
    case HttpRule::kPut: binding.http_method = "PUT", binding.path_text = rule.put(); break;
    case HttpRule::kPost: binding.http_method = "POST", binding.path_text = rule.post(); break;
    case HttpRule::kDelete: binding.http_method = "DELETE", binding.path_text = rule.delete_(); break;
    case HttpRule::kPatch: binding.http_method = "PATCH", binding.path_text = rule.patch(); break;
    case HttpRule::kCustom: binding.http_method = rule.custom().kind(), binding.path_text = rule.custom().path(); break;
    case HttpRule::PATTERN_NOT_SET: return BadRule(method, "no pattern");
  }
  absl::StatusOr<PathTemplate> path = ParsePathTemplate(binding.path_text);
  if (!path.ok()) return BadRule(method, FromAbsl(path.status().message()));
  binding.path = *std::move(path);
  for (const TemplateVariable& variable : binding.path.variables) {
    const auto field = ResolvePath(*method.input_type(), variable.field_path);
    if (!field.ok() || (*field)->is_repeated() || (*field)->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return BadRule(method, absl::StrCat("{", variable.field_path, "} names no singular scalar field"));
    }
  }
  if (rule.body() == "*") {
    binding.whole_body = true;
  } else if (!rule.body().empty()) {
    binding.body_field = method.input_type()->FindFieldByName(rule.body());
    if (binding.body_field == nullptr || binding.body_field->is_repeated() ||
        binding.body_field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return BadRule(method, absl::StrCat("body \"", rule.body(), "\" names no singular message field"));
    }
  }
  if (!rule.response_body().empty()) {
    binding.response_field = method.output_type()->FindFieldByName(rule.response_body());
    if (binding.response_field == nullptr || binding.response_field->is_repeated() ||
        binding.response_field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return BadRule(method,
                     absl::StrCat("response_body \"", rule.response_body(), "\" names no singular message field"));
    }
  }
  return binding;
}

// The message that holds the last field of a path already known to be valid.
Message& Descend(Message& root, std::string_view& path) {
  Message* at = &root;
  for (size_t dot; (dot = path.find('.')) != std::string_view::npos; path.remove_prefix(dot + 1)) {
    at = at->GetReflection()->MutableMessage(at, FindField(*at->GetDescriptor(), path.substr(0, dot)));
  }
  return *at;
}

// Whether a text field already holds something that differs from `text`.
bool Contradicts(const Message& holder, const FieldDescriptor& field, std::string_view text) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) return false;
  const std::string held = holder.GetReflection()->GetString(holder, &field);
  return !held.empty() && held != text;
}

}  // namespace

absl::StatusOr<std::vector<HttpBinding>> CompileBindings(const MethodDescriptor& method) {
  std::vector<HttpBinding> bindings;
  if (!method.options().HasExtension(google::api::http)) return bindings;
  const HttpRule& rule = method.options().GetExtension(google::api::http);
  ALCOVE_ASSIGN_OR_RETURN(HttpBinding first, CompileRule(method, rule));
  bindings.push_back(std::move(first));
  for (const HttpRule& more : rule.additional_bindings()) {
    ALCOVE_ASSIGN_OR_RETURN(HttpBinding binding, CompileRule(method, more));
    bindings.push_back(std::move(binding));
  }
  return bindings;
}

absl::Status SetFieldByPath(Message& message, std::string_view path, std::string_view text) {
  absl::StatusOr<const FieldDescriptor*> field = ResolvePath(*message.GetDescriptor(), path);
  if (!field.ok()) return InvalidField(ToAbsl(path), field.status().message());
  std::string_view last = path;
  Message& holder = Descend(message, last);
  const FieldDescriptor& target = **field;
  const bool plain_message = target.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                             (target.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED ||
                              target.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_STRUCT);
  if (plain_message && !target.is_map()) {
    const Reflection& reflection = *holder.GetReflection();
    Message& child =
        target.is_repeated() ? *reflection.AddMessage(&holder, &target) : *reflection.MutableMessage(&holder, &target);
    std::string json(text);
    absl::Status status = JsonToMessage(json, child);
    return status.ok() ? status : InvalidField(ToAbsl(path), absl::StrCat("as JSON: ", status.message()));
  }
  absl::Status status = SetFieldFromText(holder, target, text);
  return status.ok() ? status : InvalidField(ToAbsl(path), status.message());
}

absl::Status FillRequest(const HttpBinding& binding, const std::vector<PathCapture>& captures,
                         const QueryParameters& query, std::string& body, Message& request) {
  if (binding.takes_body() && !body.empty()) {
    Message* target = &request;
    if (binding.body_field != nullptr) {
      target = request.GetReflection()->MutableMessage(&request, binding.body_field);
    }
    ALCOVE_RETURN_IF_ERROR(JsonToMessage(body, *target));
  } else if (binding.body_field != nullptr) {
    request.GetReflection()->MutableMessage(&request, binding.body_field);
  }

  absl::flat_hash_set<std::string> given;
  for (const PathCapture& capture : captures) {
    std::string_view last = capture.field_path;
    Message& holder = Descend(request, last);
    const FieldDescriptor& field = *FindField(*holder.GetDescriptor(), last);
    if (Contradicts(holder, field, capture.value)) {
      return InvalidField(ToAbsl(capture.field_path), "the path and the body name different values");
    }
    ALCOVE_RETURN_IF_ERROR(SetFieldByPath(request, capture.field_path, capture.value));
    given.emplace(capture.field_path);
  }
  for (const auto& [name, value] : query) {
    if (binding.whole_body) {
      return InvalidField(name, "unknown query parameter; this method takes its fields in the body");
    }
    ALCOVE_ASSIGN_OR_RETURN(const FieldDescriptor* field, [&]() -> absl::StatusOr<const FieldDescriptor*> {
      auto resolved = ResolvePath(*binding.method->input_type(), name);
      if (!resolved.ok()) return InvalidField(name, resolved.status().message());
      return resolved;
    }());
    if (field == binding.body_field || (!field->is_repeated() && !given.insert(name).second)) {
      return InvalidField(name, "given twice");
    }
    ALCOVE_RETURN_IF_ERROR(SetFieldByPath(request, name, value));
  }
  return absl::OkStatus();
}

std::string RenderReply(const HttpBinding& binding, const Message& reply) {
  if (binding.response_field == nullptr) return MessageToJson(reply);
  return MessageToJson(reply.GetReflection()->GetMessage(reply, binding.response_field));
}

}  // namespace alcove::gateway
