use std::collections::BTreeSet;

use cel::common::types::{CelList, CelMap, CelMapKey, CelString};
use cel::common::value::Val;
use proptest::prelude::*;

use super::super::shapes::FUNCTIONS;
use super::*;
use crate::session::Rating;

fn envelope() -> Envelope {
    let mut envelope = sample();
    envelope.session.user_id = Some("anna".to_owned());
    envelope.session.messages[0].text = "Wie spät ist es? Löse 3 Rätsel".to_owned();
    envelope.session.messages[1].feedback = Some(Rating::Up);
    envelope.session.metadata.insert("project".to_owned(), serde_json::json!({"n": 3, "tags": ["a", null]}));
    envelope.learned.redactions.insert("email".to_owned(), 2);
    envelope
}

fn decide(expression: &str) -> Result<bool, String> {
    let when = When::compile(expression).map_err(|problems| format!("{problems:?}"))?;
    when.holds(&envelope()).map_err(|error| error.reason)
}

#[test]
fn conditions_see_the_session_what_was_learned_and_the_file() {
    let cases = [
        ("size(session.messages) >= 2", true),
        ("session.messages.size() > 2", false),
        ("session.user_id == 'anna'", true),
        ("session.app == ''", true),
        ("session.messages.exists(m, m.role == 'user' && m.content.contains('Rätsel'))", true),
        ("session.messages.all(m, m.feedback != 'down')", true),
        ("session.messages.filter(m, m.feedback == 'up').size() == 1", true),
        ("session.messages[0].content.matches('(?i)löse [0-9]+')", true),
        ("matches(session.messages[0].content, '^Löse')", false),
        ("session.metadata.project.n + 1 == 4", true),
        ("'tags' in session.metadata.project && session.metadata.project.tags[1] == null", true),
        ("has(session.metadata.project) && !has(session.metadata.other)", true),
        ("learned.topics.exists(t, t.name == 'a' && t.score > 0.5)", true),
        ("'email' in learned.redactions && learned.redactions.email >= 2", true),
        ("learned.preferences.exists(p, p.polarity == 'for')", true),
        ("learned.patterns.question_share > 0 || learned.patterns.complexity == 'beginner'", false),
        ("learned.facts.map(f, f.attribute).exists(a, a == 'name')", true),
        ("file.size / 1024 < 10 && file.name.endsWith('.json') && file.format == 'atles'", true),
        ("session.session_id.lowerAscii() in ['s', 't'] ? true : false", true),
        ("size(session.messages) > 1.5", true),
        ("type(file.size) == int", true),
        ("session.messages[0]['role'] == 'user' && session.messages[0] != session.messages[1]", true),
        ("session.messages.map(m, m.content).exists(c, c.size() > 20)", true),
        ("[session.messages[1]][0].feedback == 'up'", true),
    ];
    for (expression, holds) in cases {
        assert_eq!(decide(expression), Ok(holds), "{expression}");
    }
}

#[test]
fn a_session_that_lacks_everything_fails_no_condition_over_its_fields() {
    let bare = Envelope::new(Session::default(), FileFacts::default());
    for expression in [
        "session.user_id.startsWith('a') || session.start_time > '2024' || session.model == 'x'",
        "learned.language == 'deu' || learned.patterns.mean_words > 3 || size(learned.topics) > 0",
        "session.messages.exists(m, m.name == 'x') || size(session.metadata) > 0 || size(learned.extra) > 0",
    ] {
        assert_eq!(When::compile(expression).unwrap().holds(&bare), Ok(false), "{expression}");
    }
}

#[test]
fn mistakes_are_found_when_the_file_is_read_and_where_they_stand() {
    let cases = [
        ("size(sesion.messages) > 1", "sesion", "there is no variable `sesion`"),
        ("size(session.mesages) > 1", "mesages", "there is no field `mesages`"),
        ("session.messages.exists(m, m.contnet == 'é')", "contnet", "there is no field `contnet`"),
        ("'é' == '' || session.messages[0].rol == 'x'", "rol", "there is no field `rol`"),
        ("count(session.messages) > 1", "count", "there is no function `count`"),
        ("session.app.startswith('x')", "startswith", "there is no function `startswith`"),
        ("session.app.matches('(')", "'('", "not a regular expression: unclosed group"),
        ("session.app.matches(session.model)", "(", "the pattern of `matches` must be written out in quotes"),
        ("session.app == null", "==", "this is never null"),
        ("session.app == 1", "==", "text and a number are never equal"),
        ("has(session.app)", "app", "`has` always holds for `app`"),
        ("file.size && true", "&&", "`&&` needs true or false, not a number"),
        ("size(session.messages)", "", "a condition is true or false, and this is a number"),
        ("session.app.size.x == 1", "size", "text has no field `size`"),
        ("size(session.app, 1) > 0", "", "`size` cannot be used on string and int"),
        ("file.size + 0.5 > 1.0", "", "`+` cannot be used on int and float"),
        ("session.messages.exists(m)", "exists", "`exists` takes other arguments"),
        ("a ==", "", "the expression ends too early"),
        ("true and false", "and", "`and` is not expected here"),
        ("file.size = 1", "=", "`=` is not expected here"),
        ("  ", "", "the condition is empty"),
        ("Foo{a: 1} == 1", "{", "there is no type `Foo` to make"),
    ];
    for (expression, place, message) in cases {
        let problems = When::compile(expression).unwrap_err();
        let problem = &problems[0];
        assert!(problem.message.starts_with(message), "{expression}: {problems:?}");
        let shown = problem.at.clone().map_or("", |at| &expression[at]);
        assert_eq!(shown, place, "{expression}: {problems:?}");
    }
    let two = When::compile("sesion.x == fle.y").unwrap_err();
    assert_eq!(two.len(), 2, "{two:?}");
}

#[test]
fn what_cannot_be_decided_says_why_without_the_words_of_the_chat() {
    let cases = [
        ("learned.redactions.phone > 0", "there is no key `phone`"),
        ("session.metadata[session.user_id] == 1", "there is no such key"),
        ("session.messages[0][session.user_id] == ''", "there is no such key"),
        ("session.messages[7].role == 'user'", "a list has no such position"),
        ("1 / (file.index) == 1", "division by zero"),
        ("int(session.user_id) > 1", "`int` failed"),
        ("session.metadata.project.n", "it gives neither true nor false"),
        ("session.metadata.project + session.user_id == 1", "`+` cannot be used on map and string"),
        ("session.metadata.project.n.contains('x')", "`contains` cannot be used on int and string"),
    ];
    for (expression, reason) in cases {
        let error = decide(expression).unwrap_err();
        assert!(error.starts_with(reason), "{expression}: {error}");
        assert!(!error.contains("anna"), "{expression}: {error}");
    }
}

#[test]
fn loops_inside_loops_over_a_long_session_are_refused() {
    let twice =
        When::compile("session.messages.all(a, session.messages.exists(b, a.content != b.role))").unwrap();
    let mut envelope = envelope();
    assert_eq!(twice.holds(&envelope), Ok(true));
    let one = envelope.session.messages[0].clone();
    envelope.session.messages = vec![one; 5_000];
    assert!(twice.holds(&envelope).unwrap_err().reason.contains("too long"));
    let once = When::compile("session.messages.all(a, a.content != '')").unwrap();
    assert_eq!(once.holds(&envelope), Ok(true));
}

#[test]
fn deep_nesting_is_an_answer_and_not_a_crash() {
    for n in [10, 90, 400] {
        for expression in [
            format!("{}true{}", "(".repeat(n), ")".repeat(n)),
            format!("{}true", "!".repeat(2 * n)),
            format!("{} == 1", vec!["1"; n].join("+")),
            format!("{}{} == []", "[".repeat(n), "]".repeat(n)),
            format!("session.metadata{} == 1", ".a".repeat(n)),
            vec!["true"; n / 5].join("?true:"),
        ] {
            let _ = When::compile(&expression).map(|when| when.holds(&envelope()));
        }
    }
    let long = format!("{} == 1", vec!["1"; 400].join("+"));
    assert!(When::compile(&long).unwrap_err()[0].message.contains("too deeply"));
}

/// The shapes that expressions are checked against are those that values have.
#[test]
fn the_shapes_are_those_of_the_values() {
    fn compare(path: &str, shape: Shape, value: &dyn Val) {
        match shape {
            // A message is looked into field by field and lists none.
            Shape::Record(fields) if value.as_iterable().is_none() => {
                for (name, shape) in fields {
                    let field = value.as_indexer().unwrap().get(&CelString::from(*name));
                    compare(&format!("{path}.{name}"), *shape, field.unwrap().as_ref());
                }
            }
            Shape::Record(fields) => {
                let map = value.downcast_ref::<CelMap>().unwrap_or_else(|| panic!("{path} is no record"));
                let known: BTreeSet<&str> = fields.iter().map(|(name, _)| *name).collect();
                let there: BTreeSet<&str> = map
                    .inner()
                    .keys()
                    .map(|key| match key {
                        CelMapKey::String(name) => name.inner(),
                        _ => panic!("{path} has a key that is no text"),
                    })
                    .collect();
                assert_eq!(known, there, "{path}");
                for (name, shape) in fields {
                    let key = CelMapKey::String(CelString::from(*name));
                    compare(&format!("{path}.{name}"), *shape, map.inner()[&key].as_ref());
                }
            }
            Shape::List(item) => {
                let list = value.downcast_ref::<CelList>().unwrap_or_else(|| panic!("{path} is no list"));
                compare(&format!("{path}[]"), *item, list.inner()[0].as_ref());
            }
            Shape::Map => assert_eq!(value.get_type().name(), "map", "{path}"),
            Shape::Text => assert_eq!(value.get_type().name(), "string", "{path}"),
            Shape::Bool => assert_eq!(value.get_type().name(), "bool", "{path}"),
            Shape::Number => assert!(["int", "double"].contains(&value.get_type().name()), "{path}"),
            Shape::Any => {}
        }
    }
    let envelope = sample();
    for (name, shape) in VARIABLES {
        let Shape::Record(fields) = shape else { panic!("{name} is no record") };
        let uses: Uses = fields.iter().map(|(field, _)| (*name, *field)).collect();
        compare(name, *shape, variable(name, &uses, &envelope).as_ref());
    }
}

#[test]
fn every_function_that_is_offered_is_there() {
    let env = ENV.as_ref().unwrap();
    let text = || cel::common::value::CowVal::owned(CelString::from("a"));
    let known = |name: &str| env.find_overload(name, &[text()]).is_some();
    for (name, _) in FUNCTIONS {
        let calls = [
            format!("type({name}('1')) == int || true"),
            format!("type('a'.{name}()) == int || true"),
            format!("type('a'.{name}('a')) == int || true"),
            format!("type('a'.{name}('a', 'b')) == int || true"),
            format!("type('abc'.{name}(0)) == int || true"),
            format!("type(['a'].{name}()) == int || true"),
        ];
        let works = |call: &String| {
            let call = call.trim_end_matches(" || true");
            When::compile(call).is_ok_and(|when| when.holds(&sample()).is_ok())
        };
        assert!(known(name) || calls.iter().any(works), "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(session|learned|file|messages|size|exists|[-a-z0-9 .,'\"()\\[\\]{}?:!&|=<>+*/%é\\\\\n]){0,40}") {
        if let Err(problems) = When::compile(&text) {
            for at in problems.into_iter().filter_map(|problem| problem.at) {
                prop_assert!(text.get(at.clone()).is_some(), "{at:?} is no place in {text:?}");
            }
        }
    }
}
