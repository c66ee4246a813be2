"""Chats as llama.cpp renders them: with the base's own template, and with those of the families that can be trained."""
import sys
from pathlib import Path

from llama import Llama, trainer
import json

TEMPLATES = [
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-QwQ-32B",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "HuggingFaceTB-SmolLM3-3B",
    "mistralai-Mistral-Nemo-Instruct-2407",
]


def turn(role, content):
    return {"role": role, "content": content}


CHATS = [
    ([turn("user", "What is 2+2?")], True),
    ([turn("user", " Hi \n"), turn("assistant", "Hello! 👋"), turn("user", "Bye")], True),
    ([turn("system", "Be brief."), turn("user", "Why?"), turn("assistant", "Because.")], False),
    ([turn("system", ""), turn("user", "{{ x }} {% if y %} <|im_end|>"), turn("assistant", "a\n\nb ")], False),
    ([turn("user", "one"), turn("user", "two"), turn("assistant", "<b>\"three\" & 'four'</b>")], False),
]


def main(binary, model, facts):
    wrong = 0
    sources = [("the base's own", None)]
    sources += [(name, (Path(facts) / "templates" / f"{name}.jinja").read_text()) for name in TEMPLATES]
    for name, source in sources:
        llama = Llama(model, template=source)
        asked = [{"template": source, "messages": messages, "answer_next": next} for messages, next in CHATS]
        ours = [json.loads(line) for line in trainer(binary, model, "chat", lines=asked)]
        theirs = [llama.render(messages, next) for messages, next in CHATS]
        for chat, (mine, other) in enumerate(zip(ours, theirs)):
            if mine != other:
                wrong += 1
                print(f"{name}, chat {chat}:\n  ours      {mine!r}\n  llama.cpp {other!r}")
        agree = sum(mine == other for mine, other in zip(ours, theirs))
        refused = sum(mine is None for mine in ours)
        print(f"{name}: {agree} of {len(CHATS)} chats agree" + (f" ({refused} refused by both)" if refused else ""))
    return int(wrong > 0)


sys.exit(main(*sys.argv[1:]))
