#!/usr/bin/env python3
"""Writes tokenizer_golden.json (token ids of the real model's vocabulary) and tiny_*.json (small tokenizers with every
option, with their ids), all by Hugging Face `tokenizers`.

Needs `pip install tokenizers==0.23.3` and the model folder made by scripts/fetch_model.sh:
    python services/inference/model/testdata/make_tokenizer_golden.py .local/models/all-MiniLM-L6-v2
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing, TemplateProcessing

HERE = pathlib.Path(__file__).resolve().parent
rng = random.Random(3)

SENTENCES = [
    "", " ", "\n", "a", "Hello, World!", "don't stop-believing... it's 5 o'clock", "C++ & C# vs. Rust: 100% faster?",
    "The Quick Brown Fox", "unaffable unbelievably re-tokenisation", "naïve café résumé ÀÉÎÕÜ", "Ångström İstanbul ıIiİ",
    "Straße ẞ ß ﬁ ﬂ Ǆ ǅ", "Zażółć gęślą jaźń", "Příliš žluťoučký kůň", "Árvíztűrő tükörfúrógép", "Đường phố Hà Nội",
    "Съешь же ещё этих мягких французских булок", "Ґанок, їжак, єнот, Ў", "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία ΣΑΣ",
    "我能吞下玻璃而不伤身体。", "私はガラスを食べられます。それは私を傷つけません。", "ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟ がぎぐげご", "나는 유리를 먹을 수 있어요",
    "한글 자모 ᄀ ᅡ ᆨ", "أنا قادر على أكل الزجاج و هذا لا يؤلمني", "مُحَمَّد بِسْمِ اللَّهِ", "אני יכול לאכול זכוכית וזה לא מזיק לי",
    "שָׁלוֹם עֲלֵיכֶם", "मैं काँच खा सकता हूँ और मुझे उससे कोई चोट नहीं पहुंचती", "আমি কাঁচ খেতে পারি", "நான் கண்ணாடி சாப்பிடுவேன்",
    "నేను గాజు తినగలను", "ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ", "ខ្ញុំអាចញុំកញ្ចក់បាន", "མ་ཤེལ་ཟ་ན་", "ကျွန်တော် မှန်စားနိုင်တယ်",
    "მინას ვჭამ და არა მტკივა", "Կրնամ ապակի ուտել", "ᎠᎩᏍᏗ ᎦᎵᎢᎢ", "ᚠᛇᚻ᛫ᛒᛦᚦ", "𐌼𐌰𐌲 𐌲𐌻𐌴𐍃", "𝐇𝐞𝐥𝐥𝐨 𝒲ℴ𝓇𝓁𝒹", "①②③ ⅷ ½ ¼ №",
    "😀😃 👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 ❤️ ☺︎", "→ ⇒ ∑∫√∞ ≤≥≠ ±×÷", "“quotes” ‘single’ «guillemets» „low“ …—–‐", "$1,234.56 €99 £5 ¥1000 ₿",
    "e\u0301 e\u0301\u0323 q\u0307\u0323 q\u0323\u0307 \u0301alone", "\u1e9b\u0323 \u212b \u2126", "Ḍ̇ Ḍ̇ D\u0307\u0323",
    "zero\u200bwidth\u200c\u200d\u2060\ufeffjoin", "soft\u00adhyphen nbsp\u00a0here\u3000ideographic\u2003em", "line1\r\nline2\tTab\x0bVT\x0cFF",
    "nul\x00byte bell\x07 esc\x1b[0m del\x7f", "\ufffdreplacement\ufffe\uffff", "private\ue000use \U000f0000 \U0010ffff",
    "[CLS] inside [SEP] text [MASK] [PAD] [UNK]", "[MASK][MASK]x[MASK].", "[mask] [ MASK ] [MASK", "the[SEP]end [CLS][CLS]",
    "##ing ## #hash #", "@user #topic https://example.org/?a=1&b=2#c mail@example.com", "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "lib3ds-1-3 python3-numpy (>= 1:1.22.0~rc1)", "a" * 99, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "x" * 300 + " ok",
    "中" * 40, "a中b国c", "\U00020000\U0002b820\U0002b920\U0002f800", "\uf900\ufa0e", "..." * 30, "1 22 333 4444 55555 3.14 1e10",
    "\U0001d15e\U0001d166\U0001d165 music", "\u302e\u302f\u3099か\u3099", "ᄒ\u302fᅡᆫ", "֑ء̂", "\u0345\u0301Ω\u0345",
]
BLOCKS = [(0x20, 0x7f), (0x80, 0x24f), (0x250, 0x36f), (0x370, 0x52f), (0x530, 0x6ff), (0x700, 0x8ff), (0x900, 0xdff),
          (0xe00, 0x10ff), (0x1100, 0x13ff), (0x1400, 0x1aff), (0x1b00, 0x1fff), (0x2000, 0x2bff), (0x2c00, 0x2fff),
          (0x3000, 0x33ff), (0x3400, 0x9fff), (0xa000, 0xabff), (0xac00, 0xd7ff), (0xe000, 0xf8ff), (0xf900, 0xffff),
          (0x10000, 0x10fff), (0x11000, 0x12fff), (0x16000, 0x16fff), (0x1b000, 0x1bfff), (0x1d000, 0x1dfff),
          (0x1e000, 0x1efff), (0x1f000, 0x1faff), (0x20000, 0x2ffff), (0xe0000, 0xe01ff)]
SALT = [" ", "  ", "\t", "\u00a0", "\u0301", "\u0323", "\u0307", "-", ".", ",", "'", "a", "The", "ing", "7", "[SEP]", "\u200d"]


def random_text():
    out = []
    for _ in range(rng.randint(1, 6)):
        low, high = rng.choice(BLOCKS)
        for _ in range(rng.randint(1, 6)):
            if rng.random() < 0.3:
                out.append(rng.choice(SALT))
            else:
                c = rng.randint(low, high)
                out.append("?" if 0xD800 <= c < 0xE000 else chr(c))
    return "".join(out)


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("],[\"", "],\n[\"") + "\n")


def real(folder):
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = SENTENCES + [random_text() for _ in range(500)]
    pairs = [("what is a lock", "a lock is a device " * 4), ("long " * 20, "b"), ("", "x"), ("one two three", "four five six")]
    truncated = []
    for limit in (2, 3, 5, 8, 11):
        tokenizer.enable_truncation(limit)
        truncated += [[a, limit, tokenizer.encode(a).ids] for a in ("hello big wide world of words", "hi", "")]
    paired = []
    for limit in (3, 5, 8, 11, 16, 200):
        tokenizer.enable_truncation(limit)
        for a, b in pairs:
            e = tokenizer.encode(a, b)
            paired.append([a, b, limit, e.ids, e.type_ids])
    tokenizer.no_truncation()
    write(HERE / "tokenizer_golden.json", {"texts": [[t, tokenizer.encode(t).ids] for t in texts], "truncated": truncated,
                                           "pairs": paired})


def tiny(name, normalizer, added=(), post="template", prefix="##", max_chars=100):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFTéàıßα中国か한ᄒ\u0301.,-'!"
    pieces = ["the", "The", "ing", "hello", "world", "caf", "new"]
    vocabulary = special + list(letters) + [prefix + c for c in letters] + pieces + [prefix + p for p in pieces]
    vocabulary = list(dict.fromkeys(vocabulary))
    tokenizer = Tokenizer(WordPiece({t: i for i, t in enumerate(vocabulary)}, unk_token="[UNK]",
                                    continuing_subword_prefix=prefix, max_input_chars_per_word=max_chars))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    if added:
        tokenizer.add_tokens(list(added))
    if post == "template":
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    elif post == "bert":
        tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    texts = SENTENCES[:30] + ["New-York NewYork new york, NEW YORK", "xNew Yorkx New  York", "HELLO Hello hello", "a<t> b <t>c<t>",
                              "  <l>  x <r>  y <w> z<w>z <w>", "ThE Théing", "caf\u00e9 cafe\u0301 CAF\u00c9", "İ I ı i"]
    texts += [random_text() for _ in range(60)]
    value = json.loads(tokenizer.to_str())
    write(HERE / f"tiny_{name}.json", {"tokenizer": value, "texts": [[t, tokenizer.encode(t).ids] for t in texts]})


def normalizer(**flags):
    return BertNormalizer(**{**dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True), **flags})


if __name__ == "__main__":
    real(sys.argv[1])
    tiny("uncased", normalizer())
    tiny("cased", normalizer(lowercase=False), post="bert")
    tiny("keep_accents", normalizer(strip_accents=False), post="none")
    tiny("strip_only", normalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False))
    tiny("raw", None, prefix="", max_chars=12)
    tiny("dirty", normalizer(clean_text=False))
    tiny("added", normalizer(), added=[AddedToken("New York", normalized=True), AddedToken("Hello", normalized=True, single_word=True),
                                       AddedToken("<t>", normalized=False), AddedToken("<l>", lstrip=True, normalized=False),
                                       AddedToken("<r>", rstrip=True, normalized=False),
                                       AddedToken("<w>", single_word=True, normalized=False)])
