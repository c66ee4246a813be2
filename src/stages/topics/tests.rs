use std::collections::HashSet;

use super::*;
use crate::session::{FileFacts, Learned, Message};

fn services() -> Services {
    Services::detached(std::path::Path::new("/"), std::path::Path::new("/"))
}

fn learn(settings: TopicsSettings, messages: Vec<Message>) -> Learned {
    let stage = settings.build(&services()).unwrap();
    let session = Session { messages, ..Session::default() };
    let mut envelope = Envelope::new(session, FileFacts::default());
    let cx = StageContext { name: "topics", attempt: 1, dry_run: false };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(stage.process(&mut envelope, &cx)).unwrap(), Verdict::Continue);
    envelope.learned
}

fn user(text: &str) -> Vec<Message> {
    vec![Message::new(Role::User, text)]
}

/// The topics that settings given as TOML find in what a user says.
fn found(settings: &str, text: &str) -> Vec<String> {
    let settings = toml::from_str(settings).unwrap();
    learn(settings, user(text)).topics.into_iter().map(|topic| topic.name).collect()
}

/// One realistic turn for every default topic, which shall be the best one found.
const PARAGRAPHS: [(&str, &str); 34] = [
    (
        "programming",
        "Can you refactor this function so it takes an iterator? The compiler says the closure borrows the variable twice, and I'd like generics instead of copies of the same code.",
    ),
    (
        "api_development",
        "I'm designing a REST API: which status code should the endpoint send if the payload is valid JSON but the bearer token expired?",
    ),
    (
        "database",
        "My query does a full table scan although there is an index on the foreign key. Postgres picks a nested loop for the join; how do I read the query planner output?",
    ),
    (
        "debugging",
        "It crashes with a segfault after an hour. The stack trace ends in free(), gdb shows nothing, and I can't reproduce the bug on my machine.",
    ),
    (
        "web_development",
        "My flexbox navbar breaks in the browser on small screens. Is a media query enough, or should the React component render other HTML?",
    ),
    (
        "devops",
        "The deployment hangs: kubectl says the pods wait for an image, and the GitHub Actions pipeline cannot push to our container registry on staging.",
    ),
    (
        "data_science",
        "My classifier overfits after three epochs. Would cross-validation and a lower learning rate help, or do I need a larger dataset for the neural network?",
    ),
    (
        "spreadsheets",
        "In Google Sheets I need a formula that looks up a name in another worksheet; VLOOKUP returns the wrong cells when there are duplicates.",
    ),
    (
        "computers_and_devices",
        "My laptop is slow since the upgrade to Windows 11, the printer driver is gone and bluetooth drops all the time. Is a factory reset the only way?",
    ),
    (
        "writing",
        "Please proofread this paragraph and make the wording more concise; the second sentence sounds clumsy and the tone should fit a formal letter.",
    ),
    (
        "summaries",
        "Summarize the transcript of the meeting in five bullet points, with the action items and the main arguments of both sides.",
    ),
    (
        "languages",
        "How do I conjugate ser and estar in Spanish, and when do I need the subjunctive? My pronunciation of the verbs is fine, says a native speaker.",
    ),
    (
        "fiction",
        "Write a short story about a dragon who is afraid of fire. The protagonist should have a believable backstory and the dialogue should be funny.",
    ),
    (
        "tutoring",
        "My homework is due on Monday and I did not understand the lecture. Can you make a study guide for the midterm with practice questions?",
    ),
    (
        "maths",
        "How do I solve this quadratic equation? I know the derivative of x squared, but factoring the polynomial with fractions confuses me in algebra.",
    ),
    (
        "science",
        "Why does photosynthesis need light of a certain wavelength, and what do the electrons in the molecules of chlorophyll do?",
    ),
    (
        "history_and_society",
        "What led to the fall of the Roman Empire, and how did medieval kings and historians of later centuries look at that civilization?",
    ),
    (
        "politics_and_news",
        "Who is ahead in the presidential election, and what would the candidates change about immigration if congress votes with them?",
    ),
    (
        "law",
        "My landlord keeps the security deposit although the lease says otherwise. Do I need a lawyer, or is small claims court enough for a tenant?",
    ),
    (
        "money",
        "Should I pay off my student loan or put the savings into index funds? My mortgage has a low interest rate and I have an emergency fund.",
    ),
    (
        "careers",
        "I have a job interview on Friday. Could you look at my resume and cover letter, and tell me what the recruiter will ask about my last employer?",
    ),
    (
        "business",
        "Help me with a marketing strategy for our startup: who are the competitors, what is the pricing, and how do we find our first customers?",
    ),
    (
        "cooking",
        "I have lentils, tomatoes, garlic and half an onion. Can you give me a recipe for a stew that I can simmer while the bread is in the oven?",
    ),
    (
        "travel",
        "We need an itinerary for five days in Lisbon: which museums, a day trip by train, and a hotel close to the old town, since our flight lands late.",
    ),
    (
        "health",
        "I have had a headache and a fever for three days, and ibuprofen does not help. Are these symptoms a side effect of the antibiotics?",
    ),
    (
        "fitness",
        "Make me a training plan for a half marathon: three workouts a week, some strength training with squats, and rest days after the long run.",
    ),
    (
        "relationships",
        "My boyfriend broke up with me after an argument, and I feel lonely and anxious. My therapist says I should work on setting boundaries.",
    ),
    (
        "family",
        "Our toddler has tantrums at bedtime, and the newborn wakes up twice. Any parenting advice on potty training while I'm on maternity leave?",
    ),
    (
        "shopping",
        "I'm looking to buy noise cancelling headphones under $100. Which ones are value for money, and should I wait for Black Friday discounts?",
    ),
    (
        "household",
        "The kitchen sink is clogged and the faucet leaks. Can I do the plumbing myself with a wrench, or do I need a plumber?",
    ),
    (
        "garden_and_pets",
        "My monstera has yellow leaves; is it root rot from too much watering? And is the fertilizer bad for our cats and the puppy?",
    ),
    (
        "images_and_media",
        "Generate an image of a lighthouse, photorealistic, like an oil painting, with a warm color palette and a blurred background.",
    ),
    (
        "entertainment",
        "Which video games are like Zelda? I loved the boss fights and the soundtrack album; I also need movie recommendations for a thriller on Netflix.",
    ),
    (
        "brainstorming",
        "Let's brainstorm: come up with ideas for a team building day, with a catchy theme, name ideas and a few icebreakers.",
    ),
];

/// What people say to an assistant without a topic.
const SMALL_TALK: [&str; 14] = [
    "Hi! How are you today? I'm doing well, thanks for asking.",
    "I went to class and then read a book at the table near the window.",
    "That's a great idea, let me think about it and come back to you tomorrow.",
    "Sorry, I was away for an hour. Where were we? Please go on.",
    "No, I mean the other one. Yes, exactly, that's what I wanted.",
    "Can you make it shorter? And a bit friendlier, please. Perfect, thank you so much!",
    "The classic answer is that it depends on the order of things.",
    "What do you think, is it worth it? I will let you know if it works.",
    "Good morning. It rained all night and the street is wet, so I stayed home.",
    "We had dinner with friends last night and it was fun.",
    "I like that picture. My brother sent it to me on the phone.",
    "The state of the world is a hard question, but I feel good about this year.",
    "She will return the key in a minute, then we can go and run to the bus.",
    "You are right, there was a limit to the number of people in the room.",
];

#[test]
fn the_default_taxonomy_can_be_read_and_compiled_and_every_topic_is_shown_below() {
    let topics = default_taxonomy().unwrap();
    assert!(Taxonomy::compile(&topics).is_ok());
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, PARAGRAPHS.map(|(name, _)| name));
    for atles in ["programming", "api_development", "database", "debugging"] {
        assert!(names.contains(&atles));
    }
    assert_eq!(TopicsSettings::default().topic, topics);
    assert_eq!(toml::from_str::<TopicsSettings>("min_evidence = 3").unwrap().topic, topics);
}

#[test]
fn every_default_topic_is_the_best_for_a_realistic_turn_and_small_talk_has_none() {
    for (name, text) in PARAGRAPHS {
        let topics = learn(TopicsSettings::default(), user(text)).topics;
        let names: Vec<String> = topics.iter().map(|t| format!("{} {:.2}", t.name, t.score)).collect();
        assert_eq!(topics.first().map(|topic| topic.name.as_str()), Some(name), "{text} {names:?}");
    }
    for text in SMALL_TALK {
        let topics = learn(TopicsSettings::default(), user(text)).topics;
        assert!(topics.is_empty(), "{text}: {topics:?}");
    }
    let all = SMALL_TALK.iter().flat_map(|text| user(text)).collect();
    let together = learn(TopicsSettings::default(), all).topics;
    assert!(together.is_empty(), "{together:?}");
}

#[test]
fn words_are_found_whole_and_only_whole() {
    for (word, text, is_found) in [
        ("class", "the class of 2020", true),
        ("class", "a CLASS-based approach", true),
        ("class", "a classic, declassified, subclass, class_name and classÜ, üclass, 1class", false),
        ("recipe*", "two Recipes.", true),
        ("recipe*", "a myrecipe", false),
        ("unit test*", "write unit testing code", true),
        ("unit test*", "unittest", false),
        ("c++", "in C++, mostly", true),
        ("c++", "abc++", false),
        (".net", "written for .NET 8", true),
        (".net", ".nets", false),
        ("node.js", "with Node.js?", true),
        ("sql server", "an SQL Server.", true),
        ("sql server", "some SQL servers", false),
        ("doesn't work", "It doesn’t work", true),
        ("über", "ÜBER alles", true),
        ("straße", "Die Straße", true),
        ("straße", "Straßenbahn", false),
        ("база данных", "Где База Данных?", true),
        ("my cv", "look at my cv!", true),
        ("my cv", "tommy cv", false),
        ("a b", "a  b", false),
    ] {
        let settings = format!("[[topic]]\nname = 't'\nstrong = [\"{word}\"]");
        assert_eq!(found(&settings, text).len() == 1, is_found, "{word} in {text}");
    }
}

#[test]
fn of_overlapping_words_the_longest_counts_and_a_failed_long_one_leaves_the_short_one() {
    let settings = "[[topic]]\nname = 't'\nwords = ['sql', 'sql server', 'server', 'web api', 'api key']";
    for (text, is_found) in [
        ("sql server", false),
        ("sql servers", false),
        ("sql servers and a server", true),
        ("a web api key", false),
        ("a web api, an api key", true),
    ] {
        assert_eq!(found(settings, text).len() == 1, is_found, "{text}");
    }
}

#[test]
fn a_topic_needs_two_different_words_or_four_weak_ones_or_a_proof() {
    let settings = "[[topic]]\nname = 't'\nwords = ['oven', 'dough']\nweak = ['dinner', 'lunch', 'meal', 'plate']\n\
                    strong = ['sourdough']\nregex = ['\\d+ ?°C']";
    for (text, is_found) in [
        ("oven oven oven", false),
        ("the dough in the oven", true),
        ("dinner and oven", false),
        ("dinner, oven, lunch", true),
        ("dinner, lunch and a meal", false),
        ("dinner, lunch, a meal on a plate", true),
        ("sourdough", true),
        ("at 220 °C", true),
    ] {
        assert_eq!(found(settings, text).len() == 1, is_found, "{text}");
    }
    assert_eq!(found(&format!("min_evidence = 1\n{settings}"), "an oven").len(), 1);
    assert_eq!(found(&format!("min_evidence = 3\n{settings}"), "dough, oven").len(), 0);
}

#[test]
fn only_topics_that_say_so_count_words_within_code() {
    let settings = "[[topic]]\nname = 'in'\nwords = ['oven', 'dough']\ncode = true\n\
                    [[topic]]\nname = 'out'\nwords = ['oven', 'dough']";
    assert_eq!(found(settings, "look:\n```\noven(dough)\n```"), ["in"]);
    assert_eq!(found(settings, "the `oven` needs dough"), ["in"]);
    assert_eq!(found(settings, "`x` the oven, dough, `y`"), ["in", "out"]);
}

#[test]
fn shares_add_up_the_user_counts_twice_shared_words_less_and_repetition_is_damped() {
    let settings = || -> TopicsSettings {
        toml::from_str(
            "min_score = 0.0\nkey_phrases = false\n[[topic]]\nname = 'a'\nstrong = ['apple', 'both']\n\
             [[topic]]\nname = 'b'\nstrong = ['berry', 'both']\n[[topic]]\nname = 'c'\nstrong = ['cherry']",
        )
        .unwrap()
    };
    let scores = |messages: Vec<Message>| {
        let topics = learn(settings(), messages).topics;
        ["a", "b", "c"].map(|name| topics.iter().find(|topic| topic.name == name).map_or(0.0, |t| t.score))
    };
    let says = |role, text: &str| Message::new(role, text);
    let [a, b, c] = scores(vec![says(Role::User, "apple"), says(Role::Assistant, "berry")]);
    assert!((a - 2.0 / 3.0).abs() < 1e-6 && (b - 1.0 / 3.0).abs() < 1e-6 && c == 0.0, "{a} {b} {c}");
    let [a, b, c] = scores(user("both cherry"));
    assert!(a == b && a < c && (a + b + c - 1.0).abs() < 1e-9, "{a} {b} {c}");
    let [a, b, _] = scores(vec![says(Role::User, &"apple ".repeat(100)), says(Role::User, "berry")]);
    assert!(a > b && a < 6.0 * b, "{a} {b}");
    let [a, ..] = scores(vec![says(Role::System, "apple"), says(Role::Tool, "apple")]);
    assert_eq!(a, 0.0);
}

#[test]
fn a_topic_names_the_messages_that_prove_it_and_small_shares_and_too_many_are_cut() {
    let messages = || {
        vec![
            Message::new(Role::System, "apple"),
            Message::new(Role::User, "apple, apple and berry"),
            Message::new(Role::Assistant, "hm"),
            Message::new(Role::User, "apple pie"),
        ]
    };
    let taxonomy = "[[topic]]\nname = 'a'\nstrong = ['apple']\n[[topic]]\nname = 'b'\nstrong = ['berry']";
    let topics =
        |head: &str| learn(toml::from_str(&format!("{head}\n{taxonomy}")).unwrap(), messages()).topics;
    let found = topics("");
    assert_eq!(found[0].messages, [1, 3]);
    assert_eq!(found[1].messages, [1]);
    assert_eq!(topics("max_topics = 1").len(), 1);
    assert_eq!(topics("min_score = 0.5").len(), 1);
    assert_eq!(learn(toml::from_str("topic = []").unwrap(), messages()).topics, []);
}

#[test]
fn every_mistake_in_a_taxonomy_is_reported_with_its_key() {
    let settings: TopicsSettings = toml::from_str(
        "min_score = 2.0\n\
         [[topic]]\nname = 'a'\nwords = ['ok', '--', 'a*']\n\
         [[topic]]\nname = ' '\nstrong = ['x']\n\
         [[topic]]\nname = 'a'\nregex = ['ok', '(', '[']\n\
         [[topic]]\nname = 'd'",
    )
    .unwrap();
    let problems = settings.build(&services()).err().unwrap();
    let keys: HashSet<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "min_score",
        "topic[0].words[1]",
        "topic[0].words[2]",
        "topic[1].name",
        "topic[2].name",
        "topic[2].regex[1]",
        "topic[2].regex[2]",
        "topic[3]",
    ];
    assert_eq!(keys, HashSet::from(expected));
    assert!(toml::from_str::<TopicsSettings>("[[topic]]\nname = 'a'\nword = ['x']").is_err());
}

#[test]
fn the_language_is_recorded_unless_a_stage_before_did() {
    let learned = learn(TopicsSettings::default(), user("Can you tell me why it is so cold in the kitchen?"));
    assert_eq!(learned.language.as_deref(), Some("eng"));
}

#[test]
fn phrases_that_stand_out_are_found_without_stop_words_code_names_or_variants() {
    let mut messages = vec![
        Message::new(
            Role::User,
            "I want to grow a vegetable garden on my balcony. Is compost tea good for tomato plants?",
        ),
        Message::new(
            Role::Assistant,
            "Compost tea helps tomato plants, yes. On a balcony, a vegetable garden needs deep pots.",
        ),
        Message::new(
            Role::User,
            "How often do I give compost tea to the tomato plants? `compost_tea_rate` compost_tea_rate https://garden.example/balcony",
        ),
        Message::new(
            Role::Assistant,
            "Every two weeks. Tomato plants on a balcony dry out quickly, Ottilie, so water the pots, Ottilie.",
        ),
    ];
    messages[0].name = Some("Ottilie Berg".into());
    let learned = learn(TopicsSettings::default(), messages.clone());
    let phrases: Vec<&str> = learned.key_phrases.iter().map(|phrase| phrase.text.as_str()).collect();
    for expected in ["compost tea", "tomato plants", "vegetable garden", "balcony"] {
        assert!(phrases.contains(&expected), "{phrases:?}");
    }
    for part in ["compost", "tomato", "garden", "ottilie", "compost_tea_rate", "two", "quickly"] {
        assert!(!phrases.contains(&part), "{part}: {phrases:?}");
    }
    assert!(learned.key_phrases.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(learned.key_phrases[0].score, 1.0);
    let settings = |text: &str| toml::from_str::<TopicsSettings>(text).unwrap();
    assert_eq!(learn(settings("max_key_phrases = 2"), messages.clone()).key_phrases.len(), 2);
    assert_eq!(learn(settings("key_phrases = false"), messages).key_phrases, []);
}

#[test]
fn phrases_in_other_languages_are_free_of_their_function_words_and_unspaced_scripts_give_none() {
    let phrases = |text: &str| -> Vec<String> {
        let learned = learn(TopicsSettings::default(), user(text));
        learned.key_phrases.into_iter().map(|phrase| phrase.text).collect()
    };
    assert_eq!(
        phrases(
            "Der Sauerteig ist nicht aufgegangen. Warum geht der Sauerteig nicht auf, und was ist mit dem Sauerteig?"
        ),
        ["sauerteig"]
    );
    assert_eq!(phrases("Où est l’hôtel ? Combien coûte l’hôtel ?"), ["hôtel"]);
    assert_eq!(phrases("Моя закваска не растёт. Почему же закваска такая?"), ["закваска"]);
    assert_eq!(phrases("我的面团发不起来 我的面团发不起来"), [""; 0]);
}

#[test]
fn hostile_texts_neither_panic_nor_take_long() {
    let texts = [
        "a".repeat(500_000),
        "re ".repeat(150_000),
        "[<".repeat(150_000),
        "’-".repeat(80_000),
        "x' y- ".repeat(50_000),
        "İı\u{1F600}ß ".repeat(30_000),
        (0..50_000).map(|n| format!("w{n} ")).collect(),
        "`".repeat(30_000) + &"a/".repeat(150_000),
    ];
    for text in texts {
        learn(TopicsSettings::default(), user(&text));
    }
}

#[test]
fn a_regex_is_passed_over_only_where_none_of_its_matches_can_begin() {
    let topic =
        |regex: &str| TopicRule { name: regex.into(), regex: vec![regex.into()], ..TopicRule::default() };
    for (regex, text, expected) in [
        ("(?:GET|POST) /[a-z]", "then POST /users", true),
        ("(?:GET|POST) /[a-z]", "get /users", false),
        (r"[0-9]+ mg\b", "take 200 mg", true),
        (r"\$[0-9]", "it is $5", true),
        ("(?i)select .+ from", "SELECT a FROM b", true),
    ] {
        let rule = topic(regex);
        let settings = TopicsSettings { topic: vec![rule], ..TopicsSettings::default() };
        let learned = learn(settings, user(text));
        assert_eq!(!learned.topics.is_empty(), expected, "{regex} in {text}");
    }
}
