use super::world::{World, chat};
use crate::session::Polarity::{Against, For};

#[test]
fn a_later_home_ends_the_earlier_one_whatever_the_order_of_arrival() {
    let told = [
        chat("a").on("2024-01-01T00:00:00Z").says("I live in Berlin").is("lives_in", "Berlin"),
        chat("b").on("2024-02-01T00:00:00Z").says("I moved to Paris").is("lives_in", "Paris"),
        chat("c").on("2024-03-01T00:00:00Z").says("I moved to Rome").is("lives_in", "Rome"),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut world = World::new();
        for next in order {
            world.store(told[next].clone());
        }
        assert_eq!(
            world.facts("anna"),
            ["!lives_in=Berlin", "!lives_in=Paris", "lives_in=Rome"],
            "{order:?}"
        );
    }
}

#[test]
fn both_hobbies_hold() {
    let mut world = World::new();
    world.store(chat("a").says("I play chess").has("hobby", "chess"));
    world.store(chat("b").says("I knit").has("hobby", "knitting"));
    assert_eq!(world.facts("anna"), ["hobby=chess", "hobby=knitting"]);
    assert_eq!(world.facts("bob"), [""; 0]);
}

#[test]
fn forgetting_the_later_home_brings_the_earlier_one_back() {
    let mut world = World::new();
    world.store(chat("a").on("2024-01-01T00:00:00Z").says("Berlin").is("lives_in", "Berlin"));
    let later = chat("b").on("2024-02-01T00:00:00Z").says("Paris").is("lives_in", "Paris");
    world.store(later.clone());
    world.remove(later);
    assert_eq!(world.facts("anna"), ["lives_in=Berlin"]);
}

#[test]
fn a_value_said_again_is_one_run_and_one_returned_to_is_another() {
    let mut world = World::new();
    let months = [("01", "Berlin"), ("02", "berlin"), ("03", "Paris"), ("04", "Berlin")];
    for (month, city) in months {
        world.store(chat(month).on(&format!("2024-{month}-01T00:00:00Z")).says(city).is("lives_in", city));
    }
    assert_eq!(world.facts("anna"), ["!lives_in=berlin", "!lives_in=Paris", "lives_in=Berlin"]);
    assert_eq!(
        world.count("SELECT mentions FROM facts_history WHERE value = 'Berlin' ORDER BY valid_from LIMIT 1"),
        2
    );
    let march =
        "SELECT strftime('%m', valid_from / 1000, 'unixepoch') FROM facts_history WHERE value = 'Paris'";
    let ended = "SELECT strftime('%m', valid_to / 1000, 'unixepoch') FROM facts_history WHERE value = 'Berlin' LIMIT 1";
    assert_eq!((world.text(march).as_str(), world.text(ended).as_str()), ("03", "03"));
    assert_eq!(world.count("SELECT count(*) FROM facts_now"), 1);
}

#[test]
fn within_a_session_the_message_decides_and_its_own_time_comes_first() {
    let mut world = World::new();
    world.store(chat("a").says("Ann").is("name", "Ann").says("no, Anna").is("name", "Anna"));
    assert_eq!(world.facts("anna"), ["!name=Ann", "name=Anna"]);
    let mut world = World::new();
    let told =
        chat("a").on("2024-01-01T00:00:00Z").says("Rome").at("2024-06-01T00:00:00Z").is("lives_in", "Rome");
    world.store(told);
    world.store(chat("b").on("2024-03-01T00:00:00Z").says("Oslo").is("lives_in", "Oslo"));
    assert_eq!(world.facts("anna"), ["!lives_in=Oslo", "lives_in=Rome"]);
}

#[test]
fn a_chat_without_times_that_goes_on_does_not_say_its_old_facts_anew() {
    let mut world = World::new();
    let old = chat("a").says("I live in Berlin").is("lives_in", "Berlin").wants(For, "tea");
    world.store(old.clone());
    world.store(chat("b").says("I moved to Paris").is("lives_in", "Paris").wants(Against, "tea"));
    world.store(old.answers("Welcome").says("thanks").wants(For, "cake"));
    assert_eq!(world.facts("anna"), ["!lives_in=Berlin", "lives_in=Paris"]);
    assert_eq!(world.preferences("anna"), ["+cake*1", "-tea*1"]);
}

#[test]
fn the_latest_polarity_is_what_the_user_wants_now() {
    let mut world = World::new();
    world.store(chat("c").on("2024-03-01T00:00:00Z").says("no emojis").wants(Against, "emojis"));
    world.store(chat("a").on("2024-01-01T00:00:00Z").says("emojis!").wants(For, "emojis").wants(For, "tabs"));
    world.store(chat("b").on("2024-02-01T00:00:00Z").says("no").wants(Against, "emojis"));
    assert_eq!(world.preferences("anna"), ["-emojis*2", "+tabs*1"]);
}

#[test]
fn one_users_answer_does_not_read_the_others_rows() {
    let world = World::new();
    for view in ["facts_now", "facts_history", "preferences_now"] {
        let plan = format!("EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE user_id IS 'anna'");
        let mut statement = world.conn().prepare(&plan).unwrap();
        let steps: Vec<String> =
            statement.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        let whole =
            steps.iter().any(|step| ["SCAN u", "SCAN f", "SCAN p", "SCAN s"].contains(&step.as_str()));
        assert!(!whole, "{view}: {steps:#?}");
        assert!(steps.iter().any(|step| step.contains("(user=?)")), "{view}: {steps:#?}");
    }
}
