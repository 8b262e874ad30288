#include "services/gateway/openai/openai_paths.h"

namespace alcove::gateway {
namespace {

constexpr std::string_view kPaths =
    R"json("/v1/embeddings":{"post":{"tags":["OpenAI"],"operationId":"OpenAI_Embeddings",
"summary":"Turns texts into vectors, as OpenAI's API does.","description":"Needs the scope read.",
"requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/EmbeddingsRequest"}}}},
"responses":{"200":{"description":"The vectors, in the order of the input.","content":{"application/json":{"schema":
{"$ref":"#/components/schemas/EmbeddingList"}}}},"default":{"description":"The call failed.","content":{"application/json":
{"schema":{"$ref":"#/components/schemas/OpenAIError"}}}}}}},
"/v1/models":{"get":{"tags":["OpenAI"],"operationId":"OpenAI_Models","summary":"Lists the loaded models.",
"description":"Needs the scope read.","responses":{"200":{"description":"The models.","content":{"application/json":{"schema":
{"$ref":"#/components/schemas/ModelList"}}}},"default":{"description":"The call failed.","content":{"application/json":
{"schema":{"$ref":"#/components/schemas/OpenAIError"}}}}}}},
"/v1/models/{id}":{"get":{"tags":["OpenAI"],"operationId":"OpenAI_Model","summary":"Returns one model.",
"description":"Needs the scope read.","parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string","minLength":1}}],
"responses":{"200":{"description":"The model.","content":{"application/json":{"schema":
{"$ref":"#/components/schemas/ModelCard"}}}},"default":{"description":"The call failed.","content":{"application/json":
{"schema":{"$ref":"#/components/schemas/OpenAIError"}}}}}}},
"/v1/chat/completions":{"post":{"tags":["OpenAI"],"operationId":"OpenAI_Chat","summary":"Answers a conversation.",
"description":"Not built in this release: answers 501. Needs the scope read.","x-availability":"planned",
"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object"}}}},
"responses":{"default":{"description":"The call failed.","content":{"application/json":
{"schema":{"$ref":"#/components/schemas/OpenAIError"}}}}}}},
"/v1/completions":{"post":{"tags":["OpenAI"],"operationId":"OpenAI_Completions","summary":"Continues a text.",
"description":"Not built in this release: answers 501. Needs the scope read.","x-availability":"planned",
"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object"}}}},
"responses":{"default":{"description":"The call failed.","content":{"application/json":
{"schema":{"$ref":"#/components/schemas/OpenAIError"}}}}}}},
"/health":{"get":{"tags":["Health"],"operationId":"Health_Live","summary":"Answers while the gateway runs.","security":[],
"responses":{"200":{"description":"It runs.","content":{"application/json":{"schema":{"type":"object"}}}}}}},
"/health/ready":{"get":{"tags":["Health"],"operationId":"Health_Ready",
"summary":"Tells whether the processes a search needs can be reached.","security":[],
"responses":{"200":{"description":"Ready.","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Readiness"}}}},
"503":{"description":"Not ready; says why.","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Readiness"}}}}}}})json";

constexpr std::string_view kSchemas =
    R"json("EmbeddingsRequest":{"type":"object","required":["input","model"],"properties":{
"input":{"description":"A text, a list of texts, a list of token ids, or a list of such lists; at most 2,048 inputs.","oneOf":[
{"type":"string","minLength":1},{"type":"array","minItems":1,"maxItems":2048,"items":{"type":"string","minLength":1}},
{"type":"array","minItems":1,"items":{"type":"integer","minimum":0}},
{"type":"array","minItems":1,"maxItems":2048,"items":{"type":"array","minItems":1,"items":{"type":"integer","minimum":0}}}]},
"model":{"type":"string","minLength":1,"description":"Name of a loaded model, or \"default\"."},
"encoding_format":{"type":"string","enum":["float","base64"],"default":"float"},
"dimensions":{"type":"integer","minimum":1,"maximum":65536,"description":"Keep only the first components, normalised again."},
"user":{"type":"string"}}},
"EmbeddingList":{"type":"object","required":["object","data","model","usage"],"properties":{"object":{"const":"list"},
"data":{"type":"array","items":{"type":"object","properties":{"object":{"const":"embedding"},"index":{"type":"integer"},
"embedding":{"description":"Numbers, or base64 of little-endian 32-bit floats.","oneOf":[{"type":"array","items":{"type":"number"}},
{"type":"string"}]}}}},"model":{"type":"string"},
"usage":{"type":"object","properties":{"prompt_tokens":{"type":"integer"},"total_tokens":{"type":"integer"}}}}},
"ModelCard":{"type":"object","required":["id","object"],"properties":{"id":{"type":"string"},"object":{"const":"model"},
"created":{"type":"integer"},"owned_by":{"type":"string"}}},
"ModelList":{"type":"object","required":["object","data"],"properties":{"object":{"const":"list"},
"data":{"type":"array","items":{"$ref":"#/components/schemas/ModelCard"}}}},
"OpenAIError":{"type":"object","required":["error"],"properties":{"error":{"type":"object","required":["message","type"],
"properties":{"message":{"type":"string"},"type":{"type":"string"},"param":{"type":["string","null"]},
"code":{"type":["string","null"]}}}}},
"Readiness":{"type":"object","required":["ready"],"properties":{"ready":{"type":"boolean"},"reason":{"type":"string"},
"services":{"type":"object","additionalProperties":{"type":"string"}}}})json";

}  // namespace

OpenApiExtras HandWrittenPaths() { return {kPaths, kSchemas}; }

}  // namespace alcove::gateway
