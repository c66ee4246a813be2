#!/usr/bin/env python3
"""Trains with mlx-lm (Apple silicon), leaves a whole GGUF model.

    [training]
    trainer = "command"
    base = "path/to/base.gguf"          # the same model as BASE_MODEL

    [training.command]
    run = ["./trainers/mlx_lm.py", "--job", "{job}"]
    set = { BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct", LLAMA_CPP = "/opt/llama.cpp" }

mlx-lm learns the last message of a chat only, so a chat becomes as many as it has answers worth learning.
"""

import json
import sys
from pathlib import Path

from job import learned, read_chats, read_job, run, setting, tell, write_lines


def by_answer(chats):
    for chat in chats:
        for end, message in enumerate(chat, start=1):
            if learned(message):
                yield {"messages": [{"role": m["role"], "content": m["content"]} for m in chat[:end]]}


def main():
    job = read_job()
    base = setting("BASE_MODEL", "the base as mlx-lm loads it")
    llama_cpp = Path(setting("LLAMA_CPP", "a checkout of llama.cpp"))
    output = Path(job["output"])
    work = output / "mlx"
    work.mkdir(exist_ok=True)
    train = list(by_answer(read_chats(job["train"])))
    write_lines(work / "train.jsonl", train)
    # Without a file to measure with mlx-lm does not begin.
    write_lines(work / "valid.jsonl", list(by_answer(read_chats(job["held_out"]))) or train[:1])

    steps = max(1, -(-len(train) // job["batch"]) * job["epochs"])
    settings = {
        "model": base,
        "train": True,
        "data": str(work),
        "adapter_path": str(work / "adapters"),
        "fine_tune_type": "lora",
        "mask_prompt": True,
        "num_layers": -1,
        "lora_parameters": {"rank": job["rank"], "scale": job["alpha"] / job["rank"], "dropout": 0.0},
        "batch_size": min(job["batch"], len(train)),
        "iters": steps,
        "learning_rate": job["learning_rate"],
        "max_seq_length": job["max_length"],
        "steps_per_report": 1,
        "steps_per_eval": max(1, steps // job["epochs"]),
        "val_batches": -1,
        "seed": job["seed"],
    }
    (work / "config.yaml").write_text(json.dumps(settings, indent=1), encoding="utf-8")

    def step(found):
        tell(step=int(found.group(1)), steps=steps, loss=float(found.group(2)))

    run(["mlx_lm.lora", "--config", str(work / "config.yaml")], r"Iter (\d+): Train loss ([0-9.]+)", step)
    fused = work / "fused"
    run(["mlx_lm.fuse", "--model", base, "--adapter-path", str(work / "adapters"), "--save-path", str(fused)])
    converter = [sys.executable, str(llama_cpp / "convert_hf_to_gguf.py"), str(fused)]
    run([*converter, "--outfile", str(output / "merged.gguf"), "--outtype", "q8_0"])
    tell(artefact="merged.gguf")


if __name__ == "__main__":
    main()
