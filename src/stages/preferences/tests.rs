use super::*;
use crate::session::Message;

fn stage(settings: &str) -> Result<Preferences, Vec<Problem>> {
    Preferences::new(toml::from_str(settings).unwrap())
}

fn said(texts: &[&str]) -> Session {
    let messages = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
    Session { messages, ..Session::default() }
}

fn found(text: &str) -> Vec<(String, Polarity, String)> {
    let found = stage("signals = false").unwrap().find(&said(&[text]), &Readings::default());
    found.into_iter().map(|p| (p.kind, p.polarity, p.object)).collect()
}

/// How well the stage does on a file of judged sentences: recall, precision, and what went wrong.
fn judge(file: &str) -> (f64, f64, Vec<String>) {
    let stage = stage("signals = false").unwrap();
    let (mut expected, mut hit, mut emitted, mut right) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (wanted, text) = line.split_once('\t').unwrap();
        let wanted: Vec<(&str, &str)> =
            wanted.split(" | ").filter(|w| *w != "none").map(|w| w.split_once(' ').unwrap()).collect();
        let found = stage.find(&said(&[text]), &Readings::default());
        let fits = |(polarity, object): &(&str, &str), p: &Preference| {
            p.polarity.as_str() == *polarity && p.object.contains(object)
        };
        let met = wanted.iter().filter(|w| found.iter().any(|p| fits(w, p))).count();
        let good = found.iter().filter(|p| wanted.iter().any(|w| fits(w, p))).count();
        (expected, hit) = (expected + wanted.len(), hit + met);
        (emitted, right) = (emitted + found.len(), right + good);
        if met < wanted.len() || good < found.len() {
            let said: Vec<_> = found
                .iter()
                .map(|p| format!("{} {} {:?} {:.2}", p.kind, p.polarity.as_str(), p.object, p.strength))
                .collect();
            wrong.push(format!("{line} => [{}]", said.join("; ")));
        }
    }
    (hit as f64 / expected as f64, right as f64 / emitted as f64, wrong)
}

#[test]
fn stated_preferences_are_found_and_ordinary_sentences_give_none() {
    let (recall, precision, wrong) = judge(include_str!("../../../tests/data/preferences_dev.tsv"));
    assert!(
        recall >= 0.95 && precision >= 0.97,
        "recall {recall:.3}, precision {precision:.3}\n{}",
        wrong.join("\n")
    );
}

#[test]
fn sentences_that_no_rule_was_tuned_on_fare_nearly_as_well() {
    let (recall, precision, wrong) = judge(include_str!("../../../tests/data/preferences_heldout.tsv"));
    assert!(
        recall >= 0.85 && precision >= 0.95,
        "recall {recall:.3}, precision {precision:.3}, {} wrong",
        wrong.len()
    );
}

#[test]
fn the_quote_is_the_message_word_for_word_even_behind_typographic_apostrophes() {
    let text = "Grüße! Well… I can’t stand “Ölsardinen”, but I’m crazy about Käsespätzle.";
    let session = said(&["Hi", text]);
    let found = stage("").unwrap().find(&session, &Readings::default());
    let quotes: Vec<_> = found.iter().map(|p| p.quote.text.as_str()).collect();
    assert_eq!(quotes, ["I can’t stand “Ölsardinen”", "I’m crazy about Käsespätzle"]);
    for Preference { quote, .. } in &found {
        assert_eq!((quote.message, text.get(quote.start..quote.end)), (1, Some(quote.text.as_str())));
    }
    assert_eq!(found[1].object, "käsespätzle");
}

#[test]
fn only_the_user_states_preferences_and_only_in_prose() {
    let mut session = said(&[
        "```\nI hate tabs\n```\n> I love spaces\n\"I really like long walks\" is what the bot said.\n    I prefer code();\n",
        "Translate to Spanish: I love cats. I hate dogs.",
        "Act as Bob. I love golf.",
    ]);
    session.messages.push(Message::new(Role::Assistant, "I love cheese."));
    session.messages.push(Message::new(Role::System, "Always answer in French."));
    assert_eq!(stage("").unwrap().find(&session, &Readings::default()), []);
}

/// Kind, polarity and object.
type Told = (&'static str, Polarity, &'static str);

#[test]
fn objects_are_normalised_and_lists_taken_apart() {
    use Polarity::{Against, For};
    let cases: [(&str, &[Told]); 13] = [
        ("I hate the smell of fish because it lingers.", &[("dislike", Against, "smell of fish")]),
        (
            "I'm allergic to nuts, soy and cats.",
            &[("diet", Against, "nuts"), ("diet", Against, "soy"), ("diet", Against, "cats")],
        ),
        (
            "I prefer going to the gym over running outside.",
            &[("prefer", For, "going to the gym"), ("prefer", Against, "running outside")],
        ),
        ("I'm vegan, what can I cook tonight?", &[("diet", For, "vegan")]),
        ("Always use British spelling.", &[("instruction", For, "british spelling")]),
        ("Could you please never use emojis?", &[("instruction", Against, "emojis")]),
        ("Call me \"Max\".", &[("instruction", For, "max")]),
        ("I love the Beatles and I hate opera.", &[("like", For, "beatles"), ("dislike", Against, "opera")]),
        ("I used to love jazz, now I prefer techno.", &[("prefer", For, "techno")]),
        ("my favourite editor is helix, fwiw", &[("favourite", For, "helix")]),
        ("I hate it when people chew loudly", &[("dislike", Against, "people chew loudly")]),
        ("I love it. I hate that. I prefer this one.", &[]),
        ("Never give up! Never be afraid to seek help, and be patient with yourself.", &[]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, polarity, object)| (kind.to_string(), *polarity, object.to_string()))
            .collect();
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn what_is_asked_for_one_artefact_is_weak_and_what_shall_last_is_strong() {
    let stage = stage("min_strength = 0.0\nsignals = false").unwrap();
    let strength = |text: &str| {
        let found = stage.find(&said(&[text]), &Readings::default());
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found[0].strength
    };
    for text in
        ["Don't use recursion in this function.", "Use a loop here instead of recursion.", "Add type hints."]
    {
        assert!(stage.find(&said(&[text]), &Readings::default()).iter().all(|p| p.strength < 0.5), "{text}");
    }
    for text in
        ["From now on don't use recursion.", "Never use recursion.", "Don't use emojis in your answers."]
    {
        assert!(strength(text) >= 0.8, "{text}");
    }
    let long = format!("{}\nAlways print the sum.", "The task is to sum the numbers of a file. ".repeat(30));
    assert!(strength(&long) < 0.5, "a specification orders things for its own task");
}

#[test]
fn families_can_be_switched_off_and_weak_statements_kept_out() {
    let session = said(&["I like tea. I hate coffee. Explain it in detail please."]);
    let objects = |settings: &str| -> Vec<String> {
        stage(settings).unwrap().find(&session, &Readings::default()).into_iter().map(|p| p.object).collect()
    };
    assert_eq!(objects(""), ["tea", "coffee", "prefers_detailed_explanations"]);
    assert_eq!(objects("signals = false\ndisable = [\"dislike\"]"), ["tea"]);
    assert_eq!(objects("min_strength = 0.8"), ["coffee"]);
}

#[test]
fn own_patterns_find_what_the_rules_do_not() {
    let settings = "[[pattern]]\nkind = \"editor\"\npolarity = \"for\"\nregex = 'my editor of choice is (?P<object>\\w+)'";
    let found = stage(settings).unwrap().find(
        &said(&["Well, My editor of choice is Helix.", "`my editor of choice is vi`, he said"]),
        &Readings::default(),
    );
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind.as_str(), found[0].object.as_str()), ("editor", "helix"));
    assert_eq!(found[0].quote.text, "My editor of choice is Helix");
}

#[test]
fn every_mistake_in_the_settings_is_named_with_its_key() {
    let settings = "min_strength = 2.0\ndisable = [\"likes\"]\n\
        [[pattern]]\nkind = \"a\"\npolarity = \"for\"\nregex = '('\n[[pattern]]\nkind = \"a\"\npolarity = \"for\"\nregex = 'x'";
    let problems = stage(settings).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["disable[0]", "min_strength", "pattern[0].regex", "pattern[1].regex"]);
}

#[test]
fn a_signal_grows_with_the_messages_that_give_it() {
    let ask = "Can you explain this in more detail?";
    let strength = |texts: &[&str]| stage("").unwrap().find(&said(texts), &Readings::default())[0].strength;
    assert!(
        strength(&[ask]) < strength(&[ask, "ok", ask]) && strength(&[ask, ask]) < strength(&[ask, ask, ask])
    );
}

#[test]
fn the_same_statement_counts_once_with_its_strongest_proof() {
    let found = stage("")
        .unwrap()
        .find(&said(&["I kind of love tea.", "I love tea!", "I LOVE TEA"]), &Readings::default());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].quote.message, found[0].strength), (1, 0.75));
}

#[test]
fn any_text_gives_verbatim_quotes_and_no_panic() {
    let stage = stage("min_strength = 0.0").unwrap();
    let text = "((I|we|my|I’m|you|please|don’t|never|always|hate|love|prefer|favourite|over|to|is|use|instead of|\
        call me|allergic|vegan|find|fun|,|\\.|;|:|\"|“|”|`|é|😀|\n| |the|a|it|when|and|Tee|not|my thing) ?){0,40}";
    proptest::proptest!(|(text in text)| {
        let session = said(&[&text]);
        for p in stage.find(&session, &Readings::default()) {
            proptest::prop_assert_eq!(text.get(p.quote.start..p.quote.end), Some(p.quote.text.as_str()));
            proptest::prop_assert!(!p.object.trim().is_empty());
        }
    });
}

#[test]
fn every_built_in_pattern_compiles_and_has_a_bit_of_its_own() {
    assert!((0..RULES.len()).all(|number| pattern(number).is_some()));
    assert!(RULES.len() + SIGNALS.len() <= 128);
}
