"""Tokens, for every way of cutting text that is built in, as llama.cpp has them.

First on llama.cpp's own fixtures (texts and their tokens, as files); then on texts of ours, put to llama.cpp itself:
written ones, and ones drawn by lot from signs that tokenizers fall over.
"""
import json
import random
import sys
from pathlib import Path

from llama import Llama, model_with_vocabulary, trainer

# The vocabularies among llama.cpp's that are cut in a way that is built in.
FIXTURES = ["gpt-2", "starcoder", "refact", "command-r", "llama-bpe", "qwen2", "mpt"]
LIVE = ["gpt-2", "llama-bpe", "qwen2"]
SEPARATOR = "\n__ggml_vocab_test__\n"

TEXTS = [
    "I'll say it's 'twas; WE'VE, they'D — don't!",
    "1 12 123 1234 12345 3.14159 ½ ² ٣٤٥ Ⅷ 1,000,000.00",
    "  leading, trailing  \n\n\n  and\t\ttabs \r\n windows \u00a0no-break\u3000wide ",
    "fn main() {\n    let x: Vec<u8> = vec![0x1f; 3]; // µ\n\tprintln!(\"{x:?}\");\n}\n",
    "日本語のテキスト、한국어 문장, русский текст, ελληνικά, עברית, العربية, हिन्दी, ไทย",
    "e\u0301 e\u0301\u0323 Å ﬁ ß ẞ İ ı 👩‍👩‍👧‍👦 🏳️‍🌈 \u200b\u200d\ufeff x\u0000y \u001b[31m",
    "https://example.org/a_b?c=d&e=%20f#g user.name+tag@mail.example",
    "<|im_start|>user\nWhat is <|im_end|> for?<|im_end|>\n<|im_start|>assistant\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<|endoftext|><|endoftext|> < |im_start|> <|im_start |>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 4,
    "\n", " ", "", "\n \n", " \n", "!!!???...", "'s 't 're 've 'm 'll 'd 'S 'LL",
]
PALETTE = "abZ éßñ日本語한ا👩🏽\u200d\u0301 \n\t\r'!?.-_<|>{}[]0123456789½²Ⅷ\u00a0\u3000ſK"


def drawn(count=300):
    lot = random.Random(20)
    return ["".join(lot.choices(PALETTE, k=lot.randint(1, 40))) for _ in range(count)]


def differences(name, texts, ours, theirs):
    wrong = [(text, mine, other) for text, mine, other in zip(texts, ours, theirs) if mine != other]
    for text, mine, other in wrong[:3]:
        print(f"{name}: {text!r}: ours {mine}, llama.cpp {other}")
    print(f"{name}: {len(texts) - len(wrong)} of {len(texts)} texts agree")
    return len(wrong)


def ids(lines):
    return [[int(number) for number in line.strip(" []").replace(",", " ").split()] for line in lines]


def main(binary, model, facts):
    wrong = 0
    for name in FIXTURES:
        vocabulary = Path(facts) / f"ggml-vocab-{name}.gguf"
        # As bytes: line breaks of all kinds are what is tested.
        texts = Path(f"{vocabulary}.inp").read_bytes().decode().split(SEPARATOR)
        expected = ids(Path(f"{vocabulary}.out").read_text().splitlines())
        found = ids(trainer(binary, vocabulary, "tokens", lines=[json.dumps(text) for text in texts]))
        wrong += differences(f"fixture {name}", texts, found, expected)
    texts = TEXTS + drawn()
    live = [("smollm (the base)", Path(model))]
    for name in LIVE:
        place = Path(f"vocabulary-{name}.gguf")
        if not place.exists():
            model_with_vocabulary(Path(facts) / f"ggml-vocab-{name}.gguf", place)
        live.append((name, place))
    for name, model in live:
        llama = Llama(model)
        found = ids(trainer(binary, model, "tokens", lines=[json.dumps(text) for text in texts]))
        wrong += differences(f"live {name}", texts, found, [llama.tokens(text) for text in texts])
    return int(wrong > 0)


sys.exit(main(*sys.argv[1:]))
