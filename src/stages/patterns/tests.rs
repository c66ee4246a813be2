use super::*;
use crate::session::{Feedback, FileFacts, Message, Moment};

fn stage(settings: &str) -> Box<dyn Stage> {
    let services = Services::detached(std::path::Path::new("/"), std::path::Path::new("/"));
    toml::from_str::<PatternsSettings>(settings).unwrap().build(&services).unwrap()
}

fn learn(settings: &str, language: Option<&str>, messages: Vec<Message>) -> Patterns {
    let session = Session { messages, ..Session::default() };
    let mut envelope = Envelope::new(session, FileFacts::default());
    envelope.learned.language = language.map(str::to_owned);
    let cx = StageContext { name: "patterns", attempt: 1, dry_run: false };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stage = stage(settings);
    assert_eq!(runtime.block_on(stage.process(&mut envelope, &cx)).unwrap(), Verdict::Continue);
    envelope.learned.patterns.unwrap()
}

fn says(role: Role, text: &str) -> Message {
    Message::new(role, text)
}

/// What the user's turn says of an answer, as kinds.
fn judged(answer: &str, reply: &str) -> Vec<String> {
    let messages = vec![
        says(Role::User, "Tell me about the history of the iron bridge over the Main in Frankfurt."),
        says(Role::Assistant, answer),
        says(Role::User, reply),
    ];
    let feedback = learn("", None, messages.clone()).feedback;
    for Feedback { quote, .. } in &feedback {
        assert_eq!(quote.message, 2);
        assert_eq!(&messages[2].text[quote.start..quote.end], quote.text);
    }
    feedback.into_iter().map(|feedback| feedback.kind).collect()
}

const ANSWER: &str = "The bridge was built in 1868 and is 170 metres long.";

#[test]
fn a_turn_that_judges_the_answer_is_told_by_its_kind() {
    let mut wrong = Vec::new();
    for (kind, replies) in [
        (
            "correction",
            &[
                "No, that's wrong. It was built in 1869.",
                "That’s not right, it should be 174 metres.",
                "No, it's called the Iron Bridge.",
                "You forgot the second bridge.",
                "I said metres, not feet.",
                "I asked for a list, not an essay.",
                "Actually, it was rebuilt after the war.",
                "Hmm, you're mixing up two bridges: that is the one in Mainz, not Frankfurt.",
                "Thanks, but the answer is wrong: it should be 1869.",
                "There's an error in your code, the index should start at 1.",
                "No, I meant the other river.",
                "That should be a list instead.",
            ][..],
        ),
        (
            "rejection",
            &[
                "That's not what I asked.",
                "No.",
                "wrong",
                "That doesn't work.",
                "It still doesn't work, why?",
                "Still getting the same error.",
                "Thanks for not being helpful.",
                "Thanks for nothing!",
                "Great, another error.",
                "This is useless.",
                "I don't like it.",
                "Try again.",
                "You're not listening to me",
                "Not helpful at all.",
                "That is incorrect.",
                "Stop making things up.",
                "This answer is not what I was looking for, it isn't helpful.",
            ],
        ),
        (
            "rephrase",
            &[
                "Let me rephrase: who designed it?",
                "What I meant was the designer.",
                "As I said, I need the designer.",
                "Please describe the history of the iron bridge in Frankfurt!",
                "In other words, who drew the plans?",
                "I was asking about the designer.",
            ],
        ),
        (
            "clarification",
            &[
                "What do you mean by long?",
                "I don't understand.",
                "Sorry, I'm confused.",
                "Could you elaborate?",
                "Can you explain that again?",
                "What does that mean?",
                "huh?",
                "I don't get why it was built.",
            ],
        ),
        (
            "positive",
            &[
                "Thanks!",
                "Thank you so much, that was very helpful.",
                "Perfect.",
                "Great, now tell me about the river.",
                "That works, and what about the other one?",
                "Good job!",
                "Exactly what I needed.",
                "You’re right, my mistake.",
                "I love it!",
                "Wow, that makes sense now.",
                "ok thanks",
            ],
        ),
    ] {
        for reply in replies {
            let kinds = judged(ANSWER, reply);
            if kinds != [kind] {
                wrong.push(format!("{reply}: {kinds:?} instead of {kind}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_only_looks_like_a_judgement_is_none() {
    for reply in [
        "I mean, who designed it?",
        "And how long is the river?",
        "No problem, go on.",
        "No worries. Who designed it?",
        "A translation would be great.",
        "Can you tell me whether that is the right year, thanks in advance?",
        "It would be helpful to know the designer.",
        "What went wrong when it was built?",
        "My friend said: \"That's wrong, it was built in 1869.\"",
        "> That's wrong.\n\nWho wrote this?",
        "Now the same for the bridge in Mainz.",
        "I should cross it tomorrow.",
        "Is it the best one, or is there a better one?",
        "I don't want to go there.",
        "How great is the load it can bear?",
        "",
    ] {
        assert_eq!(judged(ANSWER, reply), [""; 0], "{reply}");
    }
}

#[test]
fn a_no_that_answers_a_question_of_the_assistant_is_no_correction() {
    let asks = "I can tell you more. Do you mean the railway bridge?";
    for reply in [
        "No.",
        "No, the other one.",
        "No, it is for walkers.",
        "Nope, I mean the Iron Bridge",
        "Great!",
        "Perfect, yes",
    ] {
        assert_eq!(judged(asks, reply), [""; 0], "{reply}");
    }
    assert_eq!(judged(asks, "No, that's wrong. I asked about the river, not a bridge."), ["correction"]);
    // Asked about its own answer, the reply judges it.
    assert_eq!(judged("It is 170 m long. Does that help?", "No."), ["rejection"]);
    assert_eq!(judged("Use `x`. Did that work? 🙂", "Great!"), ["positive"]);
    assert_eq!(judged("Is it long? Yes, it is.", "No."), ["rejection"]);
}

#[test]
fn praise_beside_a_complaint_is_no_praise_and_a_complaint_counts_once() {
    assert_eq!(
        judged(ANSWER, "Thanks! That works. But the second part is wrong: it should be 174 m."),
        ["correction"]
    );
    assert_eq!(judged(ANSWER, "That doesn't work. You forgot the unit."), ["correction"]);
    assert_eq!(judged(ANSWER, "Thanks! Could you elaborate?"), ["positive", "clarification"]);
}

#[test]
fn a_first_turn_judges_nothing_and_other_languages_are_left_alone() {
    let first = vec![says(Role::User, "That's wrong. Thanks!"), says(Role::Assistant, "Hm?")];
    assert_eq!(learn("", None, first).feedback, []);
    let talk =
        || vec![says(Role::Assistant, ANSWER), says(Role::User, "No, that's wrong, it should be 1869.")];
    assert_eq!(learn("", Some("eng"), talk()).feedback.len(), 1);
    assert_eq!(learn("", Some("deu"), talk()).feedback, []);
    assert_eq!(learn("feedback = false", Some("eng"), talk()).feedback, []);
}

#[test]
fn shares_and_means_are_those_of_the_user_s_own_words() {
    let messages = vec![
        says(Role::System, "Please be polite. Do you understand?"),
        says(
            Role::User,
            "Could you please fix this?\n```\nlet many = words_that(nobody, said); // please ?\n```",
        ),
        says(Role::Assistant, "Sure! Thanks for asking. What is it?"),
        says(Role::User, "It doesn’t compile"),
        says(Role::User, "Danke"),
        says(Role::User, "tell me how the well-known lifetimes work"),
    ];
    let patterns = learn("", None, messages);
    assert_eq!(patterns.messages, 4);
    assert_eq!(patterns.mean_words, f64::from(5 + 3 + 1 + 8) / 4.0);
    assert_eq!(patterns.code_share, 0.25);
    assert_eq!(patterns.question_share, 0.25);
    assert_eq!(patterns.politeness, 0.5);
    assert_eq!(patterns.complexity, None);
}

#[test]
fn no_message_of_the_user_gives_no_shares() {
    assert_eq!(learn("", None, vec![says(Role::Assistant, "Hi")]), Patterns::default());
}

#[test]
fn complexity_follows_terms_words_and_sentences() {
    for (level, text) in [
        (
            "beginner",
            "Hi, I'm new to python. How do I make a list? I saw a loop in a video and I have no idea what it is. Can you show me how to do it step by step with a small one?",
        ),
        (
            "beginner",
            "My cat is sick. She does not eat and sleeps all day. What can I give her? I have rice and some milk at home. Is milk good or bad for cats? Please help me.",
        ),
        (
            "intermediate",
            "I have a web shop that runs on a small server, and since last week the pages load slowly in the evening. I looked at the logs and found many requests from one address. What would you check next, and should I block that address in the firewall?",
        ),
        (
            "advanced",
            "Our scheduler shows priority inversion under contention: the mutex is held across an await, so throughput collapses once the executor saturates. Would a lock-free queue with bounded backpressure preserve the ordering invariant, or does the memory model permit reordering between the producer and consumer threads?",
        ),
        (
            "advanced",
            "Given heteroscedasticity in the residuals, is the sandwich estimator consistent for the coefficient covariance if the likelihood is misspecified, or should the regression use a heavier-tailed posterior with an informative hierarchical variance parameter?",
        ),
    ] {
        assert_eq!(
            learn("", None, vec![says(Role::User, text)]).complexity.as_deref(),
            Some(level),
            "{text}"
        );
    }
    let short =
        || vec![says(Role::User, "What is a closure in Rust, and when is it better than a function?")];
    assert_eq!(learn("", None, short()).complexity, None);
    assert!(learn("min_words = 5", None, short()).complexity.is_some());
    assert_eq!(learn("min_words = 5", Some("deu"), short()).complexity, None);
}

#[test]
fn hours_are_those_of_the_writer_s_clock() {
    let at = |role, time: &str| Message { timestamp: Moment::parse(time), ..Message::new(role, "hi") };
    let messages = vec![
        at(Role::User, "2024-01-31T22:30:00Z"),
        at(Role::User, "2024-01-31T22:59:00Z"),
        at(Role::User, "2024-01-31T09:00:00"),
        at(Role::Assistant, "2024-01-31T10:00:00"),
        Message::new(Role::User, "hi"),
    ];
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let stage = PatternsStage { judge: None, min_words: 1, zone: Some(zone) };
    let hours = stage.hours(&Session { messages, ..Session::default() });
    assert_eq!(hours, BTreeMap::from([(0, 2), (9, 1)]));
}

#[test]
fn megabytes_are_read_in_good_time() {
    for text in ["no, ".repeat(100_000), "that's wrong. ".repeat(30_000), "İ’ ".repeat(50_000)] {
        learn("", None, vec![says(Role::User, "hi"), says(Role::Assistant, &text), says(Role::User, &text)]);
    }
}
