use super::*;
use crate::session::Message;

fn stage(settings: &str) -> Result<Facts, Vec<Problem>> {
    Facts::new(toml::from_str(settings).unwrap())
}

fn said(texts: &[&str]) -> Session {
    let messages = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
    Session { messages, ..Session::default() }
}

/// How well the stage does on a file of judged sentences: recall, precision, and what went wrong.
fn judge(file: &str) -> (f64, f64, Vec<String>) {
    let stage = stage("").unwrap();
    let (mut expected, mut hit, mut emitted, mut right) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (wanted, text) = line.split_once('\t').unwrap();
        let wanted: Vec<(&str, &str)> =
            wanted.split(" | ").filter(|w| *w != "none").map(|w| w.split_once('=').unwrap()).collect();
        let found = stage.find(&said(&[text]), &Readings::default());
        let fits = |(attribute, value): &(&str, &str), fact: &Fact| {
            (fact.attribute == *attribute || group(&fact.attribute) == *attribute)
                && fact.value.contains(value)
        };
        let met = wanted.iter().filter(|w| found.iter().any(|fact| fits(w, fact))).count();
        let good = found.iter().filter(|fact| wanted.iter().any(|w| fits(w, fact))).count();
        (expected, hit) = (expected + wanted.len(), hit + met);
        (emitted, right) = (emitted + found.len(), right + good);
        if met < wanted.len() || good < found.len() {
            let said: Vec<_> = found.iter().map(|f| format!("{}={:?}", f.attribute, f.value)).collect();
            wrong.push(format!("{line} => [{}]", said.join("; ")));
        }
    }
    (hit as f64 / expected as f64, right as f64 / emitted as f64, wrong)
}

#[test]
fn what_users_say_of_themselves_is_found_and_ordinary_sentences_give_nothing() {
    let (recall, precision, wrong) = judge(include_str!("../../../tests/data/facts_dev.tsv"));
    assert!(
        recall >= 0.99 && precision >= 0.99,
        "recall {recall:.3}, precision {precision:.3}\n{}",
        wrong.join("\n")
    );
}

#[test]
fn sentences_that_no_rule_was_tuned_on_fare_nearly_as_well() {
    let (recall, precision, wrong) = judge(include_str!("../../../tests/data/facts_heldout.tsv"));
    assert!(
        recall >= 0.85 && precision >= 0.95,
        "recall {recall:.3}, precision {precision:.3}, {} wrong",
        wrong.len()
    );
}

fn facts(texts: &[&str]) -> Vec<(String, String, bool)> {
    stage("")
        .unwrap()
        .find(&said(texts), &Readings::default())
        .into_iter()
        .map(|f| (f.attribute, f.value, f.exclusive))
        .collect()
}

/// Attribute, value, and whether it is exclusive.
type Told = (&'static str, &'static str, bool);

#[test]
fn attributes_values_and_whether_a_later_one_takes_the_place() {
    let cases: [(&str, &[Told]); 20] = [
        ("I live in São Paulo now.", &[("lives_in", "São Paulo", true)]),
        ("I moved from Kyiv to Oslo in 2022 for work.", &[("lives_in", "Oslo", true)]),
        ("I moved to Oslo in 2022.", &[("lives_in", "Oslo", true)]),
        ("I no longer live in Rome.", &[("lives_in", "no longer in Rome", true)]),
        ("I moved to TypeScript last year.", &[("uses.language", "TypeScript", true)]),
        ("I've switched from VS Code to Helix.", &[("uses.editor", "Helix", true)]),
        (
            "We use Go, Kafka and Redis.",
            &[
                ("uses.language", "Go", false),
                ("uses.infrastructure", "Kafka", false),
                ("uses.database", "Redis", false),
            ],
        ),
        ("My mum's name is Ana.", &[("family.mother", "Ana", false)]),
        ("My son is 5 years old.", &[("family.son", "is 5 years old", false)]),
        ("We have two beagles named Pip and Pop.", &[("pet.dog", "two beagles named Pip and Pop", false)]),
        ("My favorite color is green.", &[("favourite.colour", "green", true)]),
        ("One of my favourite books is Dune.", &[("favourite.books", "Dune", false)]),
        ("I’m Zoë, a nurse from Malmö.", &[("name", "Zoë", true)]),
        ("I'm a nurse, what should I eat on night shifts?", &[("works_as", "nurse", true)]),
        ("My exam is on 3 June, wish me luck.", &[("event.exam", "on 3 June", true)]),
        ("We're flying to Peru next month!", &[("plan", "flying to Peru next month", false)]),
        ("I'm building a budget app in Flutter.", &[("project", "a budget app in Flutter", false)]),
        ("I'm 34 and live in Bonn.", &[("age", "34", true)]),
        ("my name is vanessa", &[("name", "vanessa", true)]),
        ("I am TIRED. I'm IN. I'm Sure. I'm <PERSON_1>. My name is <NAME_2>.", &[]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|(a, v, e)| (a.to_string(), v.to_string(), *e)).collect();
        assert_eq!(facts(&[text]), expected, "{text}");
    }
}

#[test]
fn what_others_say_and_what_is_played_is_no_fact() {
    let mut session = said(&[
        "My name is Vanessa, how may I help you?",
        "Act as a doctor. I'm a patient and I live in Ohio.",
        "You are a nurse called Eve.",
        "Proofread this letter:\n\nDear Sir, I live in Rome and my wife Anna is a doctor.",
        "> I live in Rome\n```\nI live in Rome\n```\nAnna: I live in Rome\nBob: I work at Google\nAnna: I'm 30 years old",
    ]);
    session.messages.push(Message::new(Role::Assistant, "I live in Rome."));
    // The name an app gives a speaker is not said by anyone.
    session.messages.push(Message { name: Some("Carl".to_owned()), ..Message::new(Role::User, "Thanks!") });
    assert_eq!(stage("").unwrap().find(&session, &Readings::default()), []);
}

#[test]
fn quotes_stand_word_for_word_in_their_message() {
    let text = "Grüezi! Also… I’ve been living in Zürich, my wife’s name is Zoë.";
    let session = said(&["Hi", text]);
    let found = stage("").unwrap().find(&session, &Readings::default());
    let quotes: Vec<_> = found.iter().map(|fact| fact.quote.text.as_str()).collect();
    assert_eq!(quotes, ["I’ve been living in Zürich", "my wife’s name is Zoë"]);
    assert!(
        found
            .iter()
            .all(|f| f.quote.message == 1 && text.get(f.quote.start..f.quote.end) == Some(&f.quote.text))
    );
}

#[test]
fn a_fact_said_twice_is_one_fact_and_a_changed_one_two() {
    assert_eq!(facts(&["I live in Rome.", "As I said, I live in Rome."]).len(), 1);
    assert_eq!(facts(&["I live in Rome.", "I moved to Oslo."]).len(), 2);
}

#[test]
fn attributes_can_be_switched_off_and_mistakes_are_named() {
    let session = said(&["I'm Jonas. My sister Mara has asthma. I have asthma."]);
    let attributes = |settings: &str| -> Vec<String> {
        stage(settings)
            .unwrap()
            .find(&session, &Readings::default())
            .into_iter()
            .map(|fact| fact.attribute)
            .collect()
    };
    assert_eq!(attributes(""), ["name", "family.sister", "family.sister", "health"]);
    assert_eq!(attributes("disable = [\"family\", \"health\"]"), ["name"]);
    assert_eq!(attributes("min_confidence = 0.85"), ["family.sister", "health"]);
    let keys: Vec<_> =
        stage("disable = [\"nam\"]\nmin_confidence = 7.0").unwrap_err().into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["disable[0]", "min_confidence"]);
}

#[test]
fn any_text_gives_verbatim_quotes_and_no_panic() {
    let stage = stage("min_confidence = 0.0").unwrap();
    let text = "((I|we|my|I’m|am|live|in|a|nurse|dog|name|is|Zoë|Rome|use|Python|favourite|speak|German|going to|next week|\
        moved to|wife|at|from|34|years old|,|\\.|;|:|\"|“|”|`|é|😀|\n| |the|own|born on|May|İ|ß) ?){0,40}";
    proptest::proptest!(|(text in text)| {
        for fact in stage.find(&said(&[&text]), &Readings::default()) {
            proptest::prop_assert_eq!(text.get(fact.quote.start..fact.quote.end), Some(fact.quote.text.as_str()));
            proptest::prop_assert!(!fact.value.is_empty(), "{}", fact.attribute);
        }
    });
}

#[test]
fn every_built_in_pattern_compiles_and_has_a_bit_of_its_own() {
    assert!((0..RULES.len()).all(|number| pattern(number).is_some()));
    assert!(RULES.len() <= 128);
}
