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
    let found = stage("signals = false").unwrap().find(&said(&[text]));
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
        let found = stage.find(&said(&[text]));
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
