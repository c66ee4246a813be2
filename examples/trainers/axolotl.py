#!/usr/bin/env python3
"""Trains with axolotl (Linux, NVIDIA or AMD), leaves a GGUF adapter.

    [training]
    trainer = "command"
    base = "path/to/base.gguf"          # the same model as BASE_MODEL: the adapter is measured and published on it

    [training.command]
    run = ["./trainers/axolotl.py", "--job", "{job}"]
    set = { BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct", LLAMA_CPP = "/opt/llama.cpp" }

BASE_MODEL is a model of the hub or a folder, LLAMA_CPP a checkout of llama.cpp, whose converter makes the adapter.
"""

import json
import sys
from pathlib import Path

from job import learned, read_chats, read_job, run, setting, tell, write_lines


def marked(chats):
    """Chats with a mark at each message of whether it is learned, as axolotl's `message_field_training` wants it."""
    for chat in chats:
        messages = [{"role": m["role"], "content": m["content"], "training": learned(m)} for m in chat]
        yield {"messages": messages}


def config(job, base, work):
    """JSON is YAML too, so no library is needed."""

    def dataset(name):
        return {
            "path": str(work / name),
            "ds_type": "json",
            "split": "train",
            "type": "chat_template",
            "chat_template": "tokenizer_default",
            "field_messages": "messages",
            "message_property_mappings": {"role": "role", "content": "content"},
            "roles_to_train": [],
            "message_field_training": "training",
            "train_on_eos": "turn",
        }

    settings = {
        "base_model": base,
        "adapter": "lora",
        "lora_r": job["rank"],
        "lora_alpha": job["alpha"],
        "lora_dropout": 0.0,
        "lora_target_linear": True,
        "sequence_len": job["max_length"],
        "sample_packing": False,
        "datasets": [dataset("train.jsonl")],
        "dataset_prepared_path": str(work / "prepared"),
        "output_dir": str(work / "out"),
        "num_epochs": job["epochs"],
        "micro_batch_size": job["batch"],
        "gradient_accumulation_steps": 1,
        "learning_rate": job["learning_rate"],
        "lr_scheduler": "cosine",
        "warmup_ratio": 0.05,
        "optimizer": "adamw_torch",
        "max_grad_norm": 1.0,
        "bf16": "auto",
        "logging_steps": 1,
        "saves_per_epoch": 1,
        "auto_resume_from_checkpoints": True,
        "seed": job["seed"],
    }
    if job["chats_held_out"]:
        settings["test_datasets"] = [dataset("held_out.jsonl")]
        settings["evals_per_epoch"] = 1
    return settings


def main():
    job = read_job()
    base = setting("BASE_MODEL", "the base as axolotl loads it")
    llama_cpp = Path(setting("LLAMA_CPP", "a checkout of llama.cpp"))
    output = Path(job["output"])
    # The folder outlives a restart: what axolotl saved there is taken up.
    work = output / "axolotl"
    work.mkdir(exist_ok=True)
    write_lines(work / "train.jsonl", marked(read_chats(job["train"])))
    write_lines(work / "held_out.jsonl", marked(read_chats(job["held_out"])))
    (work / "config.yaml").write_text(json.dumps(config(job, base, work), indent=1), encoding="utf-8")

    steps = -(-job["chats_train"] // job["batch"]) * job["epochs"]
    done = 0

    def step(found):
        nonlocal done
        done += 1
        tell(step=done, steps=steps, loss=float(found.group(1)))

    run(["axolotl", "train", str(work / "config.yaml")], r"'loss': '?([0-9.]+)", step)
    converter = [sys.executable, str(llama_cpp / "convert_lora_to_gguf.py"), str(work / "out")]
    run([*converter, "--outfile", str(output / "adapter.gguf"), "--outtype", "f32"])
    tell(artefact="adapter.gguf")


if __name__ == "__main__":
    main()
