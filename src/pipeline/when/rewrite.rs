//! Patterns of `matches` are compiled once, when the expression is: CEL would compile them for every message.

use std::any::Any;
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;

const PATTERN: Type = Type::new_unspecified_type("pattern");
static PATTERN_TYPE: Type = PATTERN;

/// A compiled pattern as a value, bound under the name that [`name`] gives.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Arc<Regex>);

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }
    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

/// The variable of pattern number `i`. No expression can write such a name.
pub(super) fn name(i: usize) -> String {
    format!("@pattern{i}")
}

/// Lets `matches` take a compiled pattern.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("matches", "matches_pattern", vec![STRING_TYPE, PATTERN], matches)?;
    env.add_member_overload("matches", "string_matches_pattern", STRING_TYPE, vec![PATTERN], matches)
}

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = args.first().and_then(|text| text.downcast_ref::<CelString>());
    let pattern = args.get(1).and_then(|pattern| pattern.downcast_ref::<Pattern>());
    match (text, pattern) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text.inner())))),
        _ => Err(ExecutionError::no_such_overload("matches", Vec::new())),
    }
}

/// A pattern that cannot be used: the node it stands at, and why.
pub(super) type Refused = (u64, String);

/// Takes the patterns out of an expression and leaves variables in their place.
pub(super) fn take_patterns(expr: &mut IdedExpr, taken: &mut Vec<Pattern>, refused: &mut Vec<Refused>) {
    if let Expr::Call(call) = &mut expr.expr
        && call.func_name == "matches"
    {
        take(call, expr.id, taken, refused);
    }
    for child in children(expr) {
        take_patterns(child, taken, refused);
    }
}

fn take(call: &mut CallExpr, id: u64, taken: &mut Vec<Pattern>, refused: &mut Vec<Refused>) {
    let Some(pattern) = call.args.last_mut() else { return };
    let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
        refused.push((id, "the pattern of `matches` must be written out in quotes".to_owned()));
        return;
    };
    match Regex::new(text.inner()) {
        Ok(regex) => {
            pattern.expr = Expr::Ident(name(taken.len()));
            taken.push(Pattern(Arc::new(regex)));
        }
        Err(error) => {
            // The last line of the error says what is wrong; the ones above draw the pattern.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default();
            refused.push((
                pattern.id,
                format!("not a regular expression: {}", reason.trim_start_matches("error: ")),
            ));
        }
    }
}

fn children(expr: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut expr.expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::Comprehension(walk) => vec![
            &mut walk.iter_range,
            &mut walk.accu_init,
            &mut walk.loop_cond,
            &mut walk.loop_step,
            &mut walk.result,
        ],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map.entries.iter_mut().flat_map(|entry| entry_children(&mut entry.expr)).collect(),
        Expr::Struct(made) => {
            made.entries.iter_mut().flat_map(|entry| entry_children(&mut entry.expr)).collect()
        }
        Expr::Select(select) => vec![&mut *select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entry_children(entry: &mut EntryExpr) -> Vec<&mut IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
        EntryExpr::StructField(field) => vec![&mut field.value],
    }
}
