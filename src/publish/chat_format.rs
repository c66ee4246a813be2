//! How a base writes chats, in the words of Ollama.
//!
//! The base's own template is Jinja, Ollama's are Go's. A known format is taken only if it renders a chat to the very
//! text that the base's template gives, so it is proven for each base and not guessed from its name.

use std::path::Path;

use crate::session::Role;
use crate::training::gguf::Gguf;
use crate::training::tokenizer::{ChatTemplate, ChatTurn, Tokenizer};

/// A format that Ollama can be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// Ollama's template.
    pub(super) template: &'static str,
    /// What ends an answer.
    pub(super) stop: &'static [&'static str],
    /// What stands before the first turn, around each turn, and before the answer; `{role}` is its role.
    turn: (&'static str, &'static str, &'static str),
}

const KNOWN: [Format; 3] = [
    Format {
        template: "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
        stop: &["<|im_start|>", "<|im_end|>"],
        turn: ("<|im_start|>{role}\n", "<|im_end|>\n", "<|im_start|>assistant\n"),
    },
    Format {
        template: "{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n",
        stop: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        turn: (
            "<|start_header_id|>{role}<|end_header_id|>\n\n",
            "<|eot_id|>",
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    },
    Format {
        template: "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}</s>\n{{ end }}<|assistant|>\n",
        stop: &["<|system|>", "<|user|>", "<|assistant|>", "</s>"],
        turn: ("<|{role}|>\n", "</s>\n", "<|assistant|>\n"),
    },
];

/// What a base's file tells of how it chats.
#[derive(Debug, Default)]
pub(super) struct Chat {
    /// A known format, if it is one.
    pub(super) format: Option<Format>,
    /// The system prompt that the base's template writes where none is given.
    pub(super) system: Option<String>,
    own: Option<Own>,
}

/// The base's own template.
#[derive(Debug)]
struct Own {
    template: ChatTemplate,
    /// The sign of a text's beginning, where the template writes it: servers add it themselves.
    bos: Option<String>,
}

impl Chat {
    /// Reads it from a GGUF file; nothing is known of a file that has no usable template.
    pub(super) fn of(path: &Path) -> Self {
        let read = || {
            let file = Gguf::open(path).ok()?;
            let tokenizer = Tokenizer::from_gguf(&file).ok()?;
            let template = ChatTemplate::from_gguf(&file, &tokenizer).ok()?;
            Some((template, tokenizer.bos_text().to_owned()))
        };
        match read() {
            Some((template, bos)) => Self::from_template(template, bos),
            None => Chat::default(),
        }
    }

    fn from_template(template: ChatTemplate, bos: String) -> Self {
        let mut chat = Chat { own: Some(Own { template, bos: None }), ..Chat::default() };
        let turns = [
            turn(Role::System, "Be brief."),
            turn(Role::User, "One?"),
            turn(Role::Assistant, "Two."),
            turn(Role::User, "Three?"),
        ];
        let Some(own) = chat.render(&turns) else { return chat };
        // In some vocabularies the sign of the beginning is also that of a turn, so it is not taken off blindly.
        let without = own.strip_prefix(bos.as_str()).filter(|_| !bos.is_empty());
        let find = |text: &str| KNOWN.into_iter().find(|format| format.render(&turns) == text);
        let as_it_is = find(&own);
        chat.format = as_it_is.or_else(|| find(without?));
        let Some(format) = chat.format else { return chat };
        if let (Some(own), None) = (&mut chat.own, as_it_is) {
            own.bos = Some(bos);
        }
        // With no system prompt given, the base's template may write one of its own.
        let question = [turn(Role::User, "One?")];
        let bare = format.render(&question);
        let (before, after, _) = format.turn;
        let before = before.replace("{role}", "system");
        chat.system = chat.render(&question).and_then(|own| {
            Some(own.strip_suffix(&bare)?.strip_prefix(&before)?.strip_suffix(after)?.to_owned())
        });
        chat
    }

    /// The chat as the base's own template has it, without the sign of its beginning.
    fn render(&self, turns: &[ChatTurn]) -> Option<String> {
        let Own { template, bos } = self.own.as_ref()?;
        let text = template.render(turns, true).ok()?;
        Some(text.strip_prefix(bos.as_deref().unwrap_or_default()).unwrap_or(&text).to_owned())
    }

    /// Whether a server rendered this question as the base's own template does; `None` if nobody can tell.
    #[cfg(feature = "http")]
    pub(super) fn agrees(&self, system: &str, question: &str, rendered: &str) -> Option<bool> {
        self.format?;
        let system = Some(turn(Role::System, system)).filter(|turn| !turn.content.is_empty());
        let turns: Vec<ChatTurn> = system.into_iter().chain([turn(Role::User, question)]).collect();
        let bos = self.own.as_ref()?.bos.as_deref().unwrap_or_default();
        Some(rendered.strip_prefix(bos).unwrap_or(rendered) == self.render(&turns)?)
    }
}

impl Format {
    fn render(&self, turns: &[ChatTurn]) -> String {
        let (before, after, answer) = self.turn;
        let mut text = String::new();
        for turn in turns {
            text.push_str(&before.replace("{role}", &turn.role.to_string()));
            text.push_str(&turn.content);
            text.push_str(after);
        }
        text + answer
    }
}

fn turn(role: Role, content: &str) -> ChatTurn {
    ChatTurn { role, content: content.to_owned() }
}

#[cfg(feature = "http")]
#[cfg(test)]
mod tests {
    use super::*;

    fn chat(template: &str, bos: &str) -> Chat {
        Chat::from_template(ChatTemplate::new(template.into(), bos, "</s>").unwrap(), bos.into())
    }

    #[test]
    fn a_format_is_taken_only_if_it_gives_the_bases_own_text() {
        let chatml = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let found = chat(chatml, "<|im_start|>");
        assert_eq!(found.format.unwrap().stop, ["<|im_start|>", "<|im_end|>"]);
        assert_eq!(found.system.as_deref(), Some("You are helpful."));

        let llama3 = "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
        let found = chat(llama3, "<|begin_of_text|>");
        assert!(found.format.unwrap().template.contains("<|eot_id|>") && found.system.is_none());
        let rendered = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
        assert_eq!(found.agrees("", "Hi", rendered), Some(true));
        assert_eq!(found.agrees("", "Hi", "user: Hi"), Some(false));

        let zephyr = "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}";
        assert!(chat(zephyr, "<s>").format.unwrap().stop.contains(&"<|user|>"));

        // Nearly ChatML, and so not.
        let nearly = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + ' <|im_end|>' + '\n'}}{% endfor %}{{ '<|im_start|>assistant\n' }}";
        assert!(chat(nearly, "").format.is_none());
        let refuses = "{{ raise_exception('no system') }}";
        assert!(chat(refuses, "").format.is_none());
    }
}
