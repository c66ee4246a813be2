use crate::config::HeldOutBy;
use crate::training::{SeenExamples, signature};

use super::SetLine;

/// Fewer sessions than this are never enough to measure with.
const LEAST_HELD_OUT: usize = 2;

/// A set cut in two by session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Split {
    /// What is learned.
    pub train: Vec<SetLine>,
    /// What is measured with.
    pub held_out: Vec<SetLine>,
    /// Answers that are not learned because nearly the same ones are held out.
    pub near_duplicates: usize,
}

/// Cuts a set in two. By lot a session is held out if its identity, read as a fraction, lies below `share`; by time
/// it is the last ones. Where that gives too few, the next ones in that order join them. No answer that is learned is
/// nearly the same as one that is held out.
pub fn split(mut lines: Vec<SetLine>, share: f64, by: HeldOutBy) -> Split {
    lines.retain(|line| line.who().is_some());
    let count = lines.len() as f64;
    let place = |at: usize, line: &SetLine| match by {
        HeldOutBy::Lot => fraction(line),
        // A little more than half of a step is rounded up.
        HeldOutBy::Time => (count - at as f64 - 0.5) / count,
    };
    let mut order: Vec<(f64, usize)> =
        lines.iter().enumerate().map(|(at, line)| (place(at, line), at)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let below = order.iter().take_while(|(fraction, _)| *fraction < share).count();
    let count = below.max(LEAST_HELD_OUT.min(lines.len() / 2));
    let chosen: std::collections::HashSet<usize> = order.iter().take(count).map(|(_, at)| *at).collect();
    let mut split = Split::default();
    for (at, line) in lines.into_iter().enumerate() {
        if chosen.contains(&at) { split.held_out.push(line) } else { split.train.push(line) }
    }
    keep_apart(&mut split);
    split
}

/// Where a session's identity lies between 0 and 1.
fn fraction(line: &SetLine) -> f64 {
    let hash = line.who().map_or([0; 32], |who| who.0);
    let (first, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*first) as f64 / u64::MAX as f64
}

/// Takes from what is learned whatever is nearly the same as something held out.
fn keep_apart(split: &mut Split) {
    let held_out = SeenExamples::default();
    for line in &split.held_out {
        let Some(who) = line.who() else { continue };
        line.learned().for_each(|(_, question, answer)| held_out.insert(&who, signature(question, answer)));
    }
    for line in &mut split.train {
        let Some(who) = line.who() else { continue };
        let (places, signatures): (Vec<usize>, Vec<u64>) =
            line.learned().map(|(at, question, answer)| (at, signature(question, answer))).unzip();
        let near = held_out.near_duplicates(&who, &signatures);
        for (at, _) in places.into_iter().zip(near).filter(|(_, near)| *near) {
            line.chat[at].learn = false;
            line.answers = line.answers.saturating_sub(1);
            split.near_duplicates += 1;
        }
    }
    split.train.retain(|line| line.chat.iter().any(|turn| turn.learn));
}

/// At most so many sessions: the new ones, the youngest first, and of the others a draw that the seed decides. The
/// order stays that of learning.
pub fn draw<T>(lines: Vec<T>, most: usize, is_new: impl Fn(&T) -> bool, seed: u64) -> Vec<T> {
    if lines.len() <= most {
        return lines;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut new, mut old): (Vec<usize>, Vec<usize>) = (0..lines.len()).partition(|at| is_new(&lines[*at]));
    new.reverse();
    random.shuffle(&mut old);
    let kept: std::collections::HashSet<usize> = new.into_iter().chain(old).take(most).collect();
    lines.into_iter().enumerate().filter(|(at, _)| kept.contains(at)).map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Role;
    use crate::training::set::SpokenTurn;

    fn line(number: u32, question: &str, answer: &str) -> SetLine {
        let turn = |role, text: &str, learn| SpokenTurn { role, text: text.into(), learn };
        SetLine {
            identity: blake3::hash(&number.to_le_bytes()).to_hex().to_string(),
            key: number.to_string(),
            session_id: number.to_string(),
            stem: String::new(),
            at: i64::from(number),
            answers: 1,
            chat: vec![turn(Role::User, question, false), turn(Role::Assistant, answer, true)],
        }
    }

    fn numbered(count: u32) -> Vec<SetLine> {
        let word = |n: u32| blake3::hash(&n.to_be_bytes()).to_hex()[..12].to_owned();
        (0..count).map(|n| line(n, &format!("what is {}?", word(n)), &word(n + 1000))).collect()
    }

    #[test]
    fn a_session_stays_on_its_side_as_the_set_grows() {
        let keys = |lines: &[SetLine]| lines.iter().map(|line| line.key.clone()).collect::<Vec<_>>();
        let small = split(numbered(100), 0.2, HeldOutBy::Lot);
        let large = split(numbered(400), 0.2, HeldOutBy::Lot);
        assert!((50..110).contains(&large.held_out.len()), "{}", large.held_out.len());
        assert!(keys(&small.held_out).iter().all(|key| keys(&large.held_out).contains(key)));
        assert_eq!(small.held_out.len() + small.train.len(), 100);
        // Never none, as long as there is a choice.
        assert_eq!(split(numbered(5), 0.05, HeldOutBy::Lot).held_out.len(), 2);
        assert_eq!(split(numbered(1), 0.5, HeldOutBy::Lot).train.len(), 1);
        let by_time = split(numbered(20), 0.25, HeldOutBy::Time).held_out;
        assert_eq!(by_time.iter().map(|line| line.at).collect::<Vec<_>>(), [15, 16, 17, 18, 19]);
    }

    #[test]
    fn nothing_that_is_learned_is_nearly_the_same_as_something_held_out() {
        let mut lines = numbered(40);
        let held_out = split(lines.clone(), 0.2, HeldOutBy::Lot).held_out;
        let (_, question, answer) = held_out[0].learned().next().unwrap();
        let twin = (5000..)
            .map(|n| line(n, &question.to_uppercase(), &format!("{answer}!")))
            .find(|twin| fraction(twin) > 0.5);
        lines.push(twin.unwrap());
        let split = split(lines, 0.2, HeldOutBy::Lot);
        assert_eq!(split.near_duplicates, 1);
        assert_eq!(split.train.len() + split.held_out.len(), 40);
    }

    #[test]
    fn a_draw_keeps_what_is_new_and_is_the_same_for_one_seed() {
        let drawn = draw(numbered(100), 30, |line| line.at >= 80, 7);
        assert_eq!(drawn.len(), 30);
        assert_eq!(drawn.iter().filter(|line| line.at >= 80).count(), 20);
        assert_eq!(drawn, draw(numbered(100), 30, |line| line.at >= 80, 7));
        assert_eq!(draw(numbered(100), 30, |_| true, 7)[0].at, 70, "the youngest of too many new ones");
    }
}
