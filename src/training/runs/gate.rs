//! The gate: whether a new version is better than what is there, and worse at nothing.
//!
//! Everything is measured twice on the same texts, before and after, so that every comparison is paired. What is new
//! has to get better, and surely so: the paired bootstrap draws from the measured texts again and again, and counts
//! how often the loss falls. What is old, and what is general, must not get worse. And questions must go on telling
//! of their answers: a model that was trained on answers to other questions writes the user's style and yet answers
//! at random, which a loss alone does not tell.

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
    /// Held-out answers after their own questions; before is the base. May be empty.
    pub own: Pair,
    /// The same answers after questions of other sessions.
    pub swapped: Pair,
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

    /// How much a question tells of its answer, in nats per token, before and after.
    pub fn relevance(&self) -> Option<(f64, f64)> {
        let ((own_before, own_after), (swapped_before, swapped_after)) =
            (self.own.means()?, self.swapped.means()?);
        Some((swapped_before - own_before, swapped_after - own_after))
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
    let all = [&measured.new, &measured.old, &measured.anchor, &measured.own, &measured.swapped];
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
    if let Some((before, after)) = measured.relevance()
        && before > 0.0
        && after < before * (1.0 - gate.relevance)
    {
        return rejected(format!(
            "questions tell {} less of their answers than before, {} is allowed: do the answers belong to their \
             questions?",
            percent(1.0 - after / before),
            percent(gate.relevance)
        ));
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
            own: pair(&[(2.0, 1.8)]),
            swapped: pair(&[(2.5, 2.3)]),
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
        let no_better = Measured { new: pair(&[(2.0, 1.99), (2.0, 2.0)]), ..good() };
        assert_eq!(reason(&no_better), "the loss on new sessions fell by 0.2 %, it has to fall by 1.0 %");
        let by_luck = Measured { new: pair(&[(4.0, 3.0), (2.0, 2.3), (2.0, 2.3), (2.0, 2.3)]), ..good() };
        assert!(reason(&by_luck).contains("of the draws"), "{}", reason(&by_luck));
        let forgot = Measured { old: pair(&[(2.0, 2.1)]), ..good() };
        assert!(reason(&forgot).contains("held out earlier rose by 5.0 %"), "{}", reason(&forgot));
        let dull = Measured { anchor: pair(&[(1.0, 1.02)]), ..good() };
        assert!(reason(&dull).contains("general questions rose by 2.0 %"), "{}", reason(&dull));
        let mixed_up = Measured { swapped: pair(&[(2.5, 1.9)]), ..good() };
        assert!(reason(&mixed_up).contains("questions tell 80.0 % less"), "{}", reason(&mixed_up));
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
