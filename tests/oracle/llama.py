"""llama.cpp, and the trainer's binary, as the checks ask them."""
import json
import os
import subprocess
import urllib.error
import urllib.request

import gguf
import numpy
import xllamacpp


class Llama:
    """A model in llama.cpp's own server, in this process."""

    def __init__(self, model, adapter=None, template=None, exact_cache=False):
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx = 512
        params.n_parallel = 1
        params.warmup = False
        params.fit_params = False
        params.verbosity = -1
        # An answer at the end of a chat is an answer, not the beginning of one.
        params.prefill_assistant = False
        # Two threads of llama.cpp wait for each other by spinning, which on a busy machine takes ten times as long.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        if exact_cache:
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if adapter:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        if template:
            params.use_jinja = True
            params.chat_template = template
        self.server = xllamacpp.Server(params)

    def ask(self, path, **body):
        request = urllib.request.Request(
            self.server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def tokens(self, text):
        return self.ask("/tokenize", content=text, add_special=False, parse_special=True)["tokens"]

    def render(self, messages, answer_next):
        """The chat as text; None where the template refuses it."""
        try:
            return self.ask("/apply-template", messages=messages, add_generation_prompt=answer_next)["prompt"]
        except urllib.error.HTTPError:
            return None

    def first_token(self, prompt, most=5):
        """The likeliest first tokens after a text and their log-probabilities."""
        answer = self.ask(
            "/completion", prompt=prompt, n_predict=1, n_probs=most, temperature=0.0, cache_prompt=False
        )
        return {token["id"]: token["logprob"] for token in answer["completion_probabilities"][0]["top_logprobs"]}


def trainer(binary, model, *task, lines=(), **environment):
    """What the trainer's binary answers, a line for each of `lines`."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    done = subprocess.run(
        [str(part) for part in (binary, model, *task)],
        input=text,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.splitlines()


def model_with_vocabulary(vocabulary, place):
    """Writes a model of one small block around the tokenizer of one of llama.cpp's vocabulary files."""
    reader = gguf.GGUFReader(vocabulary)
    tokens = reader.get_field("tokenizer.ggml.tokens")
    width = 32
    writer = gguf.GGUFWriter(place, "llama")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens.data))
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            kind, *of = field.types
            writer.add_key_value(name, field.contents(), kind, of[-1] if of else None)
    random = numpy.random.default_rng(0)
    square = (random.standard_normal((width, width)) * 0.1).astype(numpy.float32)
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{part}.weight", square)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", numpy.ones(width, dtype=numpy.float32))
    writer.add_tensor("token_embd.weight", random.standard_normal((len(tokens.data), width)).astype(numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
