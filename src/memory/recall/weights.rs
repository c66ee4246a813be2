/// How much each thing counts. The values were set once for a reason each, not swept for one set of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// BM25: how fast a repeated word stops adding.
    pub k1: f32,
    /// BM25: how much a long text is held against it.
    pub b: f32,
    /// Share of a neighbouring turn's score; the turn behind it gives this squared. An answer seldom repeats the words
    /// of what it answers.
    pub neighbours: f32,
    /// Share of the session's score. What is asked about is mostly one conversation's topic.
    pub session: f32,
    /// What a turn said at the time asked about gains, as a share of its score.
    pub dates: f32,
    /// What the time asked about counts, as a word of the question that stands in every turn said then.
    pub time: f32,
    /// What the newest turn gains, as a share of its score; halves every [`Weights::HALF_LIFE_DAYS`].
    pub recency: f32,
    /// Share that the assistant's, the system's and tools' words keep: the memory is about the user.
    pub not_user: f32,
    /// What the turn closest in meaning gains, as a share of the best score by words, where meanings are kept.
    pub meaning: f32,
    /// Whether facts and preferences are results of their own.
    pub statements: bool,
    /// Whether preferences count more for questions that ask for advice.
    pub advice: bool,
}

impl Weights {
    /// Days in which the gain of the newest halves.
    pub const HALF_LIFE_DAYS: f64 = 90.0;
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            k1: 1.2,
            b: 0.75,
            neighbours: 0.35,
            session: 0.5,
            dates: 0.35,
            time: 1.0,
            recency: 0.03,
            not_user: 0.9,
            meaning: 0.25,
            statements: true,
            advice: true,
        }
    }
}

/// The features that can be switched off to see what they gain.
pub const FEATURES: [&str; 9] =
    ["neighbours", "session", "dates", "time", "recency", "roles", "meaning", "statements", "advice"];

impl Weights {
    /// These weights without one of the [`FEATURES`]; `None` if there is no such feature.
    #[must_use]
    pub fn without(mut self, feature: &str) -> Option<Self> {
        match feature {
            "neighbours" => self.neighbours = 0.0,
            "session" => self.session = 0.0,
            "dates" => self.dates = 0.0,
            "time" => self.time = 0.0,
            "recency" => self.recency = 0.0,
            "roles" => self.not_user = 1.0,
            "meaning" => self.meaning = 0.0,
            "statements" => (self.statements, self.advice) = (false, false),
            "advice" => self.advice = false,
            _ => return None,
        }
        Some(self)
    }
}
