"""Whether training helps: what a run gains on chats that it never saw, what it costs elsewhere, and whether the gate
notices a run on answers that do not belong to their questions.

    python3 benches/useful/useful.py ATLES MODEL.gguf                        the sample sessions, by lot and shuffled
    python3 benches/useful/useful.py ATLES MODEL.gguf LOCOMO_FOLDER USER     a user's sessions, the last quarter held out

ATLES is the program (a release build), MODEL.gguf a base model. Needs Python 3 and nothing else. Every run happens in a
temporary home of its own and goes the whole way: spool, chain, training set, run, gate.
"""

import json, pathlib, random, shutil, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parents[2]
OVERRIDES = sys.argv[5:] if len(sys.argv) > 5 else []


def home(folder, model, sessions, held_out_by, share):
    text = (HERE / "pipeline.toml").read_text()
    for old, new in [
        ('base = "smollm2-135m-instruct"', f'base = "{model}"'),
        ('mode = "collect" ', 'mode = "manual" '),
        ('held_out_by = "lot"', f'held_out_by = "{held_out_by}"'),
        ("held_out = 0.15", f"held_out = {share}"),
        ("in_flight = 64", "in_flight = 1"),
        ('grace = "10s"', 'grace = "1s"'),
    ]:
        assert old in text, old
        text = text.replace(old, new)
    for override in OVERRIDES:
        key, value = override.split("=")
        lines = [l for l in text.split("\n") if l.startswith(key + " = ")]
        assert len(lines) == 1, (key, lines)
        text = text.replace(lines[0], f"{key} = {value}")
    (folder / "pipeline.toml").write_text(text)
    spool = folder / "atles_memory" / "spool"
    spool.mkdir(parents=True)
    for number, path in enumerate(sessions):
        shutil.copy(path, spool / f"{number:03}-{path.name}")


def shuffle(folder):
    """Deals the answers that are to be learned out anew, across sessions."""
    path = folder / "atles_memory" / "training_data" / "set" / "sessions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    answers = [turn for line in lines for turn in line["chat"] if turn.get("learn")]
    texts = [turn["text"] for turn in answers]
    random.Random(1).shuffle(texts)
    for turn, text in zip(answers, texts):
        turn["text"] = text
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def train(atles, model, sessions, held_out_by="lot", share=0.15, shuffled=False):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        home(folder, model, sessions, held_out_by, share)
        command = [atles, "--config", str(folder / "pipeline.toml")]
        subprocess.run(command + ["run", "--once"], capture_output=True)
        if shuffled:
            shuffle(folder)
        ran = subprocess.run(command + ["train", "--now", "--json"], capture_output=True, text=True)
        if ran.returncode != 0:
            return {"error": ran.stderr.strip()}
        record = json.loads(ran.stdout)
        metrics = json.loads((folder / "atles_memory/models" / record["version"] / "metrics.json").read_text())
        return {**record, "confidence": metrics["confidence"], "relevance": metrics["relevance"],
                "seconds": metrics["seconds"], "curve": [metrics["losses"][0], metrics["losses"][-1]]}


def tell(name, r):
    if "error" in r:
        print(f"{name}: {r['error']}")
        return
    share = lambda before, after: f"{before:.3f} -> {after:.3f} ({100 * (after / before - 1):+.1f} %)"
    relevance = "{:.3f}".format(r["relevance"]) if r["relevance"] is not None else "-"
    print(f"""{name}
  learned      {r['examples_train']} answers, {r['examples_held_out']} held out, of {r['sessions']} sessions
  held out     {share(r['held_out_before'], r['held_out_after'])}
  general      {share(r['anchor_before'], r['anchor_after'])}
  relevance    {relevance} nats per token
  speed        {r['tokens']} tokens, {r['tokens_per_second']:.0f} a second; {r['seconds']:.0f} s in all, {r['peak_rss_bytes'] >> 20} MiB
  {r['decision']}: {r['reason']}""", flush=True)


def main():
    atles, model = sys.argv[1], str(pathlib.Path(sys.argv[2]).resolve())
    if len(sys.argv) > 4 and sys.argv[3] != "-":
        folder, user = pathlib.Path(sys.argv[3]), sys.argv[4]
        sessions = [p for p in folder.glob("*.json") if json.loads(p.read_text())["user_id"] == user]
        sessions.sort(key=lambda p: json.loads(p.read_text())["start_time"])
        tell(f"LoCoMo {user}, last quarter held out", train(atles, model, sessions, "time", 0.25))
        tell(f"LoCoMo {user}, answers shuffled", train(atles, model, sessions, "time", 0.25, shuffled=True))
        return
    samples = sorted((HERE / "sample_spool").iterdir())
    tell("samples, by lot", train(atles, model, samples, share=0.25))
    tell("samples, answers shuffled", train(atles, model, samples, share=0.25, shuffled=True))


main()
