//! The chat template that a GGUF file carries: Jinja as Hugging Face runs it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;

use crate::session::Role;
use crate::training::gguf::Gguf;

/// What the world uses where a model says nothing: ChatML.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// One turn of a chat, as templates see it.
#[derive(Debug, Clone, Serialize)]
pub struct ChatTurn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file has none, and its vocabulary has no ChatML signs either.
    #[error("the base model has no chat template; use an instruct (chat) model")]
    Missing,
    /// It does not parse.
    #[error("the base model's chat template cannot be read: {0}")]
    Syntax(#[source] Error),
    /// It refuses this chat, or breaks on it.
    #[error("the base model's chat template cannot render this chat: {0}")]
    Render(#[source] Error),
}

/// A base model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of a GGUF file, or ChatML where only its signs are there.
    pub fn from_gguf(file: &Gguf, tokenizer: &super::Tokenizer) -> Result<Self, TemplateError> {
        let source = match file.text("tokenizer.chat_template") {
            Ok(source) => source,
            Err(_) if tokenizer.has_special("<|im_end|>") => CHATML,
            Err(_) => return Err(TemplateError::Missing),
        };
        Self::new(source.to_owned(), tokenizer.bos_text(), tokenizer.eos_text())
    }

    /// A template from its source and the texts it may insert.
    pub fn new(source: String, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(TemplateError::Syntax)?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned("chat", source).map_err(TemplateError::Syntax)?;
        Ok(ChatTemplate { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The chat as text; with `answer_next`, what makes the model answer stands at the end.
    pub fn render(&self, turns: &[ChatTurn], answer_next: bool) -> Result<String, TemplateError> {
        let template = self.environment.get_template("chat").map_err(TemplateError::Syntax)?;
        let context = minijinja::context! {
            messages => Serde(turns),
            add_generation_prompt => answer_next,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            // What llama.cpp says to templates of models that think.
            enable_thinking => true,
            // And to those that want to know the day, as "26 Jul 2024".
            date_string => strftime_now("%d %b %Y").map_err(TemplateError::Render)?,
        };
        template.render(context).map_err(TemplateError::Render)
    }
}

fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// Python's `json.dumps`: a space after commas and colons, nothing escaped for HTML.
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    struct Spaced;
    impl serde_json::ser::Formatter for Spaced {
        fn begin_array_value<W: ?Sized + std::io::Write>(
            &mut self,
            w: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            if first { Ok(()) } else { w.write_all(b", ") }
        }
        fn begin_object_key<W: ?Sized + std::io::Write>(
            &mut self,
            w: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            if first { Ok(()) } else { w.write_all(b", ") }
        }
        fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
            w.write_all(b": ")
        }
    }
    let broken = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Vec::new();
    match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            let mut json = serde_json::Serializer::with_formatter(&mut out, formatter);
            value.serialize(&mut json).map_err(broken)?;
        }
        None => {
            let mut json = serde_json::Serializer::with_formatter(&mut out, Spaced);
            value.serialize(&mut json).map_err(broken)?;
        }
    }
    String::from_utf8(out).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> Vec<ChatTurn> {
        [(Role::System, "Be brief."), (Role::User, " Hi "), (Role::Assistant, "Hello!")]
            .map(|(role, content)| ChatTurn { role, content: content.into() })
            .to_vec()
    }

    #[test]
    fn chatml_and_the_ways_of_hugging_face() {
        let chatml = ChatTemplate::new(CHATML.into(), "", "").unwrap();
        assert_eq!(
            chatml.render(&chat()[..2], true).unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n"
        );
        // Blocks leave no line behind, methods are Python's, filters and namespaces work.
        let fancy = "{{- bos_token }}\n{%- set ns = namespace(n=0) %}\n{% for m in messages %}\n    {% if m.role != 'system' and m.get('content') is string %}\n{{ m.role.upper() + ': ' + m['content'].strip() | tojson }}\n    {% set ns.n = ns.n + 1 %}\n    {% endif %}\n{% endfor %}\n{{ ns.n }}{{ strftime_now('%Y') | length }}{{ messages[1:] | length }}";
        let fancy = ChatTemplate::new(fancy.into(), "<s>", "</s>").unwrap();
        assert_eq!(fancy.render(&chat(), false).unwrap(), "<s>USER: \"Hi\"\nASSISTANT: \"Hello!\"\n242");
    }

    #[test]
    fn a_template_may_refuse_and_a_broken_one_is_an_error() {
        let refuses = ChatTemplate::new("{{ raise_exception('no system here') }}".into(), "", "").unwrap();
        let error = refuses.render(&chat(), false).unwrap_err();
        assert!(format!("{error}").contains("no system here"), "{error}");
        assert!(matches!(ChatTemplate::new("{% for %}".into(), "", ""), Err(TemplateError::Syntax(_))));
    }
}
