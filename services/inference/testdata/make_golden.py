#!/usr/bin/env python3
"""Writes the golden embeddings the tests compare with: embeddings.safetensors, embeddings_texts.json and tiny_bert/.

Needs a virtual environment with torch==2.13.0 and sentence-transformers==6.2.0, and the model folder made by
scripts/fetch_model.sh:
    python services/inference/testdata/make_golden.py .local/models/all-MiniLM-L6-v2
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel

HERE = pathlib.Path(__file__).resolve().parent

LONG = ("Homomorphic encryption lets a server compute on data it cannot read. " * 30).strip()
TEXTS = [
    "",
    " ",
    "\t\n \u00a0",
    "a",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    "draw diagrams from text",
    "encrypt a disk",
    "A tool to monitor network traffic in real time",
    "graphviz - rich set of graph drawing tools",
    "What is the capital of France?",
    "Paris is the capital and most populous city of France.",
    "UPPER CASE AND lower case AND MiXeD",
    "naïve café résumé coöperate Ångström",
    "Straße, größer, Fuß, Übermut",
    "¿Dónde está la biblioteca? ¡Aquí!",
    "Le cœur a ses raisons que la raison ne connaît point.",
    "Быстрая коричневая лиса прыгает через ленивую собаку",
    "Η γρήγορη αλεπού πηδάει πάνω από το σκύλο",
    "敏捷的棕色狐狸跳过懒狗",
    "素早い茶色の狐がのろまな犬を飛び越える",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "השועל החום המהיר קופץ מעל הכלב העצלן",
    "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ",
    "Con cáo nâu nhanh nhẹn nhảy qua con chó lười biếng",
    "😀 😂 👩‍👩‍👧‍👦 🇩🇪 emoji everywhere 🎉🎉",
    "x = [i**2 for i in range(10) if i % 2 == 0]  # squares",
    "https://example.org/path?query=1&other=two#fragment",
    "user@example.com wrote: 3.14159 ≈ π, 1e-12 < ε",
    "[MASK] and [CLS] are special [SEP] tokens",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "supercalifragilistic" * 8,
    "zero\u200bwidth\u200djoiner\ufeff and soft\u00adhyphen",
    "1234567890 " * 20,
    "!@#$%^&*()_+-=[]{}|;':\",./<>?",
    LONG,
    LONG.replace("server", "Server") + " The end differs but is cut.",
    ("word " * 253).strip(),
    ("word " * 254).strip(),
    ("word " * 255).strip(),
]


def real_model(folder):
    model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = 256
    vectors = torch.stack([torch.as_tensor(model.encode(text, batch_size=1)) for text in TEXTS])
    save_file({"embeddings": vectors.float().contiguous()}, HERE / "embeddings.safetensors")
    (HERE / "embeddings_texts.json").write_text(json.dumps(TEXTS, ensure_ascii=True, indent=0) + "\n")


def tiny_model():
    """A random BERT with awkward sizes (head_dim 12, hidden 36, intermediate 52) and its hidden states."""
    torch.manual_seed(20)
    folder = HERE / "tiny_bert"
    folder.mkdir(exist_ok=True)
    shape = dict(vocab_size=64, hidden_size=36, num_hidden_layers=2, num_attention_heads=3, intermediate_size=52,
                 max_position_embeddings=40, type_vocab_size=2, pad_token_id=0)
    golden = {}
    lengths = [1, 2, 7, 16, 17, 33, 40]
    ids = [torch.randint(5, 64, (n,), dtype=torch.int64) for n in lengths]
    golden["ids"] = torch.cat(ids).to(torch.int32)
    golden["lengths"] = torch.tensor(lengths, dtype=torch.int32)
    weights = None
    for activation in ("gelu", "gelu_new", "relu"):
        config = BertConfig(hidden_act=activation, **shape)
        model = BertModel(config, add_pooling_layer=False).eval()
        if weights is None:
            for name, parameter in model.named_parameters():
                torch.nn.init.normal_(parameter, std=0.25)
                if name.endswith("LayerNorm.weight"):
                    parameter.data += 1.0
            weights = {k: v.clone() for k, v in model.state_dict().items() if "position_ids" not in k}
        model.load_state_dict(weights, strict=False)
        with torch.no_grad():
            states = [model(i[None]).last_hidden_state[0] for i in ids]
        golden[activation] = torch.cat(states).contiguous()
        golden[activation + ".mean"] = torch.stack([s.mean(0) for s in states])
        golden[activation + ".max"] = torch.stack([s.max(0).values for s in states])
    save_file(weights, folder / "model.safetensors")
    save_file(golden, folder / "golden.safetensors")
    (folder / "config.json").write_text(json.dumps({**shape, "model_type": "bert", "architectures": ["BertModel"],
                                                    "hidden_act": "gelu", "layer_norm_eps": 1e-12}, indent=1) + "\n")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(97, 123)] + ["##" + chr(c) for c in range(97, 123)]
    words = ["hello", "world", "##ing", "the", ".", ",", "!"]
    vocabulary = special + letters + words
    (folder / "vocab.txt").write_text("\n".join(vocabulary[:64]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 32}) + "\n")


if __name__ == "__main__":
    tiny_model()
    real_model(sys.argv[1])
