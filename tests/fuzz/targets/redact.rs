use atles::session::{Message, Role, Session};
use atles::stages::redact::{RedactSettings, Redactor};

use crate::driver::Target;
use crate::seeds;

/// Texts with a secret in them, and JSON.
pub(crate) struct Redaction {
    redactor: Redactor,
    secrets: Vec<String>,
}

/// Secrets of shapes that speak for themselves, put together at run time so that no scanner takes this file for a leak.
fn secrets() -> Vec<String> {
    vec![
        format!("AKIA{}", "IOSFODNN7EXAMPLQ"),
        format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"),
        format!("xoxb-{}", "1234567890-0987654321-AbCdEfGhIjKlMnOpQrStUvWx"),
        format!("sk-ant-api03-{}AA", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7b".repeat(4).get(..93).unwrap()),
        "maren.lindqvist@fjordmail.org".to_owned(),
        "DE89370400440532013000".to_owned(),
        "4111111111111111".to_owned(),
    ]
}

impl Target for Redaction {
    const NAME: &'static str = "redact";
    const INPUTS: u64 = 700;
    const VARIANTS: usize = 21;
    const WORDS: &'static [&'static str] = &[
        "password",
        "password=",
        "pwd: ",
        "api_key",
        "secret",
        "token",
        "Authorization: Bearer ",
        "postgres://u:",
        "@db.example.org/x",
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "-----END RSA PRIVATE KEY-----",
        "eyJhbGciOi",
        "sk-",
        "ghp_",
        "AKIA",
        "xoxb-",
        "+49 170 ",
        "(555) 123-4567",
        "192.168.0.1",
        "8.8.8.8",
        "2001:db8::1",
        "DE89 3704",
        "4111 1111",
        "<EMAIL_1>",
        "<PASSWORD_2>",
        "<GITHUB_TOKEN_1",
        "content",
        "role",
        "arguments",
        "user",
        "name",
        "\\n",
        "\\u0040",
        "@",
        "://",
        "=",
        "curl -u bob:",
        "machine h login b password ",
    ];

    fn new() -> Self {
        let redactor = RedactSettings::default().redactor([7; 32]).unwrap();
        Redaction { redactor, secrets: secrets() }
    }

    fn seeds() -> Vec<Vec<u8>> {
        let mut seeds = seeds::chats();
        seeds.extend(seeds::files(&["src/stages/redact"]));
        // Numbers, and no space far and wide: what looks back for one must not look far.
        seeds.push(r#"","use03-16T19"#.repeat(6000).into_bytes());
        seeds
    }

    fn take(&mut self, input: &[u8], variant: usize) {
        let secret = &self.secrets[variant % self.secrets.len()];
        let text = String::from_utf8_lossy(input);
        match variant / self.secrets.len() {
            0 => self.messages(&text, secret),
            1 => self.messages(&text.replace(['\n', '\r'], " "), secret),
            _ => self.document(input),
        }
    }
}

impl Redaction {
    /// A secret on a line of its own, somewhere in the text: as a message, its answer and its metadata.
    fn messages(&self, text: &str, secret: &str) {
        if text.contains(secret) {
            // As a part of something longer it may be none.
            return;
        }
        let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (before, behind) = text.split_at(middle);
        let mut session = Session {
            session_id: "s".into(),
            messages: vec![
                Message::new(Role::User, format!("{before}\n{secret}\n{behind}")),
                Message::new(Role::Assistant, format!("{secret}\n{before}")),
                Message::new(Role::User, behind),
            ],
            ..Session::default()
        };
        session.messages[2].name = Some(before.chars().take(100).collect());
        session.metadata.insert("note".into(), format!("{behind}\n{secret}").into());
        self.redactor.session(&mut self.redactor.scope(), &mut session);
        let first = serde_json::to_string(&session).unwrap();
        assert!(!first.contains(secret), "a secret is left in {first}");
        self.redactor.session(&mut self.redactor.scope(), &mut session);
        let second = serde_json::to_string(&session).unwrap();
        assert_eq!(first, second, "the second time changes something");
    }

    fn document(&self, input: &[u8]) {
        let Some(redacted) = self.redactor.redact_document(input) else { return };
        let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        assert!(!is_json(input) || is_json(&redacted), "no JSON any more");
        let again = self.redactor.redact_document(&redacted).expect("still JSON, or lines of it");
        assert_eq!(String::from_utf8_lossy(&redacted), String::from_utf8_lossy(&again), "the second time");
    }
}
