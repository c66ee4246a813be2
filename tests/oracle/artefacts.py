"""Adapter and merged file give the same first-token log-probabilities in llama.cpp as in our own forward pass.

llama.cpp rounds what goes into a quantised matrix to eight bits, so on quantised files it does not agree with itself:
its log-probabilities move by some hundredths when nothing but the type of its cache changes (docs/TRAINER.md). What a
file's weights say is therefore compared with the weights expanded to f32, where llama.cpp rounds nothing: base, base
with adapter, and merged file must agree within 0.02 on every prompt. With the files as they are, what is rounded is
noise: over many prompts it must cancel out to 0.02, and be no larger than rounding makes it. How far llama.cpp is from
itself stands beside it.
"""
import statistics
import sys

import gguf

from llama import Llama, trainer

MARK = 0.02
# The root of the mean square over the prompts.
NOISE = 0.1
PROMPTS = [
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou answer in one word.<|im_end|>\n<|im_start|>user\nIs water wet?<|im_end|>\n<|im_start|>assistant\n",
]


SUBJECTS = ["tea", "the moon", "a bicycle", "bread", "rain", "chess", "a violin", "the sea", "coffee", "a cat"]
FORMS = [
    "What is {}?",
    "Tell me about {}.",
    "Write one line about {}.",
    "Why do people like {}?",
    "Name something like {}.",
    "Is {} older than me?",
    "How would you draw {}?",
    "Give me a word for {}.",
]
MANY = [
    f"<|im_start|>user\n{form.format(subject)}<|im_end|>\n<|im_start|>assistant\n"
    for form in FORMS
    for subject in SUBJECTS
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
        ("base, weights as f32", "base-f32.gguf", None),
        ("adapter, weights as f32", "base-f32.gguf", "adapter.gguf"),
        ("merged, weights as f32", "merged-f32.gguf", None),
    ]
    for name, weights, adapter in cases:
        apart = compare(binary, weights, adapter, Llama(weights, adapter), PROMPTS)[0]
        worst = max(map(abs, apart))
        failed |= worst > MARK
        print(f"{name}: {worst:.4f} apart at most on {len(PROMPTS)} prompts (may be {MARK})", flush=True)
    cases = [
        ("base as stored", model, None),
        ("adapter, base as stored", model, "adapter.gguf"),
        ("merged as stored", "merged.gguf", None),
    ]
    for name, weights, adapter in cases:
        exact, usual = Llama(weights, adapter, exact_cache=True), Llama(weights, adapter)
        apart, itself = compare(binary, weights, adapter, exact, MANY, usual)
        mean, noise = statistics.fmean(apart), square(apart)
        failed |= abs(mean) > MARK or noise > NOISE
        print(
            f"{name}: {mean:+.4f} apart in the mean of {len(MANY)} prompts (may be {MARK}), {noise:.4f} in the mean "
            f"square (may be {NOISE}); llama.cpp with its usual cache {statistics.fmean(itself):+.4f} and "
            f"{square(itself):.4f} from itself",
            flush=True,
        )
    return int(failed)


def square(numbers):
    return statistics.fmean(number * number for number in numbers) ** 0.5


def compare(binary, weights, adapter, llama, prompts, other=None):
    """For llama.cpp's likeliest first token of each prompt: our log-probability less its own, and another's less that."""
    theirs = [next(iter(llama.first_token(prompt).items())) for prompt in prompts]
    asked = [{"text": prompt, "token": token} for prompt, (token, _) in zip(prompts, theirs)]
    ours = trainer(binary, weights, "logprob", *([adapter] if adapter else []), lines=asked)
    apart = [float(mine) - probability for mine, (_, probability) in zip(ours, theirs)]
    if other is None:
        return apart, []
    itself = [other.first_token(prompt, most=50)[token] - known for prompt, (token, known) in zip(prompts, theirs)]
    return apart, itself


sys.exit(main(*sys.argv[1:]))
