//! The taxonomy made ready to be searched: one table for all words, one set for all regexes.

use std::collections::HashMap;
use std::ops::Range;

use regex::{Regex, RegexSet};
use regex_syntax::hir::literal::Extractor;

use super::{TopicRule, Turn};
use crate::pipeline::Problem;
use crate::session::Topic;
use crate::text::literals::Literals;
use crate::text::word_hash::{Filter, Spread, WordMap};
use crate::text::words::{is_word_char, runs};

/// A word that may go on has at least so many bytes.
const STEM: usize = 3;
/// What one find weighs. A proof (a strong word, a regex) is enough for a topic, whatever `min_evidence` asks.
const WEAK: f32 = 0.5;
const WORD: f32 = 1.0;
const PROOF: f32 = 2.0;

/// All topics' words and regexes.
///
/// The words are found by hashing each word of the text once; an automaton over all of them would stop at every word
/// inside another word.
pub(super) struct Taxonomy {
    names: Vec<String>,
    /// By word, what it means to the topics that list it.
    uses: Vec<Vec<Use>>,
    spellings: Vec<Spelling>,
    /// What to look for where a run of letters and digits is found: the spellings that are looked up by it.
    by_run: WordMap<Vec<usize>>,
    /// Those of one run that may go on (`recipe*`), by their first bytes.
    by_stem: HashMap<u32, Vec<usize>, Spread>,
    known_runs: Filter,
    known_stems: Filter,
    gate: Gate,
    regexes: RegexSet,
    /// The topic of each regex.
    regex_topics: Vec<usize>,
}

/// One way to write a word or phrase.
struct Spelling {
    /// Which word: an index of `Taxonomy::uses`.
    word: usize,
    /// Lower case, without the `*`.
    text: Box<str>,
    /// The offset in it of the run it is looked up by.
    run_at: usize,
    /// Whether the character behind it may be part of a word.
    open: bool,
}

/// What a word means to one topic.
struct Use {
    topic: usize,
    kind: f32,
    /// `kind`, less where several topics list the word.
    weight: f32,
    /// Whether it counts within code.
    code: bool,
}

impl Taxonomy {
    /// Compiles the topics, or says everything that is wrong with them.
    pub(super) fn compile(topics: &[TopicRule]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut words: HashMap<String, Vec<Use>> = HashMap::new();
        for (topic, rule) in topics.iter().enumerate() {
            check_name(topics, topic, &mut problems);
            for (list, kind, entries) in
                [("words", WORD, &rule.words), ("weak", WEAK, &rule.weak), ("strong", PROOF, &rule.strong)]
            {
                for (index, entry) in entries.iter().enumerate() {
                    let entry = entry.trim().to_lowercase();
                    if !entry.contains(char::is_alphanumeric) {
                        let key = format!("topic[{topic}].{list}[{index}]");
                        problems.push(Problem::new(key, "has neither letters nor digits"));
                        continue;
                    }
                    if entry.strip_suffix('*').is_some_and(|stem| stem.len() < STEM) {
                        let key = format!("topic[{topic}].{list}[{index}]");
                        problems.push(
                            Problem::new(key, "would be found nearly everywhere").hint("a longer stem"),
                        );
                        continue;
                    }
                    add_use(words.entry(entry).or_default(), topic, kind, rule.code);
                }
            }
        }
        let (regexes, regex_topics) = compile_regexes(topics, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut taxonomy = Taxonomy {
            names: topics.iter().map(|rule| rule.name.clone()).collect(),
            uses: Vec::with_capacity(words.len()),
            spellings: Vec::with_capacity(words.len()),
            by_run: WordMap::default(),
            by_stem: HashMap::default(),
            known_runs: Filter::new(),
            known_stems: Filter::new(),
            gate: Gate::new(topics.iter().flat_map(|rule| &rule.regex)),
            regexes,
            regex_topics,
        };
        for (entry, mut uses) in words {
            weigh(&mut uses, taxonomy.names.len());
            taxonomy.uses.push(uses);
            taxonomy.spell(&entry);
            if entry.contains('\'') {
                taxonomy.spell(&entry.replace('\'', "’"));
            }
        }
        Ok(taxonomy)
    }

    /// Adds a spelling of the last word. A phrase is looked up by its longest run, which seldom is an ordinary word.
    fn spell(&mut self, entry: &str) {
        let (text, open) = entry.strip_suffix('*').map_or((entry, false), |stem| (stem, true));
        let id = self.spellings.len();
        let mut run_at = 0;
        // The run that `*` lets go on is no whole one.
        let whole = runs(text).into_iter().filter(|run| !open || run.range().end < text.len());
        if let Some(run) = whole.max_by_key(|run| run.range().len()) {
            self.known_runs.insert(run.id.bits());
            self.by_run.entry(run.id).or_default().push(id);
            run_at = run.range().start;
        } else if let Some(stem) = stem_at(text, 0) {
            self.known_stems.insert(stem_bits(stem));
            self.by_stem.entry(stem).or_default().push(id);
        }
        self.spellings.push(Spelling { word: self.uses.len() - 1, text: text.into(), run_at, open });
    }

    /// An empty tally.
    pub(super) fn tally(&self) -> Tally<'_> {
        Tally {
            taxonomy: self,
            seen: vec![false; self.uses.len()],
            here: vec![0.0; self.names.len()],
            evidence: vec![TopicEvidence::default(); self.names.len()],
            hits: Vec::new(),
        }
    }

    /// Finds the words in a turn: whole words, and of those that overlap the leftmost, then the longest.
    fn find(&self, turn: &Turn, hits: &mut Vec<Hit>) {
        hits.clear();
        for run in turn.runs {
            if self.known_runs.contains(run.id.bits()) {
                self.place(self.by_run.get(&run.id), turn.lower, &run.range(), hits);
            }
            let stem = stem_at(turn.lower, run.range().start);
            if let Some(stem) = stem.filter(|stem| self.known_stems.contains(stem_bits(*stem))) {
                self.place(self.by_stem.get(&stem), turn.lower, &run.range(), hits);
            }
        }
    }

    /// Adds those of the listed spellings that stand at this run, unless others there have a better right.
    fn place(&self, listed: Option<&Vec<usize>>, text: &str, run: &Range<usize>, hits: &mut Vec<Hit>) {
        for spelling in listed.into_iter().flatten().filter_map(|id| self.spellings.get(*id)) {
            let Some(place) = spelling.place(text, run) else { continue };
            // Hits do not overlap and are in order; those that this one touches are the last.
            let apart = hits.iter().rposition(|hit| hit.place.end <= place.start).map_or(0, |last| last + 1);
            let better = hits.get(apart).is_none_or(|hit| {
                place.start < hit.place.start || (place.start == hit.place.start && place.end > hit.place.end)
            });
            if better {
                hits.truncate(apart);
                hits.push(Hit { word: spelling.word, place });
            }
        }
    }
}

/// Tells quickly of most texts that none of the regexes matches.
struct Gate {
    /// What the matches of most regexes begin with.
    beginnings: Literals,
    /// Regexes whose matches may begin with anything.
    others: RegexSet,
}

impl Gate {
    fn new<'a>(regexes: impl Iterator<Item = &'a String>) -> Self {
        let (mut beginnings, mut others) = (Vec::new(), Vec::new());
        for regex in regexes {
            match beginnings_of(regex) {
                Some(some) => beginnings.extend(some),
                None => others.push(regex),
            }
        }
        // They compile: each was compiled before.
        Gate { beginnings: Literals::new(beginnings), others: RegexSet::new(others).unwrap_or_default() }
    }

    fn opens(&self, text: &str) -> bool {
        self.beginnings.any(text) || self.others.is_match(text)
    }
}

/// The texts with one of which every match of a regex begins, where these are few and not too short.
fn beginnings_of(regex: &str) -> Option<Vec<String>> {
    const SHORTEST: usize = 3;
    let found = Extractor::new().extract(&regex_syntax::parse(regex).ok()?);
    let literals = found.literals()?;
    let texts = literals.iter().map(|literal| String::from_utf8(literal.as_bytes().to_vec()).ok());
    texts.map(|text| text.filter(|text| text.len() >= SHORTEST)).collect()
}

/// A word found in a turn.
struct Hit {
    word: usize,
    place: Range<usize>,
}

/// The bytes that a run begins with, as a number.
#[inline]
fn stem_at(text: &str, at: usize) -> Option<u32> {
    let stem: &[u8; STEM] = text.as_bytes().get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes([stem[0], stem[1], stem[2], 0]))
}

/// 15 bits of it.
fn stem_bits(stem: u32) -> usize {
    (stem.wrapping_mul(0x9E37_79B1) >> 17) as usize
}

impl Spelling {
    /// Where the word stands, if it does around this run.
    fn place(&self, text: &str, run: &Range<usize>) -> Option<Range<usize>> {
        let start = run.start.checked_sub(self.run_at)?;
        let behind = text.get(start..)?.strip_prefix(&*self.text)?;
        let goes_on = self.text.ends_with(is_word_char) && behind.starts_with(is_word_char);
        let begun = self.text.starts_with(is_word_char) && text[..start].ends_with(is_word_char);
        (!begun && (self.open || !goes_on)).then(|| start..start + self.text.len())
    }
}

fn check_name(topics: &[TopicRule], topic: usize, problems: &mut Vec<Problem>) {
    let rule = &topics[topic];
    let key = |field: &str| format!("topic[{topic}]{field}");
    if rule.name.trim().is_empty() {
        problems.push(Problem::new(key(".name"), "a topic needs a name"));
    } else if topics[..topic].iter().any(|earlier| earlier.name == rule.name) {
        let problem = Problem::new(key(".name"), format!("a second topic named `{}`", rule.name));
        problems.push(problem.hint("put the words of both into one"));
    }
    if rule.words.is_empty() && rule.weak.is_empty() && rule.strong.is_empty() && rule.regex.is_empty() {
        problems.push(
            Problem::new(key(""), "nothing would ever prove this topic").hint("give it words or a regex"),
        );
    }
}

/// Notes that a topic lists a word; if it does so twice, the heavier counts.
fn add_use(uses: &mut Vec<Use>, topic: usize, kind: f32, code: bool) {
    match uses.iter_mut().find(|known| known.topic == topic) {
        Some(known) => known.kind = known.kind.max(kind),
        None => uses.push(Use { topic, kind, weight: 0.0, code }),
    }
}

/// The more topics list a word, the less it says: the weights fall like an inverse document frequency.
fn weigh(uses: &mut [Use], topics: usize) {
    let rarity = (1.0 + topics as f32 / uses.len().max(1) as f32).ln() / (1.0 + topics as f32).ln();
    for usage in uses {
        usage.weight = usage.kind * rarity;
    }
}

fn compile_regexes(topics: &[TopicRule], problems: &mut Vec<Problem>) -> (RegexSet, Vec<usize>) {
    let (mut sources, mut owners) = (Vec::new(), Vec::new());
    let before = problems.len();
    for (topic, rule) in topics.iter().enumerate() {
        for (index, source) in rule.regex.iter().enumerate() {
            if let Err(error) = Regex::new(source) {
                problems.push(Problem::new(format!("topic[{topic}].regex[{index}]"), error.to_string()));
            }
            sources.push(source);
            owners.push(topic);
        }
    }
    if problems.len() > before {
        return (RegexSet::empty(), owners);
    }
    match RegexSet::new(sources) {
        Ok(set) => (set, owners),
        Err(error) => {
            problems.push(Problem::new("topic", error.to_string()).hint("fewer or smaller regexes"));
            (RegexSet::empty(), owners)
        }
    }
}

/// Gathers the evidence of one session.
pub(super) struct Tally<'a> {
    taxonomy: &'a Taxonomy,
    /// Which words have been found.
    seen: Vec<bool>,
    /// Weight by topic in the message at hand; all 0 between two messages.
    here: Vec<f32>,
    evidence: Vec<TopicEvidence>,
    hits: Vec<Hit>,
}

#[derive(Clone, Default)]
struct TopicEvidence {
    /// Different words found, weak ones as half.
    distinct: f32,
    proved: bool,
    score: f64,
    messages: Vec<usize>,
}

impl Tally<'_> {
    /// Adds what one message holds. Each message is damped, so that one long listing does not outweigh a talk.
    pub(super) fn add(&mut self, turn: &Turn, importance: f64) {
        let taxonomy = self.taxonomy;
        let mut hits = std::mem::take(&mut self.hits);
        taxonomy.find(turn, &mut hits);
        let mut code = turn.code.iter().peekable();
        for Hit { word, place } in &hits {
            while code.next_if(|part| part.end <= place.start).is_some() {}
            self.count(*word, code.peek().is_some_and(|part| part.start <= place.start));
        }
        self.hits = hits;
        if taxonomy.gate.opens(turn.written) {
            for regex in taxonomy.regexes.matches(turn.written) {
                let topic = taxonomy.regex_topics[regex];
                self.here[topic] += PROOF;
                self.evidence[topic].proved = true;
            }
        }
        for (weight, evidence) in self.here.iter_mut().zip(&mut self.evidence) {
            if *weight > 0.0 {
                evidence.score += importance * f64::from(weight.ln_1p());
                evidence.messages.push(turn.index);
                *weight = 0.0;
            }
        }
    }

    fn count(&mut self, word: usize, in_code: bool) {
        let mut counted = false;
        for usage in self.taxonomy.uses[word].iter().filter(|usage| usage.code || !in_code) {
            let evidence = &mut self.evidence[usage.topic];
            if !self.seen[word] {
                evidence.distinct += usage.kind.min(WORD);
            }
            evidence.proved |= usage.kind >= PROOF;
            self.here[usage.topic] += usage.weight;
            counted = true;
        }
        self.seen[word] |= counted;
    }

    /// The topics that have enough evidence, best first, with their share of it.
    pub(super) fn topics(self, min_evidence: u32, min_score: f64, most: usize) -> Vec<Topic> {
        let mut found: Vec<(usize, TopicEvidence)> = self
            .evidence
            .into_iter()
            .enumerate()
            .filter(|(_, e)| e.score > 0.0 && (e.proved || e.distinct >= min_evidence as f32))
            .collect();
        let total: f64 = found.iter().map(|(_, evidence)| evidence.score).sum();
        found.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
        found
            .into_iter()
            .map(|(topic, evidence)| Topic {
                name: self.taxonomy.names[topic].clone(),
                score: evidence.score / total,
                messages: evidence.messages,
            })
            .filter(|topic| topic.score >= min_score)
            .take(most)
            .collect()
    }
}
