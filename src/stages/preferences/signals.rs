//! The signals of the ATLES daemon: how detailed, concrete and short the user wants answers, by what they ask for.

use regex::Regex;

use crate::text::trigger::ascii;

/// A signal and the words that give it.
pub(super) struct Signal {
    pub(super) name: &'static str,
    /// Lower-case pieces of which one stands in every match.
    pub(super) triggers: &'static [&'static str],
    pub(super) pattern: &'static str,
}

pub(super) const SIGNALS: [Signal; 3] = [
    Signal {
        name: "prefers_detailed_explanations",
        triggers: &[
            "detail",
            "depth",
            "elaborate",
            "thorough",
            "step by step",
            "step-by-step",
            "walk me through",
            "comprehensive",
            "deep dive",
            "go deeper",
            "at length",
            "ground up",
        ],
        pattern: concat!(
            r"\b(?:explain|describe|tell|go|show|write|give|cover|walk)\b.{0,60}?\b(?:in (?:more |great |full |greater |much more )?detail|in[- ]depth|",
            r"thoroughly|step[- ]by[- ]step|at length|from the ground up)\b",
            r"|(?:^|\b(?:give|provide|need|want|like|into|share|show|get|some|me|have|for|explain|bit) )(?:more|further|additional|extra|greater) details?\b|\bdetailed (?:explanations?|answers?|guides?|walkthroughs?|descriptions?|",
            r"overviews?|breakdowns?|instructions?|steps?|responses?|analysis)\b|\belaborate(?:$|[.?!,]| on| more| further| please| a)",
            r"|\bwalk me through\b|\bgo (?:deeper|into (?:more )?detail)\b|\b(?:in[- ]depth|comprehensive|thorough) (?:explanation|answer|guide|overview|analysis|look)\b",
            r"|\b(?:do|take|give|want|need|like|me) (?:me )?a deep dive\b|\bin (?:more|great|full) detail\b|\bstep[- ]by[- ]step (?:guide|instructions?|explanation|walkthrough|please)\b",
            r"|\bbe (?:more )?(?:detailed|thorough)\b",
        ),
    },
    Signal {
        name: "prefers_code_examples",
        triggers: &["example", "sample", "snippet", "the code", "some code", "in code"],
        pattern: concat!(
            r"\b(?:show|give|provide|need|want|see|share|add|include|got|have|post|like|with|use|using|by)\b(?: me| us)?(?: (?:an?|some|a few|another|more|",
            r"short|small|simple|full|complete|working|minimal|concrete|code|real|the|any|usage|practical|runnable|python|rust|java|javascript|sql|go|c|one|two|three|quick|of|couple)){0,5} ",
            r"(?:examples?|code samples?|sample code|(?:code )?snippets?|code)\b",
            r"|\bexamples? (?:please|pls|code|in (?:python|rust|go|java|javascript|typescript|c|sql|code))\b",
            r"|\bsample code\b|\blook like in code\b|\bany examples?\b|\bexample\?",
        ),
    },
    Signal {
        name: "prefers_concise_responses",
        triggers: &[
            "tl;dr",
            "tldr",
            "tl dr",
            "short",
            "brief",
            "concise",
            "sentence",
            "in one word",
            "one line",
            "few words",
            "too long",
            "just the ",
            "give me the ",
            "succinct",
            "no explanation",
            "without explanation",
            "without the explanation",
            "quick answer",
            "get to the point",
            "to the point",
            "too verbose",
            "less verbose",
            "nutshell",
        ],
        pattern: concat!(
            r"\btl;?\s?dr\b|\b(?:keep|make) (?:it|this|that|your \w+|the \w+|answers|things) (?:very |really |super |as )?(?:short(?:er)?|brief|concise|succinct)\b",
            r"|\b(?:short(?:er)?|brief(?:er)?|concise|quick|succinct) (?:answers?|versions?|repl(?:y|ies)|responses?|summar(?:y|ies)|explanations?|overview|please|pls)\b",
            r"|\bbe (?:more |very )?(?:brief|concise|short|succinct)\b|\b(?:answer|explain|summari[sz]e|describe|tell me|reply|respond|write|say)\b.{0,60}?\b(?:briefly|concisely|succinctly|shortly|in short|in brief)\b",
            r"|\b(?:briefly|concisely|succinctly) (?:explain|describe|summari[sz]e|answer|tell|list)\b",
            r"|\bin (?:one|a|two|three|a few|one or two|a couple of|1|2|3)(?: short| single)? (?:sentences?|words?|lines?)\b|\bin a nutshell\b",
            r"|\b(?:answers?|repl(?:y|ies)|responses?|explanations?|that|this|it|you)(?: is| are|'s|'re| was| were) (?:way |far |much |a bit |just )?too (?:long|verbose|wordy)\b|\b(?:shorter,? please|less verbose|shorten (?:your|the) (?:answer|reply|response)s?)\b",
            r"|\b(?:just|only) (?:give me |show me |tell me |want |need |write |send |post )?(?:the|your) (?:answer|result|command|final answer|number)\b",
            r"|\b(?:no|without|skip the|skip) (?:the |any |long |further )*explanations?\b|(?:^|please |just |and |, )get to the point(?:$|[.,!])|\b(?:short|straight|brief) and to the point\b",
        ),
    },
];

/// What makes a request about a text the user works on, or turns it round.
const NOT_ASKED: &str =
    r"\b(?:don't|do not|dont|no need (?:to|for)|not|never|without|stop|isn't|aren't) (?:\w+ ){0,3}$";
const ARTEFACT: &str = concat!(
    r"\b(?:paragraph|essay|e-?mail|letter|function|article|poem|story|bio|headline|title|subject line|caption|tweet|post|abstract|paper|",
    r"class|method|variable|file|log|error|url|link|slug|password|hair|skirt|trip|walk|term|cut|circuit|story)\b",
);

/// Tells signals from other uses of the same words.
#[derive(Debug)]
pub(super) struct SignalReader {
    signals: Vec<(&'static str, Regex)>,
    not_asked: Regex,
    artefact: Regex,
}

impl SignalReader {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let regex = |pattern: &str| Regex::new(&ascii(pattern.to_owned()));
        Ok(SignalReader {
            signals: SIGNALS
                .iter()
                .map(|signal| Ok((signal.name, regex(signal.pattern)?)))
                .collect::<Result<_, regex::Error>>()?,
            not_asked: regex(NOT_ASKED)?,
            artefact: regex(ARTEFACT)?,
        })
    }

    /// Where an evened sentence gives the signal of this number, if it does.
    pub(super) fn find(
        &self,
        number: usize,
        sentence: &str,
    ) -> Option<(&'static str, std::ops::Range<usize>)> {
        let (name, pattern) = self.signals.get(number)?;
        let found = pattern.find(sentence)?;
        let (before, behind) = (&sentence[..found.start()], &sentence[found.end()..]);
        let concise = number == 2;
        let turned = self.not_asked.is_match(before)
            && !found.as_str().starts_with("no")
            && !found.as_str().starts_with("with");
        // "TL;DR: my app crashes" sums up the user's own words.
        let label = found.as_str().starts_with("tl") && behind.trim_start().starts_with([':', '-', '—', ',']);
        let told = ["i ", "it ", "he ", "she ", "they ", "here's ", "here is ", "i've "]
            .iter()
            .any(|who| before.starts_with(who))
            && !["want", "need", "like", "prefer", "would", "'d", "see"]
                .iter()
                .any(|wish| sentence.contains(wish));
        let artefact = concise && self.artefact.is_match(sentence);
        (!turned && !label && !told && !artefact).then_some((*name, found.range()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_what_the_user_asks_for() {
        let reader = SignalReader::new().unwrap();
        for (number, text) in [
            (0, "can you explain that in more detail?"),
            (0, "explain step by step how tcp works"),
            (0, "please elaborate"),
            (0, "i want a detailed explanation of borrowing"),
            (0, "walk me through the proof"),
            (1, "show me an example"),
            (1, "can you give me a short code example in rust?"),
            (1, "do you have any examples?"),
            (1, "i need some sample code"),
            (1, "explain it with a simple example"),
            (2, "keep it short"),
            (2, "tl;dr please"),
            (2, "give me the short version"),
            (2, "answer in one sentence."),
            (2, "just the command, no explanation"),
            (2, "your answers are too long"),
        ] {
            assert!(reader.find(number, text).is_some(), "{text}");
        }
        for (number, text) in [
            (0, "don't go into detail"),
            (0, "the order details are wrong"),
            (0, "no need to elaborate"),
            (1, "for example, the parser fails"),
            (1, "don't give me an example"),
            (1, "the example does not compile"),
            (2, "tl;dr: my app crashes"),
            (2, "make this paragraph shorter"),
            (2, "the build takes too long in the email service"),
            (2, "in short, it fails"),
            (2, "shorten the url"),
        ] {
            assert!(reader.find(number, text).is_none(), "{text}");
        }
    }
}
