"""Losses of the first steps against transformers with PEFT, and that every matrix of the adapter learns.

The reference is recorded: PyTorch is too large to fetch for every change. `benches/trainer/against_peft.py` measures
it anew.
"""
import json
import sys
from pathlib import Path

from llama import trainer


def main(binary, model, _):
    reference = json.loads((Path(__file__).parent / "reference.json").read_text())
    failed = False
    for line in map(json.loads, trainer(binary, model, "losses")):
        expected = reference["first_loss"][str(line["rows"])]
        apart = abs(line["losses"][0] - expected) / expected
        failed |= apart > 0.005
        falling = all(later < earlier for earlier, later in zip(line["losses"], line["losses"][1:]))
        failed |= not falling
        print(f"{line['rows']} tokens: first loss {line['losses'][0]:.5f}, PEFT {expected:.5f}, {apart:.3%} apart")
    first, second = map(json.loads, trainer(binary, model, "gradients"))
    failed |= first["b"] != first["of"] or second["a"] != second["of"] or second["b"] != second["of"]
    print(f"with a gradient: {first['b']} of {first['of']} B at step 1, {second['a']} A and {second['b']} B at step 2")
    return int(failed)


sys.exit(main(*sys.argv[1:]))
