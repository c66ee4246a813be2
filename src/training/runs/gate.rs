//! The gate: whether a new version is better than what is there, and worse at nothing.
//!
//! Everything is measured twice on the same texts, before and after, so that every comparison is paired. What is new
//! has to get better, and surely so: the paired bootstrap draws from the measured texts again and again, and counts
//! how often the loss falls. What is old, and what is general, must not get worse. And what was learned must be
//! answers to its questions: a model that was trained on answers to other questions learns the style of them all, and
//! its loss falls too. Whether they belong together the base can tell, which was not trained on them: an answer is
//! dearer to it after another chat's question than after its own.

use serde::{Deserialize, Serialize};

use crate::config::Gate;
use crate::training::model::Loss;
use crate::training::versions::Decision;

/// How often is drawn.
const DRAWS: usize = 2000;

/// The losses of some texts, before and after.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pair {
    /// With what was there before.
    pub before: Vec<Loss>,
    /// With the new version, text by text.
    pub after: Vec<Loss>,
}

/// All that the gate looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Held-out sessions that the version before did not know.
    pub new: Pair,
    /// Held-out sessions that it knew; may be empty.
    pub old: Pair,
    /// General questions; before is the base.
    pub anchor: Pair,
    /// Learned answers after their own questions, with the base. May be empty.
    pub own: Vec<Loss>,
    /// The same answers after questions of other chats.
    pub swapped: Vec<Loss>,
}

/// What the gate found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The decision.
    pub decision: Decision,
    /// Why, with figures.
    pub reason: String,
    /// Share of the draws in which the loss on what is new fell.
    pub confidence: f64,
}

impl Pair {
    /// Mean losses per token, before and after; `None` where nothing was measured.
    pub fn means(&self) -> Option<(f64, f64)> {
        let (before, after) = (mean(&self.before), mean(&self.after));
        (before.is_finite() && after.is_finite() && !self.before.is_empty()).then_some((before, after))
    }

    /// By which share the loss fell; negative where it rose.
    pub fn fall(&self) -> Option<f64> {
        self.means().filter(|(before, _)| *before > 0.0).map(|(before, after)| 1.0 - after / before)
    }

    /// Both put together.
    #[must_use]
    pub fn and(&self, other: &Pair) -> Pair {
        let both = |one: &[Loss], two: &[Loss]| [one, two].concat();
        Pair { before: both(&self.before, &other.before), after: both(&self.after, &other.after) }
    }

    /// The share of bootstrap draws in which the loss falls. The same seed gives the same draws.
    fn confidence(&self, seed: u64) -> f64 {
        let texts: Vec<(Loss, Loss)> = self.before.iter().copied().zip(self.after.iter().copied()).collect();
        if texts.is_empty() {
            return 0.0;
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let falls = (0..DRAWS).filter(|_| {
            let (mut before, mut after) = (0.0, 0.0);
            for _ in 0..texts.len() {
                let (b, a) = texts[random.usize(0..texts.len())];
                before += b.sum;
                after += a.sum;
            }
            after < before
        });
        falls.count() as f64 / DRAWS as f64
    }
}

/// Mean per token over all texts.
fn mean(losses: &[Loss]) -> f64 {
    let mut all = Loss::default();
    losses.iter().for_each(|loss| all += *loss);
    if all.tokens == 0 { f64::NAN } else { all.mean() }
}

impl Measured {
    /// Held-out losses, before and after, whatever was known.
    pub fn held_out(&self) -> Pair {
        self.new.and(&self.old)
    }

    /// How much questions tell of the learned answers, in nats per token.
    pub fn relevance(&self) -> Option<f64> {
        let (own, swapped) = (mean(&self.own), mean(&self.swapped));
        Some(swapped - own).filter(|relevance| relevance.is_finite())
    }

    /// The share of bootstrap draws in which they tell at least so much.
    fn relevance_confidence(&self, least: f64, seed: u64) -> f64 {
        let answers: Vec<(Loss, Loss)> = self.own.iter().copied().zip(self.swapped.iter().copied()).collect();
        if answers.is_empty() {
            return 0.0;
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let holds = (0..DRAWS).filter(|_| {
            let (mut told, mut tokens) = (0.0, 0);
            for _ in 0..answers.len() {
                let (own, swapped) = answers[random.usize(0..answers.len())];
                told += swapped.sum - own.sum;
                tokens += own.tokens;
            }
            told >= least * tokens as f64
        });
        holds.count() as f64 / DRAWS as f64
    }
}

/// Judges a version.
pub fn judge(measured: &Measured, gate: &Gate, seed: u64) -> Finding {
    // Where nothing is new (a version made again after something was forgotten) all that is held out has to improve.
    let (wanted, what) = match measured.new.means() {
        Some(_) => (measured.new.clone(), "new sessions"),
        None => (measured.held_out(), "held-out sessions"),
    };
    let confidence = wanted.confidence(seed);
    let rejected = |reason: String| Finding { decision: Decision::Rejected, reason, confidence };
    if let Some(relevance) = measured.relevance()
        && gate.relevance > 0.0
        && measured.relevance_confidence(gate.relevance, seed) < gate.confidence
    {
        return rejected(format!(
            "questions tell {relevance:.3} nats a token of the answers that were learned, and surely {} are needed: do \
             the answers belong to their questions?",
            gate.relevance
        ));
    }
    let all = [&measured.new, &measured.old, &measured.anchor];
    if all.iter().any(|pair| pair.after.iter().any(|loss| !loss.sum.is_finite())) {
        return rejected("a loss is not a number with the new version".into());
    }
    let Some(fall) = wanted.fall() else {
        return rejected("there is nothing to measure with".into());
    };
    if fall < gate.improve {
        return rejected(format!(
            "the loss on {what} {}, it has to fall by {}",
            moved(fall),
            percent(gate.improve)
        ));
    }
    if confidence < gate.confidence {
        return rejected(format!(
            "the loss on {what} {}, but only in {} of the draws does it fall, and {} are needed",
            moved(fall),
            percent(confidence),
            percent(gate.confidence)
        ));
    }
    for (pair, most, what) in [
        (&measured.old, gate.old, "sessions held out earlier"),
        (&measured.anchor, gate.anchor, "general questions"),
    ] {
        if let Some(fall) = pair.fall()
            && -fall > most
        {
            return rejected(format!(
                "the loss on {what} {}, it may rise by {} at most",
                moved(fall),
                percent(most)
            ));
        }
    }
    let anchor = measured.anchor.fall().map(|fall| format!(", on general questions it {}", moved(fall)));
    let reason = format!("the loss on {what} {}{}", moved(fall), anchor.unwrap_or_default());
    Finding { decision: Decision::Promoted, reason, confidence }
}

fn moved(fall: f64) -> String {
    if fall >= 0.0 { format!("fell by {}", percent(fall)) } else { format!("rose by {}", percent(-fall)) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(texts: &[(f64, f64)]) -> Pair {
        let loss = |mean: f64| Loss { sum: mean * 10.0, tokens: 10 };
        Pair {
            before: texts.iter().map(|(before, _)| loss(*before)).collect(),
            after: texts.iter().map(|(_, after)| loss(*after)).collect(),
        }
    }

    fn good() -> Measured {
        Measured {
            new: pair(&[(3.0, 2.7), (2.5, 2.4), (3.5, 3.0), (2.0, 1.9)]),
            old: pair(&[(2.0, 2.01)]),
            anchor: pair(&[(1.0, 1.0), (1.2, 1.19)]),
            own: pair(&[(2.0, 0.0), (1.8, 0.0), (2.2, 0.0)]).before,
            swapped: pair(&[(2.5, 0.0), (2.0, 0.0), (2.4, 0.0)]).before,
        }
    }

    fn reason(measured: &Measured) -> String {
        let finding = judge(measured, &Gate::default(), 1);
        assert_eq!(finding.decision, Decision::Rejected, "{}", finding.reason);
        finding.reason
    }

    #[test]
    fn better_at_what_is_new_and_worse_at_nothing_is_promoted() {
        let finding = judge(&good(), &Gate::default(), 1);
        assert_eq!(finding.decision, Decision::Promoted);
        assert_eq!(
            finding.reason,
            "the loss on new sessions fell by 9.1 %, on general questions it fell by 0.5 %"
        );
        assert_eq!(finding.confidence, 1.0);
    }

    #[test]
    fn every_other_version_is_rejected_for_the_reason_it_deserves() {
        let no_better = Measured { new: pair(&[(2.0, 1.988), (2.0, 2.0)]), ..good() };
        assert_eq!(reason(&no_better), "the loss on new sessions fell by 0.3 %, it has to fall by 1.0 %");
        let by_luck = Measured { new: pair(&[(4.0, 3.0), (2.0, 2.3), (2.0, 2.3), (2.0, 2.3)]), ..good() };
        assert!(reason(&by_luck).contains("of the draws"), "{}", reason(&by_luck));
        let forgot = Measured { old: pair(&[(2.0, 2.1)]), ..good() };
        assert!(reason(&forgot).contains("held out earlier rose by 5.0 %"), "{}", reason(&forgot));
        let dull = Measured { anchor: pair(&[(1.0, 1.02)]), ..good() };
        assert!(reason(&dull).contains("general questions rose by 2.0 %"), "{}", reason(&dull));
        let mixed_up = Measured { swapped: pair(&[(2.1, 0.0), (1.9, 0.0), (2.1, 0.0)]).before, ..good() };
        assert!(reason(&mixed_up).contains("questions tell 0.033 nats"), "{}", reason(&mixed_up));
        let unsure = Measured { swapped: pair(&[(3.5, 0.0), (1.6, 0.0), (2.1, 0.0)]).before, ..good() };
        assert!(reason(&unsure).contains("questions tell 0.400 nats"), "{}", reason(&unsure));
        let not_asked = Gate { relevance: 0.0, ..Gate::default() };
        assert_eq!(judge(&mixed_up, &not_asked, 1).decision, Decision::Promoted);
        let broken = Measured { anchor: pair(&[(1.0, f64::NAN)]), ..good() };
        assert!(reason(&broken).contains("not a number"), "{}", reason(&broken));
        assert_eq!(reason(&Measured::default()), "there is nothing to measure with");
    }

    #[test]
    fn where_nothing_is_new_all_that_is_held_out_counts() {
        let again = Measured { new: Pair::default(), old: pair(&[(2.0, 1.8)]), ..good() };
        assert_eq!(judge(&again, &Gate::default(), 1).decision, Decision::Promoted);
    }
}
