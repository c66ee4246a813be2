use std::path::Path;

use serde_json::json;

use super::*;
use crate::session::{FileFacts, Message, Role};

fn services() -> Services {
    Services { home_key: [3; 32], ..Services::detached(Path::new("/"), Path::new("/")) }
}

fn redactor(settings: RedactSettings) -> Redactor {
    settings.redactor([3; 32]).map_err(|problems| format!("{problems:?}")).unwrap()
}

fn redacted(text: &str) -> String {
    let redactor = redactor(RedactSettings::default());
    redactor.text(&mut redactor.scope(), text).into_owned()
}

/// A GitHub token, put together here so that no scanner takes this file for a leak.
fn github() -> String {
    format!("ghp{}{}", "_", "Ab3".repeat(12))
}

fn chat(texts: &[(Role, &str)]) -> Session {
    let messages = texts.iter().map(|(role, text)| Message::new(*role, *text)).collect();
    Session { session_id: "s".into(), messages, ..Session::default() }
}

fn run(settings: RedactSettings, session: Session) -> Envelope {
    let stage = settings.build(&services()).map_err(|problems| format!("{problems:?}")).unwrap();
    let mut envelope = Envelope::new(session, FileFacts::default());
    let cx = StageContext { name: "redact", attempt: 1, dry_run: false };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(stage.process(&mut envelope, &cx)).unwrap(), Verdict::Continue);
    envelope
}

fn texts(session: &Session) -> Vec<&str> {
    session.messages.iter().map(|message| message.text.as_str()).collect()
}

#[test]
fn the_same_value_has_the_same_placeholder_in_the_whole_session() {
    let token = github();
    let mut session = chat(&[
        (Role::User, &format!("my token is {token} and I am ada@example.org")),
        (Role::Assistant, &format!("Do not post {token}, Ada@example.org!")),
        (Role::User, "then write to bob@example.org"),
    ]);
    session.user_id = Some("ada@example.org".into());
    session.metadata = json!({"mail": "bob@example.org", "n": 17}).as_object().unwrap().clone();
    session.messages[0].metadata =
        json!({"tool": {"args": [format!("curl {token}")]}, "bob@example.org": true})
            .as_object()
            .unwrap()
            .clone();
    let envelope = run(RedactSettings::default(), session);
    assert_eq!(
        texts(&envelope.session),
        [
            "my token is <GITHUB_TOKEN_1> and I am <EMAIL_1>",
            "Do not post <GITHUB_TOKEN_1>, <EMAIL_1>!",
            "then write to <EMAIL_2>",
        ]
    );
    let all = serde_json::to_string(&envelope.session).unwrap();
    assert!(!all.contains(&token) && !all.contains("bob@"), "{all}");
    assert!(envelope.session.messages[0].metadata.contains_key("<EMAIL_2>"));
    assert_eq!(envelope.session.user_id.as_deref(), Some("ada@example.org"), "the identity stays");
    assert_eq!(
        envelope.learned.redactions,
        BTreeMap::from([("email".into(), 5), ("github_token".into(), 3)])
    );
    assert_eq!(envelope.note.as_deref(), Some("3 secrets, 5 e-mails"));
}

#[test]
fn placeholders_of_the_input_stay_and_their_numbers_are_not_given_away() {
    let envelope = run(
        RedactSettings::default(),
        chat(&[
            (Role::User, "write to ada@example.org"),
            (Role::Assistant, "to <EMAIL_1>? password=<PASSWORD_7>"),
        ]),
    );
    assert_eq!(texts(&envelope.session), ["write to <EMAIL_2>", "to <EMAIL_1>? password=<PASSWORD_7>"]);
}

#[test]
fn a_secret_given_away_once_is_found_where_it_stands_alone() {
    let envelope = run(
        RedactSettings::default(),
        chat(&[
            (Role::User, "does sw0rdfish9 look right to you?"),
            (Role::User, "DB_PASSWORD=sw0rdfish9"),
            (Role::Assistant, "`sw0rdfish9` is fine, sw0rdfish99 is another"),
        ]),
    );
    assert_eq!(
        texts(&envelope.session),
        [
            "does <PASSWORD_1> look right to you?",
            "DB_PASSWORD=<PASSWORD_1>",
            "`<PASSWORD_1>` is fine, sw0rdfish99 is another"
        ]
    );
}

#[test]
fn a_secret_split_over_messages_of_one_speaker_is_replaced_on_both_sides() {
    let token = github();
    let (head, tail) = token.split_at(17);
    let pem = "-----BEGIN RSA PRIVATE KEY-----\n";
    let body = "MIIEowIBAAKCAQEAx4n2k1Zq0PyVtR8s5LwH3mYbC7eF6gDjNoaUiXkQpTzWvS9B\n".repeat(4);
    type Chat = Vec<(Role, String)>;
    let cases: Vec<(Chat, Vec<&str>)> = vec![
        (
            vec![(Role::User, format!("it is {head}")), (Role::User, format!("{tail} ok?"))],
            vec!["it is <GITHUB_TOKEN_1>", "<GITHUB_TOKEN_1> ok?"],
        ),
        (
            vec![
                (Role::User, head.to_owned()),
                (Role::Assistant, "And the rest?".into()),
                (Role::User, tail[..9].to_owned()),
                (Role::User, tail[9..].to_owned()),
            ],
            vec!["<GITHUB_TOKEN_1>", "And the rest?", "<GITHUB_TOKEN_1>", "<GITHUB_TOKEN_1>"],
        ),
        (
            vec![(Role::User, "Here is the admin password:".into()), (Role::User, "Tr0ub4dor&3".into())],
            vec!["Here is the admin password:", "<PASSWORD_1>"],
        ),
        (
            vec![(Role::User, "card 4111 1111 ".into()), (Role::User, " 1111 1111 thanks".into())],
            vec!["card <CARD_1> ", " <CARD_1> thanks"],
        ),
        (
            vec![
                (Role::User, format!("key:\n{pem}{body}")),
                (Role::User, body.clone()),
                (Role::User, format!("{body}-----END RSA PRIVATE KEY-----\nbye")),
            ],
            vec!["key:\n<PRIVATE_KEY_1>\n", "<PRIVATE_KEY_1>\n", "<PRIVATE_KEY_1>\nbye"],
        ),
        (
            vec![(Role::User, format!("mine: {token}")), (Role::User, "thanks a lot".into())],
            vec!["mine: <GITHUB_TOKEN_1>", "thanks a lot"],
        ),
        (
            vec![(Role::User, format!("mine: {head}")), (Role::Assistant, format!("{tail} is odd"))],
            vec!["", ""],
        ),
    ];
    for (messages, expected) in cases {
        let session = chat(&messages.iter().map(|(role, text)| (*role, text.as_str())).collect::<Vec<_>>());
        let settings = RedactSettings { originals: Originals::Redact, ..RedactSettings::default() };
        let file = serde_json::to_vec_pretty(&session).unwrap();
        let envelope = run(settings, session);
        let expected = if expected[0].is_empty() {
            // Two speakers: no one's secret.
            messages.iter().map(|(_, text)| text.as_str()).collect()
        } else {
            expected
        };
        assert_eq!(texts(&envelope.session), expected);
        let [Effect::RedactedOriginal(rewrite)] = envelope.effects.as_slice() else { panic!("no rewrite") };
        let file: Value = serde_json::from_slice(&rewrite(&file).unwrap()).unwrap();
        let contents: Vec<_> =
            file["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
        assert_eq!(contents, expected, "the file says the same");
    }
}

#[test]
fn only_the_value_is_replaced() {
    for (text, expected) in [
        ("postgres://bob:s3cr@t!@db.example.com:5432/x", "postgres://bob:<PASSWORD_1>@db.example.com:5432/x"),
        ("mysql://root:a/b?c@h/x", "mysql://root:<PASSWORD_1>@h/x"),
        ("http://localhost:8080/a@b", "http://localhost:8080/a@b"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZDE=", "Authorization: Basic <CREDENTIAL_1>"),
        ("-H \"Authorization: Bearer 0a1b2c3d4e5f6071\"", "-H \"Authorization: Bearer <CREDENTIAL_1>\""),
        (
            "headers={'Authorization': f'Bearer 0a1b2c3d4e5f6071'}",
            "headers={'Authorization': f'Bearer <CREDENTIAL_1>'}",
        ),
        ("Authorization: Bearer ${TOKEN}", "Authorization: Bearer ${TOKEN}"),
        ("Authorization: Bearer access_token", "Authorization: Bearer access_token"),
        ("the bearer of bad news", "the bearer of bad news"),
        ("machine h.example login me password p4ss", "machine h.example login me password <PASSWORD_1>"),
        ("machine learning login with password reset", "machine learning login with password reset"),
        ("curl -s -u me:hunter2 https://x.example", "curl -s -u me:<PASSWORD_1> https://x.example"),
        ("curl --user 'me:hunter 2' x", "curl --user 'me:<PASSWORD_1>' x"),
        ("a follow-up: sort -u a:b", "a follow-up: sort -u a:b"),
        ("{\"card\": 4111111111111111}", "{\"card\": \"<CARD_1>\"}"),
        ("card = 4111111111111111\nx = 1", "card = \"<CARD_1>\"\nx = 1"),
        ("grep '-----BEGIN RSA PRIVATE KEY-----' *.pem", "grep '-----BEGIN RSA PRIVATE KEY-----' *.pem"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "<PRIVATE_KEY_1>"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        ),
        (
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY",
            "AWS_SECRET_ACCESS_KEY=<AWS_SECRET_1>",
        ),
    ] {
        assert_eq!(redacted(text), expected, "{text}");
    }
}

#[test]
fn rules_can_be_switched_off_added_and_excepted() {
    let text = "ada@example.org, TICKET-17 of Ada  Lovelace (not Adage), 555-234-5678, help@example.org";
    let settings: RedactSettings = toml::from_str(
        r#"
        disable = ["phone"]
        names = ["ada", "Ada Lovelace"]
        allow = ['help@example\.org']
        rule = [{ name = "ticket", regex = 'TICKET-(\d+)' }]
        "#,
    )
    .unwrap();
    let redactor = redactor(settings);
    assert_eq!(
        redactor.text(&mut redactor.scope(), text),
        "<EMAIL_1>, TICKET-<TICKET_1> of <NAME_1> (not Adage), 555-234-5678, help@example.org"
    );
    let redactor = self::redactor(toml::from_str(r#"groups = ["personal"]"#).unwrap());
    let token = github();
    assert_eq!(redactor.text(&mut redactor.scope(), &token), token);
}

#[test]
fn every_mistake_in_the_settings_is_named_with_its_key() {
    let settings: RedactSettings = toml::from_str(
        r#"
        disable = ["phone", "telefone"]
        allow = ["ok", "("]
        names = [" "]
        [[rule]]
        name = "email"
        regex = "["
        [[rule]]
        name = "x"
        regex = "x*"
        placeholder = "low er"
        "#,
    )
    .unwrap();
    let problems = settings.redactor([0; 32]).map(|_| ()).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "rule[0].name",
        "rule[0].regex",
        "rule[1].placeholder",
        "rule[1].regex",
        "names[0]",
        "allow[1]",
        "disable[1]",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn the_reference_names_every_rule() {
    let reference = serde_json::to_string(&schemars::schema_for!(RedactSettings)).unwrap();
    for name in [Group::Secrets, Group::Personal].map(rules::names).concat() {
        assert!(reference.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn a_file_is_rewritten_string_by_string_and_nothing_else_changes() {
    let redactor = redactor(RedactSettings::default());
    let file = concat!(
        "\u{feff}{ \"user_id\" : \"ada@example.org\",\n  \"n\": 1.50, \"n\": 12345678901234567890,",
        " \"say\": \"a\\u0064a\\u0040example.org\\n\\\"\\ud83d\\ude00\\\"\", \"odd\": \"\\ud800\",",
        " \"password\": \"letmein!\", \"phone\": 5552345678, \"x\": [\"letmein!\", {\"bob@example.org\": null}] }\n"
    );
    let expected = concat!(
        "\u{feff}{ \"user_id\" : \"ada@example.org\",\n  \"n\": 1.50, \"n\": 12345678901234567890,",
        " \"say\": \"<EMAIL_1>\\n\\\"😀\\\"\", \"odd\": \"\\ud800\",",
        " \"password\": \"<PASSWORD_1>\", \"phone\": \"<PHONE_1>\", \"x\": [\"<PASSWORD_1>\", {\"<EMAIL_2>\": null}] }\n"
    );
    let out = redactor.redact_document(file.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
    assert_eq!(redactor.redact_document(&out).unwrap(), out, "and again changes nothing");
    let lines = "{\"a\": \"ada@example.org\"}\r\n\n{\"b\": [\"ada@example.org\"]}";
    let out = redactor.redact_document(lines.as_bytes()).unwrap();
    assert_eq!(out, b"{\"a\": \"<EMAIL_1>\"}\r\n\n{\"b\": [\"<EMAIL_1>\"]}");
    for broken in [&b"{\"a\": "[..], b"\xff", b"plain text"] {
        assert_eq!(redactor.redact_document(broken), None);
    }
}
