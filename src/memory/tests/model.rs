//! memory.db against a model of it that keeps everything in plain lists: whatever is stored, revised, given up, taken
//! back and indexed, in whatever order, both say the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{Chat, World, chat};
use crate::memory::reader::{self, FactHeld};
use crate::memory::{Batch, Stored};
use crate::session::{Envelope, Identity, Moment, Polarity};

const USERS: [&str; 2] = ["anna", "bob"];
const WORDS: [&str; 4] = ["pelican", "heron", "stork", "crane"];
const DAY: i64 = 86_400_000;

#[derive(Debug, Clone)]
enum Step {
    Batch(Vec<Told>, bool),
    Remove(usize, u8),
    Index(usize),
}

/// One session: whose, which, when it began, and its messages.
#[derive(Debug, Clone)]
struct Told {
    user: usize,
    id: u8,
    start: Option<i64>,
    messages: Vec<Said>,
}

#[derive(Debug, Clone)]
struct Said {
    word: usize,
    day: Option<i64>,
    fact: Option<(u8, u8)>,
    preference: Option<(u8, bool)>,
}

fn day() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(0..5i64)
}

fn said() -> impl Strategy<Value = Said> {
    let fact = proptest::option::of((0..3u8, 0..3u8));
    let preference = proptest::option::of((0..2u8, any::<bool>()));
    (0..WORDS.len(), day(), fact, preference).prop_map(|(word, day, fact, preference)| Said {
        word,
        day,
        fact,
        preference,
    })
}

fn told() -> impl Strategy<Value = Told> {
    (0..USERS.len(), 0..3u8, day(), vec(said(), 0..4)).prop_map(|(user, id, start, messages)| Told {
        user,
        id,
        start,
        messages,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (vec(told(), 1..4), prop::bool::weighted(0.8)).prop_map(|(sessions, commit)| Step::Batch(sessions, commit)),
        1 => (0..USERS.len(), 0..3u8).prop_map(|(user, id)| Step::Remove(user, id)),
        2 => (1..4usize).prop_map(Step::Index),
    ]
}

fn moment(day: i64) -> Moment {
    Moment::from_epoch((day * DAY) as f64 / 1e3 + 1e6).unwrap()
}

impl Told {
    fn chat(&self) -> Chat {
        let mut chat = chat(&self.id.to_string()).user(Some(USERS[self.user]));
        chat.session.start_time = self.start.map(moment);
        for said in &self.messages {
            chat = chat.says(WORDS[said.word]);
            chat.session.messages.last_mut().unwrap().timestamp = said.day.map(moment);
            if let Some((attribute, value)) = said.fact {
                chat = chat.fact(&format!("a{attribute}"), &format!("v{value}"), attribute < 2);
            }
            if let Some((object, wanted)) = said.preference {
                chat =
                    chat.wants(if wanted { Polarity::For } else { Polarity::Against }, &format!("o{object}"));
            }
        }
        chat
    }
}

/// A statement: what it is about, what is said of it, and when.
#[derive(Debug, Clone)]
struct Statement {
    about: String,
    value: String,
    said_ms: i64,
}

#[derive(Debug, Clone)]
struct Kept {
    /// Messages, preferences and facts that were new with it.
    counts: (u64, u64, u64),
    user: usize,
    envelope_key: [u8; 32],
    identity: Identity,
    ended_ms: i64,
    words: Vec<usize>,
    facts: Vec<Statement>,
    preferences: Vec<Statement>,
}

/// Sessions in the order of their row numbers.
#[derive(Debug, Clone, Default)]
struct Model(Vec<Kept>);

impl Model {
    fn store(&mut self, told: &Told, envelope: &Envelope, learned_ms: i64) -> (u64, u64, u64) {
        let old = self.0.iter().position(|kept| kept.identity == envelope.identity);
        if let Some(same) = old.map(|old| &self.0[old]).filter(|old| old.envelope_key == envelope.key.0) {
            return same.counts;
        }
        let earlier = old.map(|old| self.0[old].clone());
        let started = told.start.map(|day| moment(day).millis());
        let resolve = |about: String, value: String, day: Option<i64>, of: fn(&Kept) -> &Vec<Statement>| {
            let before = || {
                let said = of(earlier.as_ref()?).iter().filter(|it| it.about == about && it.value == value);
                said.map(|it| it.said_ms).min()
            };
            let said_ms =
                day.map(|day| moment(day).millis()).or(started).or_else(before).unwrap_or(learned_ms);
            Statement { about, value, said_ms }
        };
        let fact = |said: &Said| {
            let (attribute, value) = said.fact?;
            Some(resolve(format!("a{attribute}"), format!("v{value}"), said.day, |kept| &kept.facts))
        };
        let preference = |said: &Said| {
            let (object, wanted) = said.preference?;
            let polarity = if wanted { "for" } else { "against" };
            Some(resolve(format!("o{object}"), polarity.to_owned(), said.day, |kept| &kept.preferences))
        };
        let mut kept = Kept {
            counts: (0, 0, 0),
            user: told.user,
            envelope_key: envelope.key.0,
            identity: envelope.identity,
            ended_ms: started.unwrap_or(learned_ms),
            words: told.messages.iter().map(|said| said.word).collect(),
            facts: told.messages.iter().filter_map(fact).collect(),
            preferences: told.messages.iter().filter_map(preference).collect(),
        };
        let mut left = earlier.map(|earlier| earlier.words).unwrap_or_default();
        let is_new = |word: &&usize| match left.iter().position(|it| it == *word) {
            Some(found) => {
                left.remove(found);
                false
            }
            None => true,
        };
        let messages = kept.words.iter().filter(is_new).count() as u64;
        let new = |of: fn(&Kept) -> &Vec<Statement>| {
            let pairs =
                |kept: &Kept| of(kept).iter().map(|it| (it.about.clone(), it.value.clone())).collect();
            let known: BTreeSet<_> = self
                .0
                .iter()
                .filter(|it| it.user == told.user)
                .flat_map(|it| -> Vec<_> { pairs(it) })
                .collect();
            let said: BTreeSet<_> = pairs(&kept).into_iter().collect();
            said.difference(&known).count() as u64
        };
        let counts = (messages, new(|kept| &kept.preferences), new(|kept| &kept.facts));
        kept.counts = counts;
        if let Some(old) = old {
            self.0.remove(old);
        }
        self.0.push(kept);
        counts
    }

    /// The statements of a user on each subject, in the order they were said.
    fn by_subject(&self, user: usize, of: fn(&Kept) -> &Vec<Statement>) -> BTreeMap<String, Vec<Statement>> {
        let mut said = Vec::new();
        for kept in self.0.iter().filter(|kept| kept.user == user) {
            said.extend(of(kept).iter().map(|it| (it.said_ms, kept.ended_ms, it.clone())));
        }
        said.sort_by_key(|(said_ms, ended_ms, _)| (*said_ms, *ended_ms));
        let mut subjects = BTreeMap::<_, Vec<_>>::new();
        for (.., statement) in said {
            subjects.entry(statement.about.clone()).or_default().push(statement);
        }
        subjects
    }

    fn facts(&self, user: usize) -> Vec<FactHeld> {
        let mut held = Vec::<FactHeld>::new();
        for (attribute, said) in self.by_subject(user, |kept| &kept.facts) {
            let exclusive = attribute != "a2";
            let first = held.len();
            for Statement { value, said_ms, .. } in said {
                let runs = &mut held[first..];
                let same = if exclusive {
                    runs.last_mut().filter(|run| run.value == value)
                } else {
                    runs.iter_mut().find(|run| run.value == value)
                };
                if let Some(run) = same {
                    run.mentions += 1;
                    continue;
                }
                if exclusive && let Some(run) = runs.last_mut() {
                    run.valid_to = Some(said_ms);
                }
                let (attribute, valid_from) = (attribute.clone(), said_ms);
                held.push(FactHeld { attribute, value, valid_from, valid_to: None, mentions: 1 });
            }
        }
        sorted(held)
    }

    fn preferences(&self, user: usize) -> Vec<String> {
        let shown = |(object, said): (String, Vec<Statement>)| {
            let now = said.last().unwrap().value.clone();
            let mentions = said.iter().filter(|it| it.value == now).count();
            format!("{}{object}*{mentions}", if now == "for" { "+" } else { "-" })
        };
        self.by_subject(user, |kept| &kept.preferences).into_iter().map(shown).collect()
    }

    fn turns_with(&self, word: usize) -> usize {
        self.0.iter().flat_map(|kept| &kept.words).filter(|it| **it == word).count()
    }
}

fn sorted(mut held: Vec<FactHeld>) -> Vec<FactHeld> {
    held.sort_by_cached_key(|fact| {
        (fact.attribute.clone(), fact.valid_from, fact.value.clone(), fact.valid_to)
    });
    held
}

fn store_both(
    batch: &mut Batch<'_>,
    model: &mut Model,
    told: &Told,
    learned_ms: i64,
) -> (Stored, (u64, u64, u64)) {
    let envelope = told.chat().envelope();
    let stored = batch.store(&envelope, Timestamp::from_millisecond(learned_ms).unwrap(), false).unwrap();
    (stored, model.store(told, &envelope, learned_ms))
}

fn agree(world: &World, model: &Model) {
    let counts = reader::counts(world.conn()).unwrap();
    let of = |size: fn(&Kept) -> usize| model.0.iter().map(size).sum::<usize>() as u64;
    let expected = [
        model.0.len() as u64,
        of(|it| it.words.len()),
        of(|it| it.facts.len()),
        of(|it| it.preferences.len()),
    ];
    assert_eq!([counts.sessions, counts.messages, counts.facts, counts.preferences], expected);
    assert_eq!(world.count("SELECT count(*) FROM messages") as u64, counts.messages);
    for (number, user) in USERS.iter().enumerate() {
        let held = reader::facts_history(world.conn(), Some(user)).unwrap();
        assert_eq!(sorted(held), model.facts(number), "facts of {user}");
        assert_eq!(world.preferences(user), model.preferences(number), "preferences of {user}");
    }
    for (number, word) in WORDS.iter().enumerate() {
        assert!(world.hits(word) <= model.turns_with(number), "a hit on a turn that is gone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_holds_what_the_model_holds(steps in vec(step(), 1..12)) {
        let mut world = World::new();
        let mut model = Model::default();
        let mut clock = 1_700_000_000_000;
        for step in steps {
            match step {
                Step::Batch(sessions, commit) => {
                    let mut after = model.clone();
                    let mut batch = world.writer.begin().unwrap();
                    for told in &sessions {
                        clock += 1000;
                        let (stored, expected) = store_both(&mut batch, &mut after, told, clock);
                        let new = (stored.new_messages, stored.new_preferences, stored.new_facts);
                        prop_assert_eq!(new, expected);
                    }
                    if commit {
                        batch.commit().unwrap();
                        model = after;
                    }
                }
                Step::Remove(user, id) => {
                    let gone = Told { user, id, start: None, messages: Vec::new() }.chat();
                    let identity = gone.clone().envelope().identity;
                    let was_there = model.0.iter().any(|kept| kept.identity == identity);
                    model.0.retain(|kept| kept.identity != identity);
                    prop_assert_eq!(world.remove(gone), was_there);
                }
                Step::Index(sessions) => drop(world.writer.index_some(sessions).unwrap()),
            }
            agree(&world, &model);
        }
        world.index_all();
        for (number, word) in WORDS.iter().enumerate() {
            prop_assert_eq!(world.hits(word), model.turns_with(number));
        }
        prop_assert_eq!(reader::quick_check(world.conn()).unwrap(), Vec::<String>::new());
    }
}
