"""A short run on the real base model, through the program: sessions dropped, a version at the end.

    python3 tests/oracle/train.py ATLES

ATLES is an optimised build. The base, SmolLM2-135M-Instruct, is pulled once into .cache/, which git ignores. Whether the
version is good is not the question here (benches/useful asks that), but that the whole way holds: pull, chain, training
set, trigger, run, gate, artefact, logs. Exit code 75: the base cannot be had, since nobody answers who has it.
"""

import json, os, pathlib, shutil, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parents[2]
SESSIONS = 9
UNREACHABLE = 75


def main(atles):
    environment = {**os.environ, "ATLES_CACHE": str(HERE / ".cache")}

    def ask(*words):
        return subprocess.run([atles, *words], env=environment, capture_output=True, text=True)

    def run(*words):
        done = ask(*words)
        assert done.returncode == 0, f"atles {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    pulled = ask("models", "pull", "smollm2-135m-instruct")
    if pulled.returncode != 0:
        print(pulled.stderr, file=sys.stderr)
        answer = subprocess.run([sys.executable, HERE / ".ci" / "registry", "pypi"]).returncode
        sys.exit(UNREACHABLE if answer == UNREACHABLE else 1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text = (HERE / "pipeline.toml").read_text()
        for old, new in [
            ("epochs = 2\n", "epochs = 1\n"),
            ("max_length = 512", "max_length = 256"),
            ("examples = 64 ", "examples = 20 "),
            ("held_out = 0.15", "held_out = 0.25"),
        ]:
            assert old in text, old
            text = text.replace(old, new)
        config = folder / "pipeline.toml"
        config.write_text(text)
        home = folder / "atles_memory"
        (home / "spool").mkdir(parents=True)
        samples = sorted(path for path in (HERE / "sample_spool").iterdir() if path.name.startswith("2026-"))
        for path in samples[:SESSIONS]:
            shutil.copy(path, home / "spool")

        began = time.time()
        run("--config", str(config), "run", "--once")
        lines = [json.loads(line) for line in (home / "logs/training_log.jsonl").read_text().splitlines()]
        assert len(lines) == 1 and lines[0]["version"] == "v0001", lines
        record = lines[0]
        assert record["held_out_after"] < record["held_out_before"], record
        assert record["loss_last"] > 0 and len(record["losses"]) > 5, record
        assert record["base"] == "smollm2-135m-instruct" and record["tokens"] > 1000, record
        promoted = record["decision"] == "promoted"
        assert (home / "models/current").exists() == promoted, record
        assert (home / "models/v0001/adapter.gguf").stat().st_size > 1 << 20
        lineage = json.loads((home / "models/v0001/lineage.json").read_text())
        assert len(lineage["base"]["sha256"]) == 64 and len(lineage["sessions"]) == record["sessions"], lineage
        used = {session["session_id"] for session in lineage["sessions"]}
        logs = [json.loads(path.read_text()) for path in (home / "logs").glob("session_log_*.json")]
        told = [log for log in logs if log["session_id"] in used]
        assert told and all(log["training_run"] == record["run"] for log in told), told
        assert all(log["fine_tune_applied"] == promoted for log in told), told
        print(
            f"{record['version']} {record['decision']} after {time.time() - began:.0f} s: {record['reason']}; "
            f"{record['tokens_per_second']:.0f} tokens/s, {record['peak_rss_bytes'] >> 20} MiB"
        )


main(sys.argv[1])
