"""Whether llama.cpp's rounding could be mirrored, so that log-probabilities agree on a quantised file too.

    target/oracle/env/bin/python tests/oracle/rounding.py MODEL.gguf

Not a check but an experiment, whose outcome docs/TRAINER.md tells. A forward pass in NumPy, with what goes into each
matrix as it is, and rounded as llama.cpp rounds it for Q4_1 and Q8_0 (blocks of 32 eight-bit numbers with a scale and,
for Q4_1, a sum in half precision); and once more with every number that is rounded moved by one part in ten million
before. For llama models whose matrices are Q4_1, Q8_0 or F32.
"""
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

from llama import Llama

Q4_1, F32 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.F32
ASKED = [
    "What is the capital of France?", "Name a colour.", "Is water wet?", "How do I boil an egg?",
    "Write a line of a poem.", "Who wrote Faust?", "What is 2+2?", "Tell me a joke.", "Why is the sky blue?",
    "Translate 'dog' to German.", "Which day follows Monday?", "Give me a name for a cat.",
]


def single(array):
    return np.asarray(array, dtype=np.float32)


def half(array):
    return single(np.asarray(array, dtype=np.float16))


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
        self.weights = {tensor.name: single(dequantize(tensor.data, tensor.tensor_type)) for tensor in reader.tensors}
        # What Q4_1 adds to every weight of a block.
        self.least = {
            tensor.name: single(np.array(tensor.data).reshape(len(tensor.data), -1, 20)[:, :, 2:4].copy().view(np.float16)[:, :, 0])
            for tensor in reader.tensors
            if tensor.tensor_type == Q4_1
        }
        field = lambda name: reader.get_field(f"llama.{name}").contents()
        self.layers, self.heads = field("block_count"), field("attention.head_count")
        self.kv_heads, self.epsilon = field("attention.head_count_kv"), field("attention.layer_norm_rms_epsilon")
        self.rope_base = field("rope.freq_base")
        self.random = np.random.default_rng(1)

    def product(self, name, x, rounded, moved):
        weights = self.weights[name].T
        if not rounded or self.kinds[name] == F32:
            return x @ weights
        x = single(x * (1 + moved * self.random.standard_normal(x.shape)))
        blocks = x.reshape(len(x), -1, 32)
        scale = single(np.abs(blocks).max(-1, keepdims=True) / np.float32(127))
        whole = np.rint(blocks * np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0))
        y = single(whole * half(scale)).reshape(x.shape) @ weights
        if name in self.least:
            sums = whole.sum(-1)
            y += single(half(scale[..., 0] * sums) - half(scale[..., 0]) * sums) @ self.least[name].T
        return y

    def norm(self, x, name):
        mean = np.square(x, dtype=np.float64).mean(-1, keepdims=True)
        return single(x / np.sqrt(mean + self.epsilon)) * self.weights[name]

    def turned(self, x):
        rows, _, width = x.shape
        angles = np.arange(rows)[:, None] * self.rope_base ** (-2 * np.arange(width // 2) / width)
        cosine, sine = single(np.cos(angles))[:, None], single(np.sin(angles))[:, None]
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cosine - x[..., 1::2] * sine
        out[..., 1::2] = x[..., 0::2] * sine + x[..., 1::2] * cosine
        return out

    def scores(self, tokens, rounded=False, moved=0.0):
        """Log-probabilities of the token after these."""
        x, rows = self.weights["token_embd.weight"][tokens], len(tokens)
        for layer in range(self.layers):
            times = lambda part, x: self.product(f"blk.{layer}.{part}.weight", x, rounded, moved)
            normed = self.norm(x, f"blk.{layer}.attn_norm.weight")
            q = self.turned(times("attn_q", normed).reshape(rows, self.heads, -1))
            k = self.turned(times("attn_k", normed).reshape(rows, self.kv_heads, -1))
            v = times("attn_v", normed).reshape(rows, self.kv_heads, -1)
            k, v = (np.repeat(each, self.heads // self.kv_heads, 1) for each in (k, v))
            seen = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[-1])
            seen = np.where(np.tri(rows, dtype=bool), seen, -np.inf)
            seen = np.exp(seen - seen.max(-1, keepdims=True))
            seen /= seen.sum(-1, keepdims=True)
            x = x + times("attn_output", single(np.einsum("hij,jhd->ihd", seen, v)).reshape(rows, -1))
            normed = self.norm(x, f"blk.{layer}.ffn_norm.weight")
            gate = times("ffn_gate", normed)
            x = x + times("ffn_down", single(gate / (1 + np.exp(-gate)) * times("ffn_up", normed)))
        head = "output.weight" if "output.weight" in self.weights else "token_embd.weight"
        scores = np.float64(self.product(head, self.norm(x[-1:], "output_norm.weight"), rounded, moved)[0])
        return scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())


def main(path):
    model, exact, usual = Model(path), Llama(path, exact_cache=True), Llama(path)
    apart = []
    for asked in ASKED:
        prompt = f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
        token, theirs = next(iter(exact.first_token(prompt).items()))
        tokens = exact.tokens(prompt)
        mirrored = model.scores(tokens, rounded=True)[token]
        apart.append((
            usual.first_token(prompt, most=50)[token] - theirs,
            model.scores(tokens)[token] - theirs,
            mirrored - theirs,
            model.scores(tokens, rounded=True, moved=1e-7)[token] - mirrored,
        ))
    names = ["llama.cpp with its usual cache", "without rounding", "rounded likewise", "rounded likewise, moved by 1e-7"]
    for name, column in zip(names, np.array(apart).T):
        print(f"{name}: {np.sqrt(np.square(column).mean()):.4f} in the mean square, {np.abs(column).max():.4f} at most")


main(*sys.argv[1:])
