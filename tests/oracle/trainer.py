"""Our forward pass, adapter and merged file against llama.cpp (`pip install xllamacpp gguf`).

    python tests/oracle/trainer.py TRAINER_BENCH_BINARY MODEL.gguf EMPTY_FOLDER

The binary is that of `cargo bench --bench trainer --no-run`. Exit code 0: every first-token log-probability agrees
within 0.02, and the `gguf` package reads both files. llama.cpp rounds activations to 8 bits where weights are
quantised; so the models are compared with their weights expanded to f32, and as they are with a wider mark.
"""
import subprocess, sys
import gguf
import xllamacpp as xl

PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


def llama(model, adapter=None):
    p = xl.CommonParams()
    p.model.path = model
    p.n_ctx = 256
    p.n_parallel = 1
    p.warmup = False
    p.cpuparams.n_threads = 1
    if adapter:
        p.lora_adapters = [xl.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xl.Server(p)
    answer = server.handle_completions(
        {"prompt": PROMPT, "n_predict": 1, "n_probs": 5, "temperature": 0.0, "cache_prompt": False}
    )
    if isinstance(answer, str):
        import json
        answer = json.loads(answer)
    first = answer.get("completion_probabilities") or answer["choices"][0]["logprobs"]["content"]
    return {t["id"]: t["logprob"] for t in first[0]["top_logprobs"]}


def ours(binary, model, ids, adapter=None):
    args = [binary, model, "logprob", PROMPT] + ([adapter] if adapter else [])
    out = subprocess.run(args, input=" ".join(map(str, ids)), capture_output=True, text=True, check=True).stdout
    return [float(line) for line in out.split()]


def main(binary, model, folder):
    subprocess.run([binary, model, "artefacts", folder], check=True)
    adapter, merged = folder + "/adapter.gguf", folder + "/merged.gguf"
    for path in (adapter, merged):
        print(path, len(gguf.GGUFReader(path).tensors), "tensors")
    plain, plain_merged = folder + "/base-f32.gguf", folder + "/merged-f32.gguf"
    subprocess.run([binary, model, "plain", plain], check=True)
    subprocess.run([binary, merged, "plain", plain_merged], check=True)
    failed = False
    for name, weights, lora, mark in (
        ("base f32", plain, None, 0.02),
        ("adapter f32", plain, adapter, 0.02),
        ("merged f32", plain_merged, None, 0.02),
        ("base", model, None, 0.15),
        ("adapter", model, adapter, 0.15),
        ("merged", merged, None, 0.15),
    ):
        theirs = llama(weights, lora)
        apart = []
        for (token, theirs), mine in zip(theirs.items(), ours(binary, weights, theirs, lora)):
            print(f"{name:12} token {token:6} llama.cpp {theirs:8.4f} ours {mine:8.4f} apart {abs(theirs - mine):.4f}")
            apart.append(abs(theirs - mine))
        failed |= apart[0] > mark
        print(f"{name:12} first token {apart[0]:.4f} apart (may be {mark})")
    return int(failed)


sys.exit(main(*sys.argv[1:]))
