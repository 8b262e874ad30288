"""Writes a BERT encoder with mean pooling and normalisation as ONNX, straight from a safetensors file.

Two forms: with ONNX Runtime's fused nodes (EmbedLayerNormalization, Attention, SkipLayerNormalization, BiasGelu: what its
own transformer optimiser produces), and with standard nodes only, for OpenVINO, whose compiler fuses by itself. All
sequences of a batch have the same length, so neither needs a mask, which is each peer's fastest case.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Graph:
    def __init__(self, folder, config):
        self.weights = load_file(folder + "/model.safetensors")
        self.config = config
        self.nodes, self.tensors = [], {}

    def tensor(self, name, value):
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name, transpose=False):
        value = self.weights[name].astype(np.float32)
        return self.tensor(name + (".T" if transpose else ""), value.T if transpose else value)

    def node(self, kind, inputs, count=1, domain="", **attributes):
        outputs = [f"{kind}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, name=outputs[0], **attributes))
        return outputs[0]

    def pooled(self, hidden):
        mean = self.node("ReduceMean", [hidden, self.tensor("axis1", np.array([1], np.int64))], keepdims=0)
        return self.node("LpNormalization", [mean], axis=-1, p=2)

    def save(self, path, output):
        self.nodes.append(helper.make_node("Identity", [output], ["embedding"]))
        graph = helper.make_graph(
            self.nodes, "bert",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["batch", "tokens"])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", self.config["hidden_size"]])],
            initializer=list(self.tensors.values()))
        model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20),
                                                                    helper.make_opsetid("com.microsoft", 1)])
        onnx.save(model, path)


def fused(folder, config, path):
    g, ms, eps = Graph(folder, config), "com.microsoft", config["layer_norm_eps"]
    zero = g.tensor("zero", np.array(0, np.int32))
    types = g.node("Mul", ["input_ids", zero])
    x = g.node("EmbedLayerNormalization", ["input_ids", types] +
               [g.weight(f"embeddings.{n}.weight") for n in ("word_embeddings", "position_embeddings", "token_type_embeddings")] +
               [g.weight("embeddings.LayerNorm.weight"), g.weight("embeddings.LayerNorm.bias")], 2, ms, epsilon=eps)
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        names = [p + f"attention.self.{n}" for n in ("query", "key", "value")]
        qkv = g.tensor(p + "qkv.weight", np.concatenate([g.weights[n + ".weight"].astype(np.float32).T for n in names], 1))
        bias = g.tensor(p + "qkv.bias", np.concatenate([g.weights[n + ".bias"].astype(np.float32) for n in names]))
        attended = g.node("Attention", [x, qkv, bias], 1, ms, num_heads=config["num_attention_heads"])
        projected = g.node("MatMul", [attended, g.weight(p + "attention.output.dense.weight", True)])
        x = g.node("SkipLayerNormalization", [projected, x, g.weight(p + "attention.output.LayerNorm.weight"),
                                              g.weight(p + "attention.output.LayerNorm.bias"),
                                              g.weight(p + "attention.output.dense.bias")], 1, ms, epsilon=eps)
        h = g.node("MatMul", [x, g.weight(p + "intermediate.dense.weight", True)])
        h = g.node("BiasGelu", [h, g.weight(p + "intermediate.dense.bias")], 1, ms)
        h = g.node("MatMul", [h, g.weight(p + "output.dense.weight", True)])
        x = g.node("SkipLayerNormalization", [h, x, g.weight(p + "output.LayerNorm.weight"), g.weight(p + "output.LayerNorm.bias"),
                                              g.weight(p + "output.dense.bias")], 1, ms, epsilon=eps)
    g.save(path, g.pooled(x))


def standard(folder, config, path):
    g, eps = Graph(folder, config), config["layer_norm_eps"]
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    dim = hidden // heads
    split = g.tensor("split", np.array([0, 0, heads, dim], np.int64))
    join = g.tensor("join", np.array([0, 0, hidden], np.int64))
    scale = g.tensor("scale", np.array(dim ** -0.5, np.float32))

    def norm(x, prefix):
        return g.node("LayerNormalization", [x, g.weight(prefix + ".weight"), g.weight(prefix + ".bias")], epsilon=eps)

    def linear(x, prefix):
        return g.node("Add", [g.node("MatMul", [x, g.weight(prefix + ".weight", True)]), g.weight(prefix + ".bias")])

    tokens = g.node("Gather", [g.node("Shape", ["input_ids"]), g.tensor("one", np.array(1, np.int64))], axis=0)
    positions = g.node("Range", [g.tensor("from", np.array(0, np.int64)), tokens, g.tensor("step", np.array(1, np.int64))])
    x = g.node("Gather", [g.weight("embeddings.word_embeddings.weight"), "input_ids"])
    x = g.node("Add", [x, g.node("Gather", [g.weight("embeddings.position_embeddings.weight"), positions])])
    x = g.node("Add", [x, g.tensor("type0", g.weights["embeddings.token_type_embeddings.weight"][0].astype(np.float32))])
    x = norm(x, "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (g.node("Reshape", [linear(x, p + f"attention.self.{n}"), split]) for n in ("query", "key", "value"))
        q, v = (g.node("Transpose", [t], perm=[0, 2, 1, 3]) for t in (q, v))
        k = g.node("Transpose", [k], perm=[0, 2, 3, 1])
        weights = g.node("Softmax", [g.node("Mul", [g.node("MatMul", [q, k]), scale])], axis=-1)
        context = g.node("Transpose", [g.node("MatMul", [weights, v])], perm=[0, 2, 1, 3])
        attended = linear(g.node("Reshape", [context, join]), p + "attention.output.dense")
        x = norm(g.node("Add", [attended, x]), p + "attention.output.LayerNorm")
        h = linear(g.node("Gelu", [linear(x, p + "intermediate.dense")]), p + "output.dense")
        x = norm(g.node("Add", [h, x]), p + "output.LayerNorm")
    g.save(path, g.pooled(x))
