//! Turns in which the user judges the assistant's answer before it.
//!
//! The kinds are those of Don-Yehiya et al.: praise, a correction (the answer is wrong, and what is right), a rejection
//! (it is wrong), the request once more in other words, and a request for clarification. What opens a sentence decides;
//! a bare "no" says nothing where the assistant had asked something, and "I mean" is filler.

use std::borrow::Cow;
use std::ops::Range;

use regex::{Regex, RegexSet};

use crate::session::{Feedback, Quote};
use crate::text::prose::is_question;
use crate::text::word_hash::WordId;
use crate::text::words::beginning;

/// A quote is no longer than this many bytes.
const LONGEST_QUOTE: usize = 240;
/// Judgements open a turn, or close it: so many sentences at either end are read.
const FIRST_SENTENCES: usize = 6;
const LAST_SENTENCES: usize = 2;
/// Of an answer, so many bytes at its end tell whether it asks something.
const END_OF_ANSWER: usize = 400;
/// A request in other words shares so much of its words with the one before.
const REPEATED: f64 = 0.6;
/// Fewer telling words than this are not compared.
const FEWEST_WORDS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Positive,
    Correction,
    Rejection,
    Rephrase,
    Clarification,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Positive => "positive",
            Kind::Correction => "correction",
            Kind::Rejection => "rejection",
            Kind::Rephrase => "rephrase",
            Kind::Clarification => "clarification",
        }
    }
}

/// When a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// Not where the assistant had asked something: then it answers.
    Unasked,
}

/// A rule: what stands at the beginning of a sentence, behind words such as "no," and "well". `’` stands as `'`.
struct Rule {
    kind: Kind,
    when: When,
    pattern: &'static str,
}

/// What may come before, without meaning anything yet.
const OPENING: &str = r"^(?:(?:wow|haha|no+|nope|nah|hm+|um+|uh|oh|ah|ok|okay|well|but|and|so|wait|hey|sorry|yes|yeah|now|still|also|because|unfortunately|again|thanks|thank you|actually|i think|i'm afraid|it seems|i mean)(?:[\s,.!;:…–-]+|$))*?";

/// That, or what the assistant gave.
const IT: &str = r"(?:that|this|it|these|those|they|(?:the|your|this|that|these|those) (?:last |first |second |third |previous |new )?(?:answer|response|reply|part|line|step|number|date|name|year|sentence|paragraph|half|point|figure|value|code|example|solution|output|result|suggestion|version|translation|summary|explanation|one|command|link|function|query|script|formula|recipe|calculation|statement)s?)";

const RULES: &[Rule] = &[
    // Sarcasm and rejections that begin like praise come before praise.
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"(?:thanks|thank you|great|good)(?: so much| a lot| job)?,? (?:for (?:not|nothing|wasting|ignoring|breaking|making (?:it|things) worse)|now it's (?:broken|worse)|another (?:error|wrong|bug))",
    },
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"IT (?:was|were|is|are|'s|'re)?\s?(?:really |just |so |completely |totally |absolutely |very |pretty |simply )*(?:useless|unhelpful|terrible|awful|horrible|garbage|rubbish|nonsense|bad|worse|ridiculous|a bad \w+)\W",
    },
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"(?:IT ?)?(?:is|are|was|were|'s|'re)?\s?(?:not|n't|isn't|wasn't|aren't|weren't) (?:really |very |at all |even |exactly |quite )*(?:what i (?:asked|wanted|meant|said|need|needed|was asking|was looking for|am looking for|am asking|'m asking|had in mind)|helpful|useful|helping|good enough|any better|working|an answer|answering|relevant)",
    },
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"IT (?:still )?(?:doesn't|does not|didn't|did not|don't|do not|won't|isn't|can't) (?:even |really |actually |quite )*(?:work|help|compile|run|answer|make (?:any )?sense|fix|solve|change anything|look right|sound right|working)",
    },
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"(?:i(?:'m| am) )?(?:still )?(?:get|gets|getting|got|have|see|seeing|having) (?:still )?the (?:exact )?same (?:error|problem|issue|result|output|message)|(?:it's |it is )?(?:still (?:broken|failing|not working|fails|doesn't work|wrong|the same)|same (?:error|problem|issue|result)(?: again| as before|\W|$))",
    },
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"i (?:don't|do not|didn't|did not) (?:really |actually |quite )?(?:like|want|need|ask for|ask you) (?:that|this|it|how|the (?:tone|style|answer|way)|any of)",
    },
    Rule {
        kind: Kind::Rejection,
        when: When::Always,
        pattern: r"(?:you(?:'re| are) (?:not (?:listening|helping|answering|reading|getting)|useless|missing the point)|you (?:don't|do not|didn't|did not|aren't) (?:understand|get it|answer|listen|listening|read)|you (?:are )?(?:keep|keep on) (?:making|repeating|giving|saying|ignoring|doing|getting)|stop (?:making things up|hallucinating|guessing|lying)|you made (?:that|it|this) up|try again|do it again|start over|not helpful|useless)",
    },
    // The answer is wrong; with more words behind, what is right.
    Rule {
        kind: Kind::Correction,
        when: When::Always,
        pattern: r"IT(?: is| was| are|'s|'re)? (?:still |just |also |simply |completely |totally |definitely |actually |factually )*(?:wrong|incorrect|not right|not correct|not true|not quite right|false|mistaken|a mistake|an error|inaccurate|isn't right|isn't correct|isn't true|outdated|made up)(?:\W|$)",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Always,
        pattern: r"(?:wrong|incorrect|not quite|not true|not correct)(?:[,.!:;\s–-]|$)",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Always,
        pattern: r"you(?:'re| are| were) (?:still )?(?:wrong|mistaken|incorrect|confusing|mixing up|off by)|you (?:just |still |also |completely )*(?:forgot|missed|ignored|misread|misunderstood|misinterpreted|confused|mixed up|overlooked|left out|skipped|got (?:it|that|this|the \w+) wrong|made (?:a|an|the same|some|several|two) (?:\w+ )?(?:mistake|error|typo)s?|should have|were supposed)",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Always,
        pattern: r"(?:it|that|this|the (?:answer|result|output)|there) (?:should (?:be|have been|say|return|not|only)|shouldn't (?:be|have)|was supposed to be)\W",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Always,
        pattern: r"i (?:said|asked for|asked you to|told you|specified|explicitly|clearly|specifically|wanted|already (?:said|told|asked))\W.*(?:\bnot\b|\binstead of\b|\bn't\b|\bwithout\b|\bonly\b|\bnever\b)",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Always,
        pattern: r"(?:there(?:'s| is| are) (?:a|an|some|still a|two|several) (?:mistake|error|bug|typo|problem|issue)s? (?:in|with) (?:your|the|that|this)|that's not (?:how|where|when|why|who|the (?:case|right|correct|way|same))|i meant\W)",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Unasked,
        pattern: r"(?:no+|nope|nah)[\s,.!–-]+(?:it|that|this|i|you|the|they|we|he|she|not|there|its|use|in|only)(?:'s|'re|'m)?(?:\W|$)",
    },
    Rule {
        kind: Kind::Correction,
        when: When::Unasked,
        pattern: r"actually,? (?:it|that|this|they|he|she)(?:'s| is| was| are| were| isn't| wasn't| doesn't| should)\W",
    },
    Rule { kind: Kind::Rejection, when: When::Unasked, pattern: r"(?:no+|nope|wrong)[.!]*$" },
    Rule {
        kind: Kind::Rephrase,
        when: When::Always,
        pattern: r"(?:let me (?:rephrase|clarify|put it|try again|ask (?:again|differently|it differently|that differently)|be (?:more )?(?:clear|specific|clearer))|in other words|to (?:rephrase|clarify|be (?:clear|more specific|clearer))(?:\W|$)|what i (?:mean|meant) (?:is|was)|i'll (?:rephrase|ask again|say it again|repeat)|as i (?:already )?(?:said|mentioned|told you|wrote|explained)|like i said|i repeat|my question (?:is|was)\W|i (?:was|am|'m) asking (?:about|for|if|whether|how))",
    },
    Rule {
        kind: Kind::Clarification,
        when: When::Always,
        pattern: r"(?:what do you mean|what does (?:that|this|it) (?:even )?mean|what(?:'s| is) that supposed to mean|i (?:don't|do not|didn't|did not|still don't|can't|cannot) (?:really |quite |fully |completely )?(?:understand(?:\W|$)|(?:get|follow|see) (?:it|this|that|what|how|why)(?:\W|$))|i(?:'m| am) (?:still |a bit |a little |so |very |really |now )*(?:confused|lost|not sure i (?:understand|follow|get))|(?:can|could|would|will) you (?:please )?(?:explain (?:that|this|it|again|further|more|what you)|clarify|elaborate|be more (?:specific|precise|clear)|rephrase|say that again|go into more detail)|(?:please )?(?:clarify|elaborate)(?:\W|$)|huh\W*$|how so\W*$|why is that\W*$|meaning what)",
    },
    Rule {
        kind: Kind::Positive,
        when: When::Always,
        pattern: r"(?:thanks|thank you|thx|ty|many thanks|cheers)(?:[\s,.!]+(?:so much|very much|a lot|a bunch|a million|again|tons|man|mate|buddy|you|this|that|it|for)|[.!\s]*$|[,.!]+\s)",
    },
    Rule {
        kind: Kind::Positive,
        when: When::Always,
        pattern: r"IT(?:'s| is| was| are|'re)? (?:really |so |very |exactly |just |absolutely |actually |super |much |now )*(?:perfect|great|awesome|excellent|amazing|wonderful|brilliant|fantastic|helpful|useful|better|correct|right|what i (?:needed|wanted|was looking for|meant|had in mind)|beautiful|lovely|clear)(?: (?:now|thanks|thank you|and|already|work|job|stuff))?(?:[.!,]|$)",
    },
    Rule {
        kind: Kind::Positive,
        when: When::Always,
        pattern: r"(?:IT (?:now )?(?:works|worked|helps|helped|did the trick|fixed it|solved it|makes sense|made sense|is working|did it)|exactly what i (?:needed|wanted|was looking for)|just what i (?:needed|wanted)|you(?:'re| are) (?:right|the best|amazing|awesome|a (?:genius|lifesaver|star|legend))|(?:good|great|nice|excellent|amazing|fantastic) (?:job|work|answer|explanation|catch|point|idea|suggestion|one)(?:[.!,\s]|$)|well done|i (?:really |absolutely )?(?:love|like) (?:it|this|that|the|your)\W|much better|(?:works|worked) (?:perfectly|great|like a charm|now|fine)|problem solved|makes sense)",
    },
    Rule {
        kind: Kind::Positive,
        when: When::Unasked,
        pattern: r"(?:(?:perfect|great|awesome|excellent|amazing|wonderful|brilliant|fantastic|superb)(?:[.!,]|$)|(?:nice|cool|sweet|lovely|beautiful|wow)(?:[.!]|$))",
    },
];

/// What looks like praise and is none, anywhere in the sentence.
const NO_PRAISE: &str = r"\bin advance\b|^(?:thanks|thank you)[,.!]? (?:but|however|though)\b|\b(?:except|unless|if (?:you|it|that|we)|would (?:be|have)|could be|if only|until|almost|though|however)\b|\bbut (?:it|that|this|the|you|i|not|there|still|when|now|can|could|why|what|how|isn't)\b|\bno,? thank";

/// Signs of what would be right.
const RIGHT: &str = r"\bshould\b|\binstead\b|\bnot\s+\S+\s+but\b|\bi (?:meant|said|asked|told|wanted|specified)\b|\byou (?:just |still |also |completely )*(?:forgot|missed|ignored|misread|overlooked|left out|skipped|confused|mixed)\b|\b(?:it|that|this|they)(?:'s| is| was|'re| are)\s+(?:actually\s+)?(?:a|an|the|in|on|from|called|spelled|\d+)\b";

/// The beginning of a sentence that says how it is.
const STATES: &str = r"^(?:it|he|she|they|the|there|in|on|at)(?:'s|'re)?\s+\S+\s+\S";

/// Whether a question at the end of an answer is about the answer itself: then what follows judges it.
const ABOUT_ANSWER: &str = r"\b(?:help|helps|helpful|work|works|make sense|clear|better|what you (?:wanted|needed|meant|had in mind|were looking for)|correct|happy with)\b[^.!?\n]*\?";

/// Reads sentences for judgements.
pub(super) struct Judge {
    rules: RegexSet,
    no_praise: Regex,
    right: Regex,
    states: Regex,
    about_answer: Regex,
}

impl Judge {
    /// Compiles the rules.
    pub(super) fn new() -> Result<Self, regex::Error> {
        // Text beyond ASCII would make a Unicode `\b` slow.
        let ascii = |pattern: &str| pattern.replace(r"\b", r"(?-u:\b)").replace(r"\W", "[^a-z0-9_']");
        let rules = RULES.iter().map(|rule| format!("{OPENING}(?:{})", rule.pattern.replace("IT", IT)));
        Ok(Judge {
            rules: RegexSet::new(rules.map(|rule| ascii(&rule)))?,
            no_praise: Regex::new(&ascii(NO_PRAISE))?,
            right: Regex::new(&ascii(RIGHT))?,
            states: Regex::new(STATES)?,
            about_answer: Regex::new(&ascii(ABOUT_ANSWER))?,
        })
    }

    /// Begins with a session.
    pub(super) fn listen(&self) -> Listening<'_> {
        Listening { judge: self, answered: false, asked: false, before: Vec::new() }
    }

    /// What a sentence of a turn says of the answer before.
    fn judgement(&self, said: &Said, at: usize, asked: bool) -> Option<Kind> {
        let sentence = said.sentence(at);
        let found = self.rules.matches(&sentence);
        let rule = found.iter().filter_map(|rule| RULES.get(rule)).find(|rule| {
            (rule.when == When::Always || !asked)
                && (rule.kind != Kind::Positive || !self.no_praise.is_match(&sentence))
        })?;
        let right = rule.when == When::Unasked || self.says_what_is_right(&sentence, said, at);
        Some(if rule.kind == Kind::Correction && !right { Kind::Rejection } else { rule.kind })
    }

    /// Whether a sentence that calls the answer wrong, or one of the two behind it, says what is right.
    fn says_what_is_right(&self, sentence: &str, said: &Said, at: usize) -> bool {
        let (next, second) = (said.sentence(at + 1), said.sentence(at + 2));
        [sentence, &next, &second].iter().any(|sentence| self.right.is_match(sentence))
            || (self.states.is_match(&next) && !is_question(&next))
    }
}

/// What the user said in one turn.
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    /// The same in lower case, every letter at the same offset.
    pub(super) lower: &'a str,
    pub(super) sentences: &'a [Range<usize>],
}

impl Said<'_> {
    /// A sentence in lower case with plain apostrophes; empty behind the last.
    fn sentence(&self, at: usize) -> Cow<'_, str> {
        let sentence =
            self.sentences.get(at).and_then(|range| self.lower.get(range.clone())).unwrap_or_default();
        if sentence.contains('’') {
            Cow::Owned(sentence.replace('’', "'"))
        } else {
            Cow::Borrowed(sentence)
        }
    }
}

/// Follows a session turn by turn.
pub(super) struct Listening<'a> {
    judge: &'a Judge,
    /// Whether there is an answer to judge.
    answered: bool,
    /// Whether that answer ends with a question to the user.
    asked: bool,
    /// The telling words of the user's turn before.
    before: Vec<WordId>,
}

impl Listening<'_> {
    /// The assistant spoke.
    pub(super) fn answered(&mut self, text: &str) {
        self.answered = true;
        let end = ending(text, END_OF_ANSWER).trim_end_matches(|c: char| !c.is_alphanumeric() && c != '?');
        let last = end.trim_end_matches('?').rfind(['.', '!', '?', '\n']).map_or(end, |stop| &end[stop..]);
        self.asked = end.ends_with('?') && !self.judge.about_answer.is_match(&last.to_lowercase());
    }

    /// The user spoke; `telling` are the words of the turn that are no function words, sorted.
    pub(super) fn replied(&mut self, index: usize, said: Said, telling: Vec<WordId>) -> Vec<Feedback> {
        let repeated = self.answered && is_repeated(&self.before, &telling);
        self.before = telling;
        if !self.answered {
            return Vec::new();
        }
        let mut judged: Vec<(Kind, Range<usize>)> = Vec::new();
        for (at, sentence) in said.sentences.iter().enumerate() {
            if (FIRST_SENTENCES..said.sentences.len().saturating_sub(LAST_SENTENCES)).contains(&at) {
                continue;
            }
            if let Some(kind) = self.judge.judgement(&said, at, self.asked)
                && !judged.iter().any(|(known, _)| *known == kind)
            {
                judged.push((kind, sentence.clone()));
            }
        }
        let complained = judged.iter().any(|(kind, _)| *kind != Kind::Positive);
        if let (true, Some(first)) = (repeated && !complained, said.sentences.first()) {
            judged.push((Kind::Rephrase, first.clone()));
        }
        strongest(judged).into_iter().map(|(kind, range)| feedback(index, said.text, kind, range)).collect()
    }
}

/// Of what one turn says, the strongest complaint; praise only where nothing was wrong.
fn strongest(judged: Vec<(Kind, Range<usize>)>) -> Vec<(Kind, Range<usize>)> {
    let of = |kind: Kind| judged.iter().find(|(known, _)| *known == kind).cloned();
    let wrong = of(Kind::Correction).or_else(|| of(Kind::Rejection));
    let praise = if wrong.is_none() { of(Kind::Positive) } else { None };
    let complaint = wrong.or_else(|| of(Kind::Rephrase)).or_else(|| of(Kind::Clarification));
    praise.into_iter().chain(complaint).collect()
}

fn feedback(index: usize, text: &str, kind: Kind, range: Range<usize>) -> Feedback {
    let quote = beginning(&text[range.clone()], LONGEST_QUOTE);
    Feedback {
        kind: kind.as_str().to_owned(),
        quote: Quote {
            message: index,
            start: range.start,
            end: range.start + quote.len(),
            text: quote.to_owned(),
        },
    }
}

/// At most so many bytes of the end of a text, cut between characters.
fn ending(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Whether two sorted lists of words are mostly the same.
fn is_repeated(before: &[WordId], now: &[WordId]) -> bool {
    if before.len().min(now.len()) < FEWEST_WORDS {
        return false;
    }
    let shared = now.iter().filter(|word| before.binary_search(word).is_ok()).count();
    shared as f64 >= REPEATED * (before.len() + now.len() - shared) as f64
}
