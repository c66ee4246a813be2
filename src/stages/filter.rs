//! `filter`: which sessions are worth learning. What does not pass settles as done, with the reason as its note.

use async_trait::async_trait;
use regex::RegexSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Envelope, Role, Session};
use crate::text::language;

/// Lets sessions through, or settles them as done with the reason. As it stands, every session in which the user or
/// the assistant said something passes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterSettings {
    /// Fewest messages of user and assistant together; instructions of the app and replies of tools do not count.
    /// Default 1.
    pub min_messages: usize,
    /// Most messages of user and assistant together. Absent: no limit.
    pub max_messages: Option<usize>,
    /// Roles that must each have spoken, as in `["user", "assistant"]`. Default: none.
    pub roles: Vec<Role>,
    /// Whose sessions pass, by user id, as in `{ deny = ["test-*"] }`.
    pub users: Names,
    /// Which chat apps' sessions pass, as in `{ allow = ["desk", "phone"] }`.
    pub apps: Names,
    /// Which languages of the user's words pass, as ISO 639-3 codes, as in `{ allow = ["eng", "deu"] }`. A session in
    /// which too little was said to tell its language passes.
    pub languages: Names,
    /// What user messages must say, or must not.
    pub patterns: Patterns,
}

/// Names that pass and names that do not. `*` stands for any characters, `?` for one; upper and lower case differ.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// Only these pass; a session that gives no name is none of them. Empty: all pass.
    pub allow: Vec<String>,
    /// These do not pass, even where `allow` lists them.
    pub deny: Vec<String>,
}

/// Regular expressions over the user's messages, as in `{ deny = ['(?i)\boff the record\b'] }`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Patterns {
    /// At least one of these must match some message of the user. Empty: nothing is required.
    pub require: Vec<String>,
    /// None of these may match any message of the user.
    pub deny: Vec<String>,
}

impl Default for FilterSettings {
    fn default() -> Self {
        FilterSettings {
            min_messages: 1,
            max_messages: None,
            roles: Vec::new(),
            users: Names::default(),
            apps: Names::default(),
            languages: Names::default(),
            patterns: Patterns::default(),
        }
    }
}

impl StageConfig for FilterSettings {
    const KIND: &'static str = "filter";

    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let mut problems = Vec::new();
        if self.max_messages.is_some_and(|max| max < self.min_messages) {
            problems.push(
                Problem::new("max_messages", format!("is less than min_messages ({})", self.min_messages))
                    .hint("no session could pass; raise it, or leave it out for no limit"),
            );
        }
        for (list, codes) in [("allow", &self.languages.allow), ("deny", &self.languages.deny)] {
            for (index, code) in codes.iter().enumerate() {
                problems.extend(unknown_language(code, format!("languages.{list}[{index}]")));
            }
        }
        let filter = Filter {
            min_messages: self.min_messages,
            max_messages: self.max_messages.unwrap_or(usize::MAX),
            users: NameRule::compile(&self.users, "users", &mut problems),
            apps: NameRule::compile(&self.apps, "apps", &mut problems),
            languages: NameRule::compile(&self.languages, "languages", &mut problems),
            require: compile(&self.patterns.require, "patterns.require", &mut problems),
            deny: compile(&self.patterns.deny, "patterns.deny", &mut problems),
            roles: self.roles,
        };
        if problems.is_empty() { Ok(Box::new(filter)) } else { Err(problems) }
    }
}

/// A code that no session can have, with what was probably meant.
fn unknown_language(code: &str, key: String) -> Option<Problem> {
    if code.contains(['*', '?']) || language::is_known(code) {
        return None;
    }
    let problem =
        Problem::new(key, format!("`{code}` is not the ISO 639-3 code of a language that is recognised"));
    Some(match language::code_of(code) {
        Some(meant) => problem.hint(format!("write `{meant}`")),
        None => problem.hint("three letters, such as `eng`, `deu`, `fra`, `spa`, `cmn`"),
    })
}

/// The regexes as one set; each that does not compile is a problem of its own.
fn compile(sources: &[String], key: &str, problems: &mut Vec<Problem>) -> RegexSet {
    let before = problems.len();
    for (index, source) in sources.iter().enumerate() {
        if let Err(error) = regex::Regex::new(source) {
            problems.push(Problem::new(format!("{key}[{index}]"), error.to_string()));
        }
    }
    if problems.len() > before {
        return RegexSet::empty();
    }
    RegexSet::new(sources).unwrap_or_else(|error| {
        problems.push(Problem::new(key, error.to_string()).hint("fewer or smaller patterns"));
        RegexSet::empty()
    })
}

/// [`Names`], ready to be asked.
struct NameRule {
    allow: RegexSet,
    deny: RegexSet,
}

impl NameRule {
    fn compile(names: &Names, key: &str, problems: &mut Vec<Problem>) -> Self {
        let globs = |list: &[String]| list.iter().map(|glob| glob_to_regex(glob)).collect::<Vec<_>>();
        NameRule {
            allow: compile(&globs(&names.allow), &format!("{key}.allow"), problems),
            deny: compile(&globs(&names.deny), &format!("{key}.deny"), problems),
        }
    }

    fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Why `name` does not pass: the list that says so.
    fn refuses(&self, name: Option<&str>) -> Option<&'static str> {
        match name {
            Some(name) if self.deny.is_match(name) => Some("is in deny"),
            Some(name) if !self.allow.is_empty() && !self.allow.is_match(name) => Some("is not in allow"),
            None if !self.allow.is_empty() => Some("is not given, and allow names some"),
            _ => None,
        }
    }
}

fn glob_to_regex(glob: &str) -> String {
    let mut regex = String::from(r"(?s)\A");
    for c in glob.chars() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(r"\z");
    regex
}

struct Filter {
    min_messages: usize,
    max_messages: usize,
    roles: Vec<Role>,
    users: NameRule,
    apps: NameRule,
    languages: NameRule,
    require: RegexSet,
    deny: RegexSet,
}

#[async_trait]
impl Stage for Filter {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        if !self.languages.is_empty() && envelope.learned.language.is_none() {
            envelope.learned.language = language::language(&envelope.session);
        }
        Ok(match self.refusal(&envelope.session, envelope.learned.language.as_deref()) {
            Some(reason) => Verdict::Finish { note: format!("filtered: {reason}") },
            None => Verdict::Continue,
        })
    }
}

impl Filter {
    /// Why the session does not pass: counts and names of settings, never what was said or by whom. The cheap
    /// questions come first.
    fn refusal(&self, session: &Session, language: Option<&str>) -> Option<String> {
        let messages =
            session.messages.iter().filter(|m| matches!(m.role, Role::User | Role::Assistant)).count();
        if messages < self.min_messages {
            return Some(format!("{}, min_messages is {}", counted(messages), self.min_messages));
        }
        if messages > self.max_messages {
            return Some(format!("{}, max_messages is {}", counted(messages), self.max_messages));
        }
        if let Some(role) = self.roles.iter().find(|role| session.spoken_by(**role).next().is_none()) {
            return Some(format!("no message of role {role}"));
        }
        if let Some(why) = self.users.refuses(session.user_id.as_deref()) {
            return Some(format!("the user {why} (users)"));
        }
        if let Some(why) = self.apps.refuses(session.app.as_deref()) {
            return Some(format!("the app {why} (apps)"));
        }
        if let Some(why) = language.and_then(|code| self.languages.refuses(Some(code))) {
            return Some(format!("the language {why} (languages)"));
        }
        self.refusal_by_pattern(session)
    }

    fn refusal_by_pattern(&self, session: &Session) -> Option<String> {
        if !self.deny.is_empty() {
            for (index, message) in session.spoken_by(Role::User) {
                if let Some(pattern) = self.deny.matches(&message.text).iter().next() {
                    return Some(format!("message {index} matches patterns.deny[{pattern}]"));
                }
            }
        }
        let required = self.require.is_empty()
            || session.spoken_by(Role::User).any(|(_, message)| self.require.is_match(&message.text));
        (!required).then(|| "no message of the user matches patterns.require".to_owned())
    }
}

fn counted(messages: usize) -> String {
    format!("{messages} message{}", if messages == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{FileFacts, Message};

    fn services() -> Services {
        Services::detached(std::path::Path::new("/"), std::path::Path::new("/"))
    }

    fn session() -> Session {
        Session {
            session_id: "s".into(),
            user_id: Some("ana".into()),
            app: Some("desk".into()),
            messages: vec![
                Message::new(Role::System, "Be brief."),
                Message::new(
                    Role::User,
                    "Why is the sky blue when the sun is as white as it is? Off the record.",
                ),
                Message::new(Role::Assistant, "Rayleigh scattering."),
            ],
            ..Session::default()
        }
    }

    /// The reason why the settings do not let the session pass.
    fn refused(settings: &str, session: Session) -> Option<String> {
        let settings: FilterSettings = toml::from_str(settings).unwrap();
        let stage = settings.build(&services()).unwrap();
        let mut envelope = Envelope::new(session, FileFacts::default());
        let cx = StageContext { name: "filter", attempt: 1, dry_run: false };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(stage.process(&mut envelope, &cx)).unwrap() {
            Verdict::Continue => None,
            Verdict::Finish { note } => Some(note),
        }
    }

    #[test]
    fn each_setting_refuses_what_it_says_and_names_itself_and_nothing_of_the_chat() {
        for (settings, reason) in [
            ("", None),
            ("min_messages = 2", None),
            ("min_messages = 3", Some("filtered: 2 messages, min_messages is 3")),
            ("max_messages = 1", Some("filtered: 2 messages, max_messages is 1")),
            ("roles = ['user', 'assistant']", None),
            ("roles = ['user', 'tool']", Some("filtered: no message of role tool")),
            ("users = { allow = ['a?a'] }", None),
            ("users = { allow = ['an', 'nana', 'Ana'] }", Some("filtered: the user is not in allow (users)")),
            ("users = { allow = ['*'], deny = ['a*'] }", Some("filtered: the user is in deny (users)")),
            ("users = { deny = ['a.a', 'an[a]'] }", None),
            ("apps = { deny = ['desk'] }", Some("filtered: the app is in deny (apps)")),
            ("languages = { allow = ['eng'] }", None),
            ("languages = { allow = ['deu'] }", Some("filtered: the language is not in allow (languages)")),
            (
                "patterns = { deny = ['x{9}', '(?i)\\boff the record\\b'] }",
                Some("filtered: message 1 matches patterns.deny[1]"),
            ),
            ("patterns = { deny = ['Rayleigh', 'brief'] }", None),
            ("patterns = { require = ['(?i)SKY', 'sea'] }", None),
            (
                "patterns = { require = ['sea'] }",
                Some("filtered: no message of the user matches patterns.require"),
            ),
        ] {
            assert_eq!(refused(settings, session()).as_deref(), reason, "{settings}");
        }
    }

    #[test]
    fn a_session_without_turns_user_or_language_is_judged_by_what_it_lacks() {
        let empty =
            || Session { messages: vec![Message::new(Role::System, "Be brief.")], ..Session::default() };
        assert_eq!(refused("", empty()).as_deref(), Some("filtered: 0 messages, min_messages is 1"));
        assert_eq!(refused("min_messages = 0", empty()), None);
        let nobody =
            || Session { user_id: None, messages: vec![Message::new(Role::User, "hm")], ..session() };
        assert_eq!(
            refused("users = { allow = ['*'] }", nobody()).as_deref(),
            Some("filtered: the user is not given, and allow names some (users)")
        );
        assert_eq!(refused("users = { deny = ['*'] }", nobody()), None);
        assert_eq!(refused("languages = { allow = ['deu'] }", nobody()), None);
    }

    #[test]
    fn every_mistake_in_the_settings_is_reported_with_its_key() {
        let settings: FilterSettings = toml::from_str(
            "min_messages = 5\nmax_messages = 2\nlanguages = { allow = ['eng', 'en'], deny = ['klingon'] }\n\
             patterns = { require = ['('], deny = ['ok', '[', 'a{99999999}'] }",
        )
        .unwrap();
        let problems = settings.build(&services()).err().unwrap();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "max_messages",
                "languages.allow[1]",
                "languages.deny[0]",
                "patterns.require[0]",
                "patterns.deny[1]",
                "patterns.deny[2]"
            ]
        );
        assert_eq!(problems[1].hint.as_deref(), Some("write `eng`"));
    }
}
