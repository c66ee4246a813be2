//! Looks an expression over before it is ever run: unknown names, fields and functions, and what it gives.

use std::ops::Range;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo,
};

use super::expression::WhenProblem;
use super::shapes::{FUNCTIONS, Fields, MACROS, OPERATORS, Shape, TYPES, VARIABLES, lookup};
use super::values::Uses;
use crate::config::nearest::nearest;

/// Expressions nested deeper than this are refused, so that running them needs little stack.
const DEEPEST: usize = 48;

/// What was found in an expression.
pub(super) struct Checker<'a> {
    info: &'a SourceInfo,
    scope: Vec<(String, Shape)>,
    depth: usize,
    loops: usize,
    pub(super) deepest_loop: usize,
    pub(super) uses: Uses,
    pub(super) problems: Vec<WhenProblem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(info: &'a SourceInfo) -> Self {
        Checker {
            info,
            scope: Vec::new(),
            depth: 0,
            loops: 0,
            deepest_loop: 0,
            uses: Uses::new(),
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, at: Option<Range<usize>>, message: String, hint: Option<String>) {
        self.problems.push(WhenProblem { at, message, hint });
    }

    /// The shape of an expression; problems are noted on the way.
    pub(super) fn shape(&mut self, expr: &IdedExpr) -> Shape {
        if self.depth > DEEPEST {
            if !self.problems.iter().any(|problem| problem.message.contains("deeply")) {
                self.problem(None, "the expression is nested too deeply".to_owned(), None);
            }
            return Shape::Any;
        }
        self.depth += 1;
        let shape = match &expr.expr {
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.name(expr.id, name),
            Expr::Select(select) => self.select(expr.id, select),
            Expr::Call(call) => self.call(expr.id, call),
            Expr::Comprehension(walk) => self.walk(walk),
            Expr::List(list) => {
                list.elements.iter().for_each(|element| {
                    self.shape(element);
                });
                Shape::List(&Shape::Any)
            }
            Expr::Map(map) => {
                map.entries.iter().for_each(|entry| self.entry(&entry.expr));
                Shape::Map
            }
            Expr::Struct(made) => {
                let at = self.place(expr.id);
                self.problem(at, format!("there is no type `{}` to make", made.type_name), None);
                made.entries.iter().for_each(|entry| self.entry(&entry.expr));
                Shape::Any
            }
            Expr::Unspecified => Shape::Any,
        };
        self.depth -= 1;
        shape
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.shape(&entry.key);
                self.shape(&entry.value);
            }
            EntryExpr::StructField(field) => {
                self.shape(&field.value);
            }
        }
    }

    fn local(&self, name: &str) -> Option<Shape> {
        self.scope.iter().rev().find(|(known, _)| known == name).map(|(_, shape)| *shape)
    }

    fn name(&mut self, id: u64, name: &str) -> Shape {
        if let Some(shape) = self.local(name) {
            return shape;
        }
        if let Some((variable, shape)) = VARIABLES.iter().find(|(known, _)| *known == name) {
            if let Shape::Record(fields) = shape {
                self.uses.extend(fields.iter().map(|(field, _)| (*variable, *field)));
            }
            return *shape;
        }
        if name.starts_with('@') || TYPES.contains(&name) {
            return Shape::Any;
        }
        let names: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).chain(self.scope_names()).collect();
        let hint = meant(name, &names, "variables");
        let at = self.place(id);
        self.problem(at, format!("there is no variable `{name}`"), Some(hint));
        Shape::Any
    }

    fn scope_names(&self) -> impl Iterator<Item = &str> {
        self.scope.iter().map(|(name, _)| name.as_str()).filter(|name| !name.starts_with('@'))
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Shape {
        let field = select.field.as_str();
        let operand = match &select.operand.expr {
            Expr::Ident(name) if self.local(name).is_none() => {
                match VARIABLES.iter().find(|(known, _)| known == name) {
                    Some((variable, shape @ Shape::Record(fields))) => {
                        self.uses
                            .extend(fields.iter().filter(|(f, _)| *f == field).map(|(f, _)| (*variable, *f)));
                        *shape
                    }
                    _ => self.shape(&select.operand),
                }
            }
            _ => self.shape(&select.operand),
        };
        match operand {
            Shape::Record(fields) => self.field(id, fields, select),
            Shape::Any | Shape::Map => {
                if select.test {
                    Shape::Bool
                } else {
                    Shape::Any
                }
            }
            other => {
                let at = self.field_place(id, field);
                self.problem(at, format!("{} has no field `{field}`", other.name()), None);
                Shape::Any
            }
        }
    }

    fn field(&mut self, id: u64, fields: Fields, select: &SelectExpr) -> Shape {
        let field = select.field.as_str();
        let at = self.field_place(id, field);
        match lookup(fields, field) {
            Some(_) if select.test => {
                let hint =
                    "every field is there; what a session lacks is empty: compare with \"\" or 0".to_owned();
                self.problem(at, format!("`has` always holds for `{field}`"), Some(hint));
                Shape::Bool
            }
            Some(shape) => shape,
            None => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                self.problem(
                    at,
                    format!("there is no field `{field}`"),
                    Some(meant(field, &names, "fields")),
                );
                Shape::Any
            }
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Shape {
        let name = call.func_name.as_str();
        if MACROS.contains(&name) {
            // A loop with the wrong arguments is left standing as a call.
            let example = match name {
                "has" => "has(session.metadata.project)".to_owned(),
                _ => format!("session.messages.{name}(m, m.role == \"user\")"),
            };
            let at = self.call_place(id, name);
            self.problem(at, format!("`{name}` takes other arguments, as in `{example}`"), None);
            return Shape::Any;
        }
        let parts: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let shapes: Vec<Shape> = parts.into_iter().map(|part| self.shape(part)).collect();
        match (name, shapes.as_slice()) {
            ("_[_]", [Shape::List(item), _]) => return **item,
            ("_?_:_", [_, yes, no]) if yes == no => return *yes,
            ("_==_" | "_!=_", _) => self.compare(id, call, &shapes),
            ("_&&_" | "_||_" | "!_", parts) => {
                if let Some(odd) = parts.iter().find(|part| !matches!(part, Shape::Bool | Shape::Any)) {
                    let at = self.place(id);
                    let shown = name.replace('_', "");
                    self.problem(at, format!("`{shown}` needs true or false, not {}", odd.name()), None);
                }
            }
            _ => {}
        }
        if let Some(shape) = lookup(OPERATORS, name).or_else(|| lookup(FUNCTIONS, name)) {
            return shape;
        }
        let names: Vec<&str> =
            FUNCTIONS.iter().map(|(name, _)| *name).chain(MACROS.iter().copied()).collect();
        let at = self.call_place(id, name);
        self.problem(at, format!("there is no function `{name}`"), Some(meant(name, &names, "functions")));
        Shape::Any
    }

    /// Comparing values that can never be equal is a slip.
    fn compare(&mut self, id: u64, call: &CallExpr, shapes: &[Shape]) {
        let null = call.args.iter().any(|arg| matches!(arg.expr, Expr::Literal(LiteralValue::Null)));
        let typed =
            |shape: &Shape| matches!(shape, Shape::Text | Shape::Number | Shape::Bool | Shape::List(_));
        let apart = |a: &Shape, b: &Shape| std::mem::discriminant(a) != std::mem::discriminant(b);
        let at = self.place(id);
        match shapes {
            [a, b] if null && (typed(a) || typed(b)) => {
                let hint = "what a session lacks is empty: compare with \"\" or 0".to_owned();
                self.problem(at, "this is never null".to_owned(), Some(hint));
            }
            [a, b] if typed(a) && typed(b) && apart(a, b) => {
                self.problem(at, format!("{} and {} are never equal", a.name(), b.name()), None);
            }
            _ => {}
        }
    }

    fn walk(&mut self, walk: &ComprehensionExpr) -> Shape {
        let over = self.shape(&walk.iter_range);
        let start = self.shape(&walk.accu_init);
        let item = match over {
            Shape::List(item) => *item,
            Shape::Map | Shape::Record(_) => Shape::Text,
            _ => Shape::Any,
        };
        let before = self.scope.len();
        self.scope.push((walk.accu_var.clone(), start));
        self.scope.push((walk.iter_var.clone(), item));
        self.scope.extend(walk.iter_var2.iter().map(|name| (name.clone(), Shape::Any)));
        self.loops += 1;
        self.deepest_loop = self.deepest_loop.max(self.loops);
        self.shape(&walk.loop_cond);
        self.shape(&walk.loop_step);
        self.loops -= 1;
        let result = self.shape(&walk.result);
        self.scope.truncate(before);
        result
    }

    /// Where a node was written, in bytes of the source.
    pub(super) fn place(&self, id: u64) -> Option<Range<usize>> {
        let (start, last) = self.info.offset_for(id)?;
        let place = start as usize..(last as usize).checked_add(1)?;
        self.info.source.get(place.clone()).map(|_| place)
    }

    /// The parser only knows where the dot is, or the bracket of `has`.
    fn field_place(&self, id: u64, field: &str) -> Option<Range<usize>> {
        let before = self.place(id)?;
        let rest = self.info.source.get(before.end..)?;
        let start = before.end + rest.find(field)?;
        Some(start..start + field.len())
    }

    /// The parser only knows where the bracket is.
    fn call_place(&self, id: u64, name: &str) -> Option<Range<usize>> {
        let bracket = self.place(id)?;
        let start = bracket.start.checked_sub(name.len());
        match start.and_then(|start| self.info.source.get(start..bracket.start)) {
            Some(written) if written == name => Some(start?..bracket.start),
            _ => Some(bracket),
        }
    }
}

fn of_literal(literal: &LiteralValue) -> Shape {
    match literal {
        LiteralValue::Boolean(_) => Shape::Bool,
        LiteralValue::String(_) => Shape::Text,
        LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Shape::Number,
        LiteralValue::Bytes(_) | LiteralValue::Null => Shape::Any,
    }
}

fn meant(given: &str, known: &[&str], what: &str) -> String {
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{what}: {}", known.join(", ")),
    }
}
