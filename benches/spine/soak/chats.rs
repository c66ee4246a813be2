//! Small sessions of many users, no two of them alike, and in between what daemons meet: the same chat again, a chat
//! that went on, a file that is broken.

use std::fmt::Write;

/// Words there are; as frequent as words are (Zipf).
const WORDS: usize = 30_000;

const ASKS: &[&str] = &[
    "How do I {} the {} without losing the {}?",
    "I get an error when I {} the {} twice, it says the {} is closed. What should I look at first?",
    "Could you explain what a {} does to the {} when there is no {}?",
    "What can I cook with {}, {} and a little {} for six people?",
    "That works, thanks. Now the {} takes four seconds on a table of {} with two million {}.",
    "Please rewrite this so that it sounds friendlier: your {} will come with the {} after the {}.",
];
const STATEMENTS: &[&str] = &[
    "I live near {} and I work as a nurse.",
    "I prefer short answers with one {}.",
    "My sister likes {} and she is vegetarian.",
    "I use {} for the {}.",
];
const ANSWERS: &[&str] = &[
    "There are two good ways. The simplest is to {} the {} first, because the {} then stays as it is.",
    "The {} closes what is idle after a while, and the second {} still holds the old one: ask for a new {}.",
    "Add a {} on the two columns of the {} in the order in which you filter, then look at the {} again.",
    "It takes half an hour: toast the {}, add the {} one ladle at a time, and finish with {}.",
];

/// What a file of the soak is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A chat that was not there before.
    New,
    /// The content of an earlier file again.
    Duplicate(usize),
    /// An earlier chat with more messages.
    Revision(usize),
    /// Cut off in the middle.
    Broken,
}

/// What the file of this number is: of a hundred, two come again, three went on, one is broken. The chats meant are of
/// just now and of long ago, and each is meant once.
pub(super) fn kind(number: usize) -> Kind {
    let earlier = |back: usize| number.checked_sub(back);
    match number % 100 {
        17 => earlier(301).map_or(Kind::New, Kind::Duplicate),
        67 => earlier(50_001).map_or(Kind::New, Kind::Duplicate),
        5 => earlier(401).map_or(Kind::New, Kind::Revision),
        38 => earlier(5_001).map_or(Kind::New, Kind::Revision),
        71 => earlier(100_001).map_or(Kind::New, Kind::Revision),
        50 => Kind::Broken,
        _ => Kind::New,
    }
}

/// The content of the file of this number.
pub(super) fn file(number: usize, users: usize) -> String {
    match kind(number) {
        Kind::New => chat(number, users, 0),
        Kind::Duplicate(earlier) => chat(earlier, users, 0),
        Kind::Revision(earlier) => chat(earlier, users, 2),
        Kind::Broken => {
            let mut text = chat(number, users, 0);
            text.truncate(text.len() / 2);
            text
        }
    }
}

/// About a kilobyte in two to four messages, and `more` messages that came later.
fn chat(number: usize, users: usize, more: usize) -> String {
    let mut words = Words(fastrand::Rng::with_seed(number as u64));
    let messages = 2 + 2 * (number / 3 % 2);
    let mut out = format!(
        "{{\"session_id\":\"soak-{number:07}\",\"user_id\":\"user-{}\",\"app\":\"soak\",\
         \"start_time\":\"2026-{:02}-{:02}T{:02}:{:02}:00\",\"messages\":[",
        words.0.usize(..users.max(1)),
        1 + number % 12,
        1 + number % 28,
        number % 24,
        number % 60
    );
    for index in 0..messages + more {
        let user = index % 2 == 0;
        let (role, lines) = if user { ("user", ASKS) } else { ("assistant", ANSWERS) };
        let mut text = String::new();
        if user && words.0.usize(..6) == 0 {
            words.fill(STATEMENTS, &mut text);
        }
        words.fill(lines, &mut text);
        while text.len() < 900 / messages {
            words.sentence(&mut text);
        }
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{{\"role\":\"{role}\",\"content\":\"{}\"}}", text.trim_end());
    }
    out + "]}"
}

struct Words(fastrand::Rng);

impl Words {
    /// A word, often a frequent one: the rank is spread evenly over the logarithm.
    fn word(&mut self, out: &mut String) {
        let mut rank = ((WORDS as f64).powf(self.0.f64()) - 1.0) as usize;
        loop {
            out.push(char::from(b"bdfgklmnprstvz"[rank % 14]));
            rank /= 14;
            out.push(char::from(b"aeiou"[rank % 5]));
            rank /= 5;
            if rank == 0 {
                return;
            }
        }
    }

    /// One of some lines, with words in its gaps.
    fn fill(&mut self, lines: &[&str], out: &mut String) {
        let line = lines[self.0.usize(..lines.len())];
        for (at, piece) in line.split("{}").enumerate() {
            if at > 0 {
                self.word(out);
            }
            out.push_str(piece);
        }
        out.push(' ');
    }

    fn sentence(&mut self, out: &mut String) {
        out.push_str("Then the ");
        for link in [" is at the ", " while a ", " has the ", " of "] {
            self.word(out);
            out.push_str(link);
        }
        self.word(out);
        out.push_str(". ");
    }
}
