"""Adapter and merged file give the same first-token log-probabilities in llama.cpp as in our own forward pass.

llama.cpp rounds what goes into a quantised matrix to eight bits, so on quantised files it does not agree with itself:
its log-probabilities move by some hundredths when nothing but the type of its cache changes (docs/TRAINER.md). What a
file's weights say is therefore compared with the weights expanded to f32, where llama.cpp rounds nothing: base, base
with adapter, and merged file must agree within 0.02 on every prompt. With the files as they are, what is rounded is
noise: over many prompts it must cancel out, and be no larger than rounding makes it.
"""
import statistics
import sys

import gguf

from llama import Llama, trainer

MARK = 0.02
# For many prompts: the mean, which is about 0.01 by chance, and the root of the mean square.
MEAN, NOISE = 0.03, 0.12
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
        llama = Llama(weights, adapter)
        worst = max(map(abs, differences(binary, weights, adapter, llama, PROMPTS, likeliest(llama, PROMPTS))))
        failed |= worst > MARK
        print(f"{name}: {worst:.4f} apart at most on {len(PROMPTS)} prompts (may be {MARK})", flush=True)
    # Tokens that no rounding has chosen: whoever chooses the likeliest by rounded numbers has rounded it upwards.
    tokens = likeliest(Llama("base-f32.gguf"), MANY)
    cases = [
        ("base as stored", model, None),
        ("adapter, base as stored", model, "adapter.gguf"),
        ("merged as stored", "merged.gguf", None),
    ]
    for name, weights, adapter in cases:
        apart = differences(binary, weights, adapter, Llama(weights, adapter, exact_cache=True), MANY, tokens)
        mean, noise = statistics.fmean(apart), statistics.fmean(each * each for each in apart) ** 0.5
        failed |= abs(mean) > MEAN or noise > NOISE
        print(
            f"{name}: {mean:+.4f} apart in the mean of {len(apart)} prompts (may be {MEAN}), {noise:.4f} in the mean "
            f"square (may be {NOISE})",
            flush=True,
        )
    return int(failed)


def likeliest(llama, prompts):
    return [next(iter(llama.first_token(prompt))) for prompt in prompts]


def differences(binary, weights, adapter, llama, prompts, tokens):
    """Our log-probability of a token after each prompt less llama.cpp's, where it is among the likelier ones."""
    asked = [{"text": prompt, "token": token} for prompt, token in zip(prompts, tokens)]
    ours = map(float, trainer(binary, weights, "logprob", *([adapter] if adapter else []), lines=asked))
    theirs = (llama.first_token(prompt, most=50).get(token) for prompt, token in zip(prompts, tokens))
    return [mine - other for mine, other in zip(ours, theirs) if other is not None]


sys.exit(main(*sys.argv[1:]))
