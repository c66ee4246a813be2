"""The examples with stand-ins for axolotl, mlx-lm and llama.cpp. Run: python3 examples/trainers/test_trainers.py"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
CHAT = [
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "bad", "weight": 0},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "good “é”"},
]
CONVERTER = 'import sys\nopen(sys.argv[sys.argv.index("--outfile") + 1], "w").write(" ".join(sys.argv[1:]))\n'


class Trainers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ["bin", "llama", "output"]:
            (self.folder / name).mkdir()
        for name in ["convert_lora_to_gguf.py", "convert_hf_to_gguf.py"]:
            (self.folder / "llama" / name).write_text(CONVERTER)
        for name in ["train", "held_out"]:
            (self.folder / f"{name}.jsonl").write_text(json.dumps({"messages": CHAT}) + "\n", encoding="utf-8")
        self.job = {
            "version": 1, "train": str(self.folder / "train.jsonl"), "held_out": str(self.folder / "held_out.jsonl"),
            "output": str(self.folder / "output"), "chats_train": 1, "chats_held_out": 1, "rank": 8, "alpha": 16.0,
            "learning_rate": 2e-4, "epochs": 2, "batch": 1, "max_length": 512, "seed": 0, "threads": 0,
        }
        (self.folder / "job.json").write_text(json.dumps(self.job))

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(f"#!{sys.executable}\n{text}\n")
        path.chmod(0o700)

    def run_example(self, name, **env):
        env = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "BASE_MODEL": "m",
            "LLAMA_CPP": str(self.folder / "llama"), "LANG": "C.UTF-8", **env,
        }
        done = subprocess.run(
            [sys.executable, str(HERE / name), "--job", str(self.folder / "job.json")],
            env={key: value for key, value in env.items() if value}, capture_output=True, text=True, encoding="utf-8",
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def test_axolotl_gets_marked_answers_and_leaves_an_adapter(self):
        self.program("axolotl", "print(\"{'loss': 2.5, 'epoch': 0.5}\")\nprint(\"{'loss': '1.5', 'epoch': 1}\")")
        code, lines, errors = self.run_example("axolotl.py")
        self.assertEqual(code, 0, errors)
        expected = [{"step": 1, "steps": 2, "loss": 2.5}, {"step": 2, "steps": 2, "loss": 1.5}, {"artefact": "adapter.gguf"}]
        self.assertEqual(lines, expected)
        work = self.folder / "output" / "axolotl"
        chat = json.loads((work / "train.jsonl").read_text(encoding="utf-8"))["messages"]
        self.assertEqual([message["training"] for message in chat], [False, False, False, True])
        config = json.loads((work / "config.yaml").read_text())
        self.assertEqual((config["lora_r"], config["datasets"][0]["path"]), (8, str(work / "train.jsonl")))
        self.assertIn(f"{work / 'out'} --outfile", (self.folder / "output" / "adapter.gguf").read_text())

    def test_mlx_learns_the_answers_that_are_worth_it(self):
        self.program("mlx_lm.lora", "print('Iter 1: Val loss 3.0')\nprint('Iter 2: Train loss 1.25, Learning Rate 1e-4')")
        self.program("mlx_lm.fuse", "")
        code, lines, errors = self.run_example("mlx_lm.py")
        self.assertEqual(code, 0, errors)
        self.assertEqual(lines, [{"step": 2, "steps": 2, "loss": 1.25}, {"artefact": "merged.gguf"}])
        text = (self.folder / "output" / "mlx" / "train.jsonl").read_text(encoding="utf-8")
        chats = [json.loads(line)["messages"] for line in text.splitlines()]
        self.assertEqual([[m["content"] for m in chat] for chat in chats], [["one?", "bad", "two?", "good “é”"]])

    def test_what_goes_wrong_is_told(self):
        code, lines, _ = self.run_example("axolotl.py", BASE_MODEL="")
        self.assertEqual((code, "BASE_MODEL" in lines[0]["error"]), (1, True))
        self.program("axolotl", "import sys; sys.exit(9)")
        code, lines, _ = self.run_example("axolotl.py")
        self.assertEqual((code, lines), (1, [{"error": "axolotl ended with 9"}]))
        code, lines, _ = self.run_example("mlx_lm.py")
        self.assertIn("mlx_lm.lora cannot be started", lines[0]["error"])


if __name__ == "__main__":
    unittest.main()
