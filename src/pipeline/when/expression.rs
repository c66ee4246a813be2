use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::{Context, Env, ExecutionError, ParseError, Value, extensions};
use serde_json::Map;
use thiserror::Error;

use super::check::Checker;
use super::rewrite::{Pattern, declare, name, take_patterns};
use super::shapes::{Shape, VARIABLES};
use super::values::{Uses, longest_list, variable};
use crate::session::{
    Envelope, Fact, Feedback, FileFacts, KeyPhrase, Learned, Message, Patterns, Polarity, Preference, Quote,
    Role, Session, Topic,
};

/// Characters in an expression.
const LONGEST: usize = 1000;

/// The parser needs up to 200 KiB of stack for each level of nesting in a development build, and stops at 96
/// levels. The memory is only used as far as the expression is nested.
const STACK: usize = 64 << 20;

/// Steps that loops inside loops may take over one session, before it counts as a mistake: some seconds.
const MOST_STEPS: usize = 1_000_000;

static ENV: LazyLock<Option<Arc<Env>>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    env.add_extension(extensions::strings).ok()?;
    declare(&mut env).ok()?;
    Some(Arc::new(env))
});

/// A condition of a stage.
#[derive(Clone)]
pub struct When(Arc<Compiled>);

struct Compiled {
    source: String,
    expression: IdedExpr,
    patterns: Vec<Pattern>,
    uses: Uses,
    /// Loops inside loops.
    deepest_loop: usize,
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhenProblem {
    /// Where, in bytes of the expression, if that is known.
    pub at: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Why a condition could not be decided for a session. Says nothing of the session's texts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the condition `{expression}` cannot be decided: {reason}")]
pub struct WhenError {
    /// The expression.
    pub expression: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("When").field(&self.0.source).finish()
    }
}

impl When {
    /// Reads an expression and checks all its names, fields, functions and patterns, and that it gives true or
    /// false.
    pub fn compile(source: &str) -> Result<When, Vec<WhenProblem>> {
        let whole = |message: &str, hint: Option<&str>| {
            vec![WhenProblem { at: None, message: message.to_owned(), hint: hint.map(str::to_owned) }]
        };
        if source.trim().is_empty() {
            return Err(whole("the condition is empty", Some("leave `when` out to run the stage always")));
        }
        if source.chars().count() > LONGEST {
            return Err(whole("the condition is longer than 1000 characters", None));
        }
        let owned = source.to_owned();
        // A stack of its own, and a wall around a parser that is not ours.
        let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || compile(owned));
        match worker.map(|worker| worker.join()) {
            Ok(Ok(compiled)) => {
                let when = When(Arc::new(compiled?));
                when.rehearse()?;
                Ok(when)
            }
            Ok(Err(_)) => Err(whole("the condition cannot be read", None)),
            Err(error) => Err(whole(&format!("no thread to read the condition: {error}"), None)),
        }
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether it holds for a session at this point of its way.
    pub fn holds(&self, envelope: &Envelope) -> Result<bool, WhenError> {
        self.evaluate(envelope).map_err(|reason| WhenError {
            expression: self.0.source.clone(),
            reason: match reason {
                Reason::Cel(error) => self.told(&error),
                Reason::Said(reason) => reason.to_owned(),
            },
        })
    }

    fn evaluate(&self, envelope: &Envelope) -> Result<bool, Reason> {
        let Compiled { expression, patterns, uses, deepest_loop, .. } = &*self.0;
        let loops = u32::try_from(*deepest_loop).unwrap_or(u32::MAX);
        if loops > 1 && longest_list(envelope).saturating_pow(loops) > MOST_STEPS {
            return Err(Reason::Said("the session is too long for loops inside loops"));
        }
        let Some(env) = ENV.as_ref() else { return Err(Reason::Said("CEL is not available")) };
        let mut context = Context::with_env(Arc::clone(env));
        for (variable_name, _) in VARIABLES {
            if uses.iter().any(|(used, _)| used == variable_name) {
                context.add_variable_as_val(*variable_name, variable(variable_name, uses, envelope));
            }
        }
        for (i, pattern) in patterns.iter().enumerate() {
            context.add_variable_as_val(name(i), Box::new(pattern.clone()));
        }
        let value = Value::resolve_val(expression, &context).map_err(|error| Reason::Cel(Box::new(error)))?;
        let answer = value.downcast_ref::<CelBool>().map(|answer| *answer.inner());
        answer.ok_or(Reason::Said("it gives neither true nor false"))
    }

    /// Runs the condition on a made-up session that has one of everything: what fails there for its types would
    /// fail for every session.
    fn rehearse(&self) -> Result<(), Vec<WhenProblem>> {
        let error = match self.evaluate(&sample()) {
            Err(Reason::Cel(error)) if !depends_on_data(&error) => self.told(&error),
            Err(Reason::Said(reason)) => reason.to_owned(),
            _ => return Ok(()),
        };
        Err(vec![WhenProblem { at: None, message: error, hint: None }])
    }

    /// An error in words that hold nothing of the session: CEL's own show the values.
    fn told(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::NoSuchKey(key) if self.0.source.contains(key.as_str()) => {
                format!("there is no key `{key}`; ask with `\"{key}\" in …` first")
            }
            ExecutionError::NoSuchKey(_) => "there is no such key".to_owned(),
            ExecutionError::NoSuchOverload(overload) => {
                let operator = overload.function().replace('_', "").replace("@in", "in");
                format!("`{operator}` cannot be used on {}", overload.argument_types().join(" and "))
            }
            ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
                let sign = match *operator {
                    "add" => "+",
                    "sub" => "-",
                    "mul" => "*",
                    "div" => "/",
                    "rem" => "%",
                    other => other,
                };
                format!("`{sign}` cannot be used on {} and {}", a.type_of(), b.type_of())
            }
            ExecutionError::InvalidArgumentCount { expected, actual } => {
                format!("a function takes {expected} arguments, not {actual}")
            }
            ExecutionError::UndeclaredReference(name) => format!("`{name}` cannot be used that way"),
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                "division by zero".to_owned()
            }
            ExecutionError::Overflow(..) => "a number is too large".to_owned(),
            ExecutionError::IndexOutOfBounds(_) => "a list has no such position".to_owned(),
            ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
            _ => "a value of the wrong type".to_owned(),
        }
    }
}

enum Reason {
    Cel(Box<ExecutionError>),
    Said(&'static str),
}

fn depends_on_data(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::NoSuchKey(_)
            | ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::IndexOutOfBounds(_)
            | ExecutionError::FunctionError { .. }
    )
}

fn compile(source: String) -> Result<Compiled, Vec<WhenProblem>> {
    let unavailable =
        || vec![WhenProblem { at: None, message: "CEL is not available".to_owned(), hint: None }];
    let env = ENV.as_ref().ok_or_else(unavailable)?;
    let parsed = env.parser().parse_with_source_info(&source);
    let (mut expression, info) = parsed.map_err(|errors| vec![syntax(&source, &errors.errors)])?;
    let (mut patterns, mut refused) = (Vec::new(), Vec::new());
    take_patterns(&mut expression, &mut patterns, &mut refused);
    let mut checker = Checker::new(&info);
    let shape = checker.shape(&expression);
    let refused =
        refused.into_iter().map(|(id, message)| WhenProblem { at: checker.place(id), message, hint: None });
    let mut problems: Vec<WhenProblem> = refused.collect();
    problems.append(&mut checker.problems);
    if problems.is_empty() && !matches!(shape, Shape::Bool | Shape::Any) {
        let message = format!("a condition is true or false, and this is {}", shape.name());
        let hint = "compare it with something, as in `size(session.messages) >= 2`".to_owned();
        problems.push(WhenProblem { at: None, message, hint: Some(hint) });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let (uses, deepest_loop) = (checker.uses, checker.deepest_loop);
    Ok(Compiled { source, expression, patterns, uses, deepest_loop })
}

/// The first thing the parser stumbled over, in plain words.
fn syntax(source: &str, errors: &[ParseError]) -> WhenProblem {
    let telling = |error: &&ParseError| error.pos.1 > 0 && !error.msg.starts_with("Incomplete");
    let Some(error) = errors.iter().find(telling).or(errors.first()) else {
        return WhenProblem { at: None, message: "the condition cannot be read".to_owned(), hint: None };
    };
    let said = error.msg.trim_start_matches("Syntax error: ");
    let input = said
        .split_once('\'')
        .and_then(|(_, rest)| rest.split_once('\''))
        .map_or("", |(input, _)| input)
        .trim();
    let message = if said.contains("Recursion limit") {
        "the expression is nested too deeply".to_owned()
    } else if said.contains("'<EOF>' expecting") {
        "the expression ends too early".to_owned()
    } else if input.is_empty() {
        "the expression breaks off here".to_owned()
    } else {
        format!("`{input}` is not expected here")
    };
    let hint = match input {
        "and" | "or" | "not" => Some("CEL writes `&&`, `||` and `!`"),
        input if input.starts_with('=') => Some("CEL compares with `==`"),
        _ => None,
    };
    let at = byte_at(source, error.pos).map(|start| {
        let length =
            if source.get(start..).is_some_and(|rest| rest.starts_with(input)) { input.len() } else { 0 };
        start..start + length
    });
    WhenProblem { at, message, hint: hint.map(str::to_owned) }
}

/// The byte of a line and a column, both from 1 and in characters.
fn byte_at(source: &str, (line, column): (isize, isize)) -> Option<usize> {
    let (line, column) =
        (usize::try_from(line).ok()?.checked_sub(1)?, usize::try_from(column).ok()?.checked_sub(1)?);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(start..)?;
    Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
}

/// A session with one of everything.
fn sample() -> Envelope {
    let quote = || Quote { message: 0, start: 0, end: 1, text: "a".to_owned() };
    let mut session = Session { session_id: "s".to_owned(), ..Session::default() };
    session.messages = vec![Message::new(Role::User, "a"), Message::new(Role::Assistant, "b")];
    let file = FileFacts { name: "a.json".to_owned(), size: 1, format: "atles", index: 0, sessions: 1 };
    let mut envelope = Envelope::new(session, file);
    envelope.learned = Learned {
        topics: vec![Topic { name: "a".to_owned(), score: 1.0, messages: vec![0] }],
        key_phrases: vec![KeyPhrase { text: "a".to_owned(), score: 1.0 }],
        preferences: vec![Preference {
            kind: "like".to_owned(),
            polarity: Polarity::For,
            object: "a".to_owned(),
            strength: 1.0,
            quote: quote(),
        }],
        patterns: Some(Patterns {
            feedback: vec![Feedback { kind: "positive".to_owned(), quote: quote() }],
            ..Patterns::default()
        }),
        facts: vec![Fact {
            attribute: "name".to_owned(),
            value: "a".to_owned(),
            exclusive: true,
            confidence: 1.0,
            quote: quote(),
        }],
        extra: Map::new(),
        ..Learned::default()
    };
    envelope
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
