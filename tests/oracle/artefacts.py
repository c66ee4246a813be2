"""Adapter and merged file give the same first-token log-probabilities in llama.cpp as in our own forward pass.

llama.cpp rounds what goes into a quantised matrix to eight bits, so on quantised files it does not agree with itself:
its log-probabilities move by some hundredths when nothing but the type of its cache changes. What a file's weights
say is therefore compared with the weights expanded to f32, where llama.cpp rounds nothing: base, base with adapter,
and merged file must agree within 0.02. The files as they are must agree within 0.15, and how far llama.cpp is from
itself stands beside it.
"""
import sys

import gguf

from llama import Llama, trainer

MARK = 0.02
AS_STORED = 0.15
PROMPTS = [
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou answer in one word.<|im_end|>\n<|im_start|>user\nIs water wet?<|im_end|>\n<|im_start|>assistant\n",
]


def main(binary, model, _):
    trainer(binary, model, "artefacts", ".")
    for name in ("adapter.gguf", "merged.gguf"):
        fields = gguf.GGUFReader(name)
        print(f"{name}: the gguf package reads {len(fields.tensors)} tensors and {len(fields.fields)} fields")
    trainer(binary, model, "plain", "base-f32.gguf")
    trainer(binary, "merged.gguf", "plain", "merged-f32.gguf")
    failed = False
    cases = [
        ("base, weights as f32", "base-f32.gguf", None, MARK),
        ("adapter, weights as f32", "base-f32.gguf", "adapter.gguf", MARK),
        ("merged, weights as f32", "merged-f32.gguf", None, MARK),
        ("base as stored", model, None, AS_STORED),
        ("adapter, base as stored", model, "adapter.gguf", AS_STORED),
        ("merged as stored", "merged.gguf", None, AS_STORED),
    ]
    for name, weights, adapter, mark in cases:
        llama, other = Llama(weights, adapter), Llama(weights, adapter, exact_cache=True)
        ours_apart, own_apart = [], []
        for prompt in PROMPTS:
            theirs = llama.first_token(prompt)
            token, probability = next(iter(theirs.items()))
            task = ["logprob", prompt] + ([adapter] if adapter else [])
            ours = float(trainer(binary, weights, *task, lines=[str(token)])[0])
            ours_apart.append(abs(ours - probability))
            own_apart.append(abs(other.first_token(prompt, most=50)[token] - probability))
        failed |= max(ours_apart) > mark
        print(
            f"{name}: {max(ours_apart):.4f} apart at most on {len(PROMPTS)} prompts (may be {mark}); llama.cpp with "
            f"another cache is {max(own_apart):.4f} from itself"
        )
    return int(failed)


sys.exit(main(*sys.argv[1:]))
