use super::*;
use crate::session::{FileFacts, Message, Patterns, Quote};

fn services() -> Services {
    Services {
        home: "/nowhere".into(),
        config_dir: "/nowhere".into(),
        home_key: [0; 32],
        examples: Arc::new(SeenExamples::default()),
    }
}

fn session(id: &str, turns: &[(&str, &str)]) -> Envelope {
    let messages = turns
        .iter()
        .flat_map(|(question, answer)| {
            [Message::new(Role::User, *question), Message::new(Role::Assistant, *answer)]
        })
        .collect();
    Envelope::new(
        Session { session_id: id.into(), messages, ..Session::default() },
        FileFacts { sessions: 1, ..FileFacts::default() },
    )
}

async fn run(config: TrainingDataSettings, services: &Services, envelope: &mut Envelope) -> (String, String) {
    let stage = config.build(services).unwrap();
    run_stage(&*stage, envelope, false).await
}

async fn run_stage(stage: &dyn Stage, envelope: &mut Envelope, dry_run: bool) -> (String, String) {
    let cx = StageContext { name: "training_data", attempt: 1, dry_run };
    assert_eq!(stage.process(envelope, &cx).await.unwrap(), Verdict::Continue);
    let Some(Effect::TrainingData { lines, examples, signatures, .. }) = envelope.effects.pop() else {
        panic!("no effect");
    };
    assert_eq!((lines.lines().count(), signatures.len()), (examples, examples));
    (lines, envelope.note.take().unwrap())
}

const BORROW: (&str, &str) =
    ("Why does the borrow checker complain?", "Because the vector is borrowed while you push to it.");
const PASTA: (&str, &str) =
    ("How long do I cook fresh pasta?", "Two to three minutes in well salted boiling water.");
const TRAIN: (&str, &str) = ("Which train goes to Lyon?", "Take the TGV from Gare de Lyon, every half hour.");

#[tokio::test]
async fn each_answer_is_an_example_with_the_turns_before_it() {
    let (lines, note) =
        run(TrainingDataSettings::default(), &services(), &mut session("a", &[BORROW, PASTA, TRAIN])).await;
    assert_eq!(note, "3 examples");
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["instruction"], TRAIN.0);
    assert_eq!(last["output"], TRAIN.1);
    assert_eq!(
        last["context"],
        format!("User: {}\nAssistant: {}\nUser: {}\nAssistant: {}", BORROW.0, BORROW.1, PASTA.0, PASTA.1)
    );
}

#[tokio::test]
async fn the_context_keeps_to_its_bounds_and_stops_at_a_private_key() {
    let room = |n: &(&str, &str)| n.0.len() + n.1.len();
    for (config, turns, expected) in [
        (TrainingDataSettings { max_context_turns: 3, ..Default::default() }, [BORROW, PASTA], 1),
        (TrainingDataSettings { max_context_turns: 1, ..Default::default() }, [BORROW, PASTA], 0),
        (TrainingDataSettings { max_context_chars: room(&PASTA), ..Default::default() }, [BORROW, PASTA], 1),
        (
            TrainingDataSettings { max_context_chars: room(&PASTA) - 1, ..Default::default() },
            [BORROW, PASTA],
            0,
        ),
        (
            TrainingDataSettings::default(),
            [("My key is <PRIVATE_KEY_1>, safe?", "No, replace it at once."), PASTA],
            1,
        ),
        (TrainingDataSettings::default(), [BORROW, PASTA], 2),
    ] {
        let (lines, _) = run(config, &services(), &mut session("a", &[turns[0], turns[1], TRAIN])).await;
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["context"].as_str().unwrap().matches("User: ").count(), expected);
        assert!(!lines.contains("PRIVATE_KEY"));
    }
}

#[tokio::test]
async fn what_is_skipped_is_counted_by_reason() {
    let answer = "It is the third one from the left, behind the door.";
    for (turn, reason) in [
        (("Can you hack this?", "I'm sorry, but I can't help with that."), "1 refusal"),
        (("What is this?", "Error: upstream timed out"), "1 error answer"),
        (("Draw me a cat", "[image]"), "1 empty answer"),
        (("Run the tool", ""), "1 empty answer"),
        (("[image]", answer), "1 answer without a question"),
        (("Mail <EMAIL_1> and <EMAIL_2>", "Done: <EMAIL_1>, <EMAIL_2>."), "1 hollowed out by redaction"),
        (("Is <SSH_PRIVATE_KEY_1> fine?", answer), "1 hollowed out by redaction"),
        (("Which one is it?", "Yes."), "1 too short"),
        (("?", answer), "1 too short"),
        (("Which one is it?", &"long ".repeat(5_000)), "1 too long"),
        (
            ("Is there any left?", "Quota exceeded for today, come back tomorrow."),
            "1 matched by skip_answers",
        ),
    ] {
        let config = TrainingDataSettings { skip_answers: vec!["^Quota".into()], ..Default::default() };
        let (_, note) = run(config, &services(), &mut session("a", &[BORROW, turn])).await;
        assert_eq!(note, format!("1 example, skipped {reason}"), "{turn:?}");
    }
}

#[tokio::test]
async fn an_answer_the_user_rejected_is_no_example_but_stays_in_the_context_unlearned() {
    let feedback = |kind: &str, message| crate::session::Feedback {
        kind: kind.into(),
        quote: Quote { message, start: 0, end: 2, text: "No".into() },
    };
    let wrong = ("How long does it fly?", "It flies for about three hours from here.");
    let right = ("No, I mean with the stop in Rome.", "Then it is five hours and twenty minutes.");
    for (kind, thumb, examples) in [
        ("correction", None, 1),
        ("rejection", None, 1),
        ("positive", None, 2),
        ("correction", Some(Rating::Up), 2),
        ("positive", Some(Rating::Down), 1),
    ] {
        let mut envelope = session("a", &[wrong, right]);
        envelope.session.messages[1].feedback = thumb;
        envelope.learned.patterns =
            Some(Patterns { feedback: vec![feedback(kind, 2)], ..Patterns::default() });
        let config = TrainingDataSettings { format: Format::Messages, ..Default::default() };
        let (lines, _) = run(config, &services(), &mut envelope).await;
        assert_eq!(lines.lines().count(), examples, "{kind} {thumb:?}");
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["messages"][1]["content"], wrong.1);
        assert_eq!(last["messages"][1].get("weight").is_some(), examples == 1);
    }
    let mut envelope = session("a", &[wrong]);
    envelope.session.messages.push(Message::new(Role::User, "No, that's wrong."));
    envelope.learned.patterns =
        Some(Patterns { feedback: vec![feedback("rejection", 2)], ..Patterns::default() });
    let (_, note) = run(TrainingDataSettings::default(), &services(), &mut envelope).await;
    assert_eq!(note, "no examples, skipped 1 rejected by the user");
}

#[tokio::test]
async fn an_example_counts_once_in_a_session_and_once_in_the_corpus() {
    let services = services();
    let stage = TrainingDataSettings::default().build(&services).unwrap();
    let shouted = (BORROW.0, "Because the VECTOR is borrowed, while you push to it!");
    let (first, note) = run_stage(&*stage, &mut session("a", &[BORROW, shouted, PASTA]), false).await;
    assert_eq!(note, "2 examples, skipped 1 near-duplicate");

    let (_, note) = run_stage(&*stage, &mut session("b", &[BORROW, PASTA, TRAIN]), true).await;
    assert_eq!(note, "1 example, skipped 2 near-duplicates");
    let (lines, note) = run_stage(&*stage, &mut session("b", &[BORROW, PASTA, TRAIN]), false).await;
    assert_eq!(note, "1 example, skipped 2 near-duplicates", "a dry run reserves nothing");
    assert!(lines.contains("User: Why does"), "a duplicate still is context");

    let (again, _) = run_stage(&*stage, &mut session("a", &[BORROW, shouted, PASTA]), false).await;
    assert_eq!(again, first, "the same session gives the same bytes");
    let (_, note) = run_stage(&*stage, &mut session("a", &[BORROW, PASTA, BORROW]), false).await;
    assert_eq!(note, "2 examples, skipped 1 near-duplicate", "a revision does not meet itself");
}

#[tokio::test]
async fn a_session_without_examples_says_so_that_an_earlier_revision_makes_room() {
    let (lines, note) = run(TrainingDataSettings::default(), &services(), &mut session("a", &[])).await;
    assert_eq!((lines.as_str(), note.as_str()), ("", "no examples"));
}

#[tokio::test]
async fn the_system_message_is_written_only_where_it_is_wanted_and_fits() {
    for (include_system, max_context_chars, expected) in
        [(true, 100, true), (true, 5, false), (false, 100, false)]
    {
        let mut envelope = session("a", &[BORROW]);
        envelope.session.messages.insert(0, Message::new(Role::System, "You are terse."));
        let config = TrainingDataSettings { include_system, max_context_chars, ..Default::default() };
        let (lines, _) = run(config, &services(), &mut envelope).await;
        assert_eq!(lines.contains("terse"), expected);
    }
}

#[test]
fn all_wrong_settings_are_named_at_once() {
    let config = TrainingDataSettings {
        min_answer_chars: 10,
        max_answer_chars: 9,
        max_placeholder_share: f64::NAN,
        skip_answers: vec!["fine".into(), "(".into()],
        ..Default::default()
    };
    let keys: Vec<_> = config.build(&services()).err().unwrap().into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["max_answer_chars", "max_placeholder_share", "skip_answers[1]"]);
}
