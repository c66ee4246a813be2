//! Properties that hold for all texts: no value of a known shape survives, ordinary text is not touched, a second run
//! changes nothing, structured text still parses.
//!
//! The shapes are written down here once more, as regexes and from the makers' documents, so that a slip in the table
//! of rules shows. Values are generated: none stands in this file.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use serde_json::{Value, json};

use super::checks::{card, personal_v4};
use super::*;
use crate::session::{Message, Role};

/// Tokens that speak for themselves: rule and shape.
const TOKENS: &[(&str, &str)] = &[
    ("age_key", "AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("airtable_token", "pat[A-Za-z0-9]{14}\\.[0-9a-f]{64}"),
    ("anthropic_key", "sk-ant-(api03|admin01)-[A-Za-z0-9_-]{93}AA"),
    ("atlassian_token", "ATATT3[A-Za-z0-9_=-]{185}[A-Za-z0-9]"),
    ("aws_key", "(AKIA|ASIA|ABIA|ACCA|A3TX)[A-Z2-7]{16}"),
    ("azure_secret", "[A-Za-z0-9]{3}[0-9]Q~[A-Za-z0-9]{31,34}"),
    ("bedrock_key", "ABSK[A-Za-z0-9]{109,200}"),
    ("brevo_key", "xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    ("cloudflare_key", "v1\\.0-[0-9a-f]{24}-[0-9a-f]{146}"),
    ("crates_token", "cio[A-Za-z0-9]{32}"),
    ("databricks_token", "dapi[0-9a-f]{32}"),
    ("deepseek_key", "sk-[0-9a-f]{32}"),
    ("digitalocean_token", "do[opr]_v1_[0-9a-f]{64}"),
    ("discord_token", "M[TDjz][A-Za-z]{2}[0-9][A-Za-z0-9]{19,23}\\.[A-Za-z0-9_-]{6}\\.[A-Za-z0-9]{30,40}"),
    ("docker_token", "dckr_(pat|oat)_[A-Za-z0-9_-]{26,31}[A-Za-z0-9]"),
    ("doppler_token", "dp\\.pt\\.[A-Za-z0-9]{43}"),
    ("dynatrace_token", "dt0c01\\.[A-Z0-9]{24}\\.[A-Z0-9]{64}"),
    ("elevenlabs_key", "sk_[0-9a-f]{48}"),
    ("facebook_token", "EAA[A-Za-z0-9]{80,120}"),
    ("figma_token", "figd_[A-Za-z0-9_-]{39}[A-Za-z0-9]"),
    ("firecrawl_key", "fc-[0-9a-f]{32}"),
    ("fireworks_key", "fw_[A-Za-z0-9]{24}"),
    ("fly_token", "fo1_[A-Za-z0-9_-]{42}[A-Za-z0-9]"),
    ("fly_token", "fm2_[A-Za-z0-9+/]{100,140}"),
    ("github_token", "gh[pousr]_[A-Za-z0-9]{36}"),
    ("github_token", "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    ("gitlab_token", "(glpat|gldt|glrt|glft)-[A-Za-z0-9_-]{19}[A-Za-z0-9]"),
    ("gitlab_token", "glpat-[A-Za-z0-9_-]{27,80}\\.[A-Za-z0-9]{9}"),
    ("gitlab_token", "glptt-[0-9a-f]{40}"),
    ("google_key", "AIza[A-Za-z0-9_-]{34}[A-Za-z0-9]"),
    ("google_key", "GOCSPX-[A-Za-z0-9_-]{27}[A-Za-z0-9]"),
    ("google_key", "ya29\\.[A-Za-z0-9_-]{60,120}[A-Za-z0-9]"),
    ("google_key", "1//0[A-Za-z0-9_-]{80,100}[A-Za-z0-9]"),
    ("grafana_token", "glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}"),
    ("grafana_token", "glc_[A-Za-z0-9+/]{32,100}"),
    ("groq_key", "gsk_[A-Za-z0-9]{50,54}"),
    ("heroku_key", "HRKU-AA[A-Za-z0-9_-]{57}[A-Za-z0-9]"),
    ("huggingface_token", "(hf|api_org)_[A-Za-z]{34}"),
    ("jina_key", "jina_[A-Za-z0-9_-]{59}[A-Za-z0-9]"),
    ("jwt", "eyJ[A-Za-z0-9]{17,60}\\.eyJ[A-Za-z0-9_-]{40,90}\\.[A-Za-z0-9_-]{42}[A-Za-z0-9]"),
    ("linear_key", "lin_api_[A-Za-z0-9]{40}"),
    ("mailchimp_key", "[0-9a-f]{32}-us[1-9][0-9]?"),
    ("mailgun_key", "key-[0-9a-f]{32}"),
    ("newrelic_key", "NRAK-[A-Z0-9]{27}"),
    ("notion_token", "ntn_[0-9]{11}[A-Za-z0-9]{35}"),
    ("notion_token", "secret_[A-Za-z0-9]{43}"),
    ("npm_token", "npm_[A-Za-z0-9]{36}"),
    ("onepassword_token", "ops_eyJ[A-Za-z0-9]{250,300}"),
    ("openai_key", "sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    ("openai_key", "sk-(proj|svcacct|admin)-[A-Za-z0-9_-]{74}T3BlbkFJ[A-Za-z0-9_-]{73}[A-Za-z0-9]"),
    ("openrouter_key", "sk-or-v1-[0-9a-f]{64}"),
    ("perplexity_key", "pplx-[A-Za-z0-9]{48}"),
    ("planetscale_token", "pscale_(tkn|pw|oauth)_[A-Za-z0-9_-]{31,63}[A-Za-z0-9]"),
    ("postman_key", "PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("pulumi_token", "pul-[0-9a-f]{40}"),
    ("pypi_token", "pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,200}[A-Za-z0-9]"),
    ("replicate_token", "r8_[A-Za-z0-9]{37}"),
    ("rubygems_key", "rubygems_[0-9a-f]{48}"),
    ("salesforce_token", "00D[A-Za-z0-9]{12}![A-Za-z0-9._]{85}[A-Za-z0-9]"),
    ("sendgrid_key", "SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{42}[A-Za-z0-9]"),
    ("sentry_token", "sntryu_[0-9a-f]{64}"),
    ("shopify_token", "shp(at|ca|pa|ss)_[0-9a-f]{32}"),
    ("slack_token", "xox[bpe]-[0-9]{10,12}-[0-9]{10,12}-[A-Za-z0-9]{24}"),
    ("square_token", "sq0atp-[A-Za-z0-9_-]{21}[A-Za-z0-9]"),
    ("stripe_key", "[rs]k_(test|live|prod)_[A-Za-z0-9]{10,99}"),
    ("stripe_key", "whsec_[A-Za-z0-9]{24,40}"),
    ("supabase_key", "sbp_[0-9a-f]{40}"),
    ("supabase_key", "sb_secret_[A-Za-z0-9_-]{30}[A-Za-z0-9]"),
    ("tailscale_key", "tskey-auth-[A-Za-z0-9]{12}-[A-Za-z0-9]{32}"),
    ("tavily_key", "tvly-[A-Za-z0-9]{32}"),
    ("telegram_token", "[1-9][0-9]{7,9}:[A-Za-z0-9_-]{34}[A-Za-z0-9]"),
    ("terraform_token", "[A-Za-z0-9]{14}\\.atlasv1\\.[A-Za-z0-9_-]{60,69}[A-Za-z0-9]"),
    ("together_key", "tgp_v1_[A-Za-z0-9_-]{42}[A-Za-z0-9]"),
    ("twilio_key", "(SK|AC)[0-9]{4}[0-9a-f]{28}"),
    ("vault_token", "hvs\\.[A-Za-z0-9_-]{90,119}[A-Za-z0-9]"),
    ("vercel_token", "vcp_[A-Za-z0-9]{56}"),
    ("xai_key", "xai-[A-Za-z0-9]{80}"),
    ("email", "[a-z]{2,9}[.+_-]?[a-z0-9]{1,9}@[a-z]{2,10}\\.(com|org|co\\.uk|io|museum)"),
];

/// Values that the words around them give away: rule, words before, shape, words behind.
const NEAR: &[(&str, &str, &str, &str)] = &[
    (
        "authorization",
        "Authorization: Bearer ",
        "[a-z]{3}[A-Z]{3}[0-9]{3}[A-Za-z0-9_]{5,20}[.][A-Za-z0-9_]{5,20}[A-Z]",
        "",
    ),
    ("authorization", "authorization: basic ", "[A-Za-z0-9]{8,30}[0-9]Q==", ""),
    ("aws_secret", "aws_secret_access_key = ", "[A-Z]{3}[a-z]{3}[0-9]{3}[A-Za-z0-9+/]{30}q", ""),
    ("azure_storage_key", ";AccountKey=", "[A-Za-z0-9+/]{86}==", ";"),
    ("azure_signature", "?sv=1&sig=", "[A-Za-z0-9]{44}", "&se=2"),
    ("curl_user", "curl -u bob:", "[a-z]{4}[0-9]{4}[A-Z]", " x"),
    ("discord_webhook", "discord.com/api/webhooks/123456789012345678/", "[A-Za-z0-9_-]{67}[A-Za-z0-9]", ""),
    ("generic_secret", "api_key: ", "[a-z]{2}[0-9]{4}[A-Z]{2}[a-f0-9]{6}[g-z]7", ""),
    ("generic_secret", "my client secret is ", "[a-z]{2}[0-9]{4}[A-Z]{2}[a-f0-9]{6}[g-z]7", ""),
    ("netrc", "machine h.example.org login bob password ", "[a-z]{4}[0-9]{4}[A-Z]", ""),
    ("password", "password=", "[b-k]{4}[0-9]{3}[A-Z]{2}", ""),
    ("password", "Server=h;Uid=sa;Pwd=", "[b-k]{4}[0-9]{3}[A-Z]{2}", ";"),
    ("password", "the default password is ", "[b-k]{4}[!$%][0-9]{3}[A-Z]{2}", ""),
    ("slack_webhook", "hooks.slack.com/services/", "T[A-Z0-9]{8}/B[A-Z0-9]{8}/[A-Za-z0-9]{24}", ""),
    ("url_password", "postgres://bob:", "[b-k]{4}[0-9]{3}[A-Z]{2}", "@db.example.org:5432/x"),
    ("vendor_key", "the mistral key: ", "[a-z]{2}[0-9]{4}[A-Z]{2}[a-z0-9]{24}", ""),
    ("vendor_key", "wandb login ", "[0-9]{4}[a-f]{4}[0-9a-f]{32}", ""),
    ("wireguard_key", "PrivateKey = ", "[A-Za-z0-9+/]{43}=", ""),
];

/// Telephone numbers of several lands.
const PHONES: &[&str] = &[
    "\\+49 1[5-7][0-9] [0-9]{7,8}",
    "\\+1 \\([2-9][0-9]{2}\\) [2-9][0-9]{2}-[0-9]{4}",
    "\\+44 20 [0-9]{4} [0-9]{4}",
    "\\+33[1-7][0-9]{8}",
    "\\([2-9][0-9]{2}\\) [2-9][0-9]{2}-[0-9]{4}",
    "[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}",
    "0[1-9] [0-9]{2} [0-9]{2} [0-9]{2} [0-9]{2}",
    "0[1-9][0-9]/[0-9]{6,7}",
];

/// Where a value may stand; `§` marks the place.
const PLACES: &[&str] = &[
    "§",
    "use § for it",
    "It is §.",
    "(see §)",
    "note = \"§\";",
    "x: '§'",
    "`§`",
    "\n§\n",
    "a\\n§\\nb",
    "<a>§</a>",
    "ключ «§», да",
    "日本語 § です",
    "[\"§\", 1]",
    "https://h.example/?q=§&b=1",
    "id,§,7",
];

/// What ordinary messages hold and nobody means to hide.
const ORDINARY: &[&str] = &[
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "commit [0-9a-f]{40}",
    "sha256:[0-9a-f]{64}",
    "[0-9a-f]{7}\\.\\.[0-9a-f]{7}",
    "20[12][0-9]-0[1-9]-[12][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z",
    "[12][0-9]/0[1-9]/20[12][0-9], [01][0-9]:[0-5][0-9]",
    "v?[0-9]{1,2}\\.[0-9]{1,3}\\.[0-9]{1,3}(-beta\\.[0-9])?",
    "[1-9][0-9]{0,5} [+*/-] [1-9][0-9]{0,5} = [1-9][0-9]{0,8}",
    "\\$[1-9][0-9]{0,2},[0-9]{3},[0-9]{3}\\.[0-9]{2}",
    "#[0-9a-f]{6}",
    "1[0-9]{17,18}",
    "1[67][0-9]{8}",
    "(192\\.168|10\\.0)\\.[1-9][0-9]\\.[1-9][0-9]?",
    "data:image/png;base64,iVBORw0KGgo[A-Za-z0-9+/]{100,300}==",
    "0x[0-9a-f]{16}",
    "(const|let) [a-z]{3,8}Key = [a-z]{3,8}\\[[0-9]\\];",
    "if \\(token == null\\) return [a-z]{3,8}\\(password\\);",
    "the (password|token|secret|key) is (wrong|missing|required|on the table)",
    "password: (string|str|Optional\\[str\\]|null)",
    "api_key = os\\.environ\\[\"[A-Z]{3,8}_KEY\"\\]",
    "(src|lib)/[a-z]{3,8}/[a-z]{3,8}_[0-9]\\.rs:[0-9]{1,3}:[0-9]{1,2}",
    "https://example\\.org/[a-z]{3,9}/[0-9]{3,9}\\?page=[0-9]&sort=[a-z]{3,6}",
    "git@github\\.com:[a-z]{3,9}/[a-z]{3,9}\\.git",
    "#[0-9]{3,6} by [0-9]{1,2}:[0-9]{2}",
    "[1-9][0-9]{2},[0-9]{3} of [1-9][0-9]{6} rows",
    "[0-9]{1,3}\\.[0-9]{4,12}",
    "max_tokens=[1-9][0-9]{1,4}, top_k=[0-9]{2}",
    "ISBN 978-[0-9]-[0-9]{2}-[0-9]{6}-[0-9]",
    "[A-Z][a-z]{2,8} said: \"[a-z]{2,9} [a-z]{2,9}, [a-z]{2,9}!\"",
    "é[a-zà-ü]{3,9}ß 你好 🙂",
];

fn redactor() -> &'static Redactor {
    static BUILT: LazyLock<Redactor> = LazyLock::new(|| {
        RedactSettings::default().redactor([9; 32]).map_err(|problems| format!("{problems:?}")).unwrap()
    });
    &BUILT
}

fn all<T: Clone + std::fmt::Debug + 'static>(list: &'static [T]) -> impl Strategy<Value = T> {
    select(list)
}

/// A card number of a network's first digits, with its check digit.
fn a_card() -> impl Strategy<Value = String> {
    let starts = select(vec![("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("2221", 16)]);
    (starts, "[0-9]{15}", select(vec!["", " ", "-"])).prop_filter_map(
        "has a check digit",
        |((start, length), rest, sign)| {
            let body = format!("{start}{}", rest.get(..length - 1 - start.len())?);
            let number = (0..10)
                .map(|check| format!("{body}{check}"))
                .find(|number| card(&number.bytes().map(|b| b - b'0').collect::<Vec<_>>()))?;
            let groups: &[usize] = if length == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
            let mut at = 0;
            let parts: Vec<&str> = groups
                .iter()
                .map(|n| {
                    at += n;
                    &number[at - n..at]
                })
                .collect();
            Some(parts.join(sign))
        },
    )
}

/// A German IBAN with its check digits.
fn an_iban() -> impl Strategy<Value = String> {
    ("[0-9]{18}", any::<bool>()).prop_map(|(account, spaced)| {
        let rest =
            format!("{account}131400").bytes().fold(0_u32, |rest, b| (rest * 10 + u32::from(b - b'0')) % 97);
        let iban = format!("DE{:02}{account}", 98 - rest);
        let chunks: Vec<&str> =
            (0..iban.len()).step_by(4).map(|at| &iban[at..iban.len().min(at + 4)]).collect();
        if spaced { chunks.join(" ") } else { iban }
    })
}

fn an_ip() -> impl Strategy<Value = String> {
    any::<[u8; 4]>()
        .prop_map(std::net::Ipv4Addr::from)
        .prop_filter("names a person's line", |ip| personal_v4(*ip))
        .prop_map(|ip| ip.to_string())
}

fn an_ssn() -> impl Strategy<Value = String> {
    string_regex("[1-5][0-9]{2}-[1-9][0-9]-[1-9][0-9]{3}").unwrap()
}

/// A token that speaks for itself, and its rule.
fn a_token() -> impl Strategy<Value = (&'static str, String)> {
    all(TOKENS)
        .prop_flat_map(|(rule, shape)| string_regex(shape).unwrap().prop_map(move |value| (rule, value)))
}

/// A value of any rule with the words that must stand around it: rule, before, value, behind.
fn a_value() -> impl Strategy<Value = (&'static str, &'static str, String, &'static str)> {
    let token = a_token().prop_map(|(rule, value)| (rule, "", value, ""));
    let near = all(NEAR).prop_flat_map(|(rule, before, shape, behind)| {
        string_regex(shape).unwrap().prop_map(move |value| (rule, before, value, behind))
    });
    let phone = all(PHONES)
        .prop_flat_map(|shape| string_regex(shape).unwrap())
        .prop_map(|value| ("phone", "", value, ""));
    prop_oneof![
        12 => token,
        6 => near,
        1 => phone,
        1 => a_card().prop_map(|value| ("card", "", value, "")),
        1 => an_iban().prop_map(|value| ("iban", "", value, "")),
        1 => an_ip().prop_map(|value| ("ip", "", value, "")),
        1 => an_ssn().prop_map(|value| ("ssn", "", value, "")),
    ]
}

fn ordinary() -> impl Strategy<Value = String> {
    let piece = all(ORDINARY).prop_flat_map(|shape| string_regex(shape).unwrap());
    let joint = select(vec![" ", "\n", ", ", " and "]);
    proptest::collection::vec((piece, joint), 1..6)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, joint)| [piece, joint.to_owned()]).collect())
}

fn place(place: &str, before: &str, value: &str, behind: &str) -> String {
    place.replace('§', &format!("{before}{value}{behind}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_a_known_shape_survives(
        (rule, before, value, behind) in a_value(), spot in all(PLACES), around in ordinary(),
    ) {
        // What is told in words may hold an `&` or a comma.
        prop_assume!(!(before.contains(' ') && spot.contains(['&', ','])));
        let text = format!("{around}\n{}\n{around}", place(spot, before, &value, behind));
        let redactor = redactor();
        let mut scope = redactor.scope();
        let redacted = redactor.text(&mut scope, &text).into_owned();
        prop_assert!(!redacted.contains(&value), "{rule}: {value:?} in {redacted:?}");
        let placeholder = super::scope::placeholders(&redacted).next().map(|range| redacted[range].to_owned()).unwrap();
        prop_assert_eq!(redacted.replace(&placeholder, &value), text.clone(), "only the value is replaced: {}", redacted);
        prop_assert_eq!(scope.counts().values().sum::<u32>(), 1, "{:?} in {}", scope.counts(), redacted);
        let again = redactor.text(&mut redactor.scope(), &redacted).into_owned();
        prop_assert_eq!(&again, &redacted, "a second run changes nothing");
    }

    #[test]
    fn json_still_parses_and_keeps_its_keys((rule, before, value, behind) in a_value(), around in ordinary()) {
        let said = format!("{around}{before}{value}{behind}");
        let json = json!({"said": said, "n": 1, "list": [said, {"deep": value}]});
        let redactor = redactor();
        for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let redacted = redactor.text(&mut redactor.scope(), &text).into_owned();
            let parsed: Value = serde_json::from_str(&redacted).map_err(|e| TestCaseError::fail(format!("{e}: {redacted}")))?;
            let said = parsed["said"].as_str().unwrap();
            prop_assert!(said.starts_with(&around) && !said.contains(&value), "{rule}: {said:?}");
            prop_assert_eq!(parsed.as_object().unwrap().len(), 3);
            let file = redactor.redact_document(text.as_bytes()).unwrap();
            let parsed: Value = serde_json::from_slice(&file).unwrap();
            prop_assert!(!parsed["said"].as_str().unwrap().contains(&value) && parsed["n"] == 1);
        }
    }

    #[test]
    fn ordinary_text_is_not_touched(text in ordinary()) {
        let redactor = redactor();
        prop_assert_eq!(redactor.text(&mut redactor.scope(), &text), text.as_str());
    }

    #[test]
    fn any_text_at_all_is_survived_and_redacting_twice_is_redacting_once(
        text in "(\\PC{0,9}|[\"\\\\=:@<>'/ .+-]{1,4}|[0-9]{1,9}|password|key|token|sk-|eyJ|://|<EMAIL_1>|@x.io|-----BEGIN PRIVATE KEY-----){0,14}",
    ) {
        let redactor = redactor();
        let once = redactor.text(&mut redactor.scope(), &text).into_owned();
        let twice = redactor.text(&mut redactor.scope(), &once).into_owned();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_token_split_over_two_messages_survives_in_neither((rule, value) in a_token(), at in 0.2..0.8) {
        prop_assume!(rule != "email");
        let (head, tail) = value.split_at((value.len() as f64 * at) as usize);
        // Of a token that may end anywhere nobody can tell a last word.
        prop_assume!(tail.len() >= 4 && !tail.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        let messages = vec![
            Message::new(Role::User, format!("it begins {head}")),
            Message::new(Role::Assistant, "go on"),
            Message::new(Role::User, format!("{tail} and that is it")),
        ];
        let mut session = Session { messages, ..Session::default() };
        let redactor = redactor();
        redactor.session(&mut redactor.scope(), &mut session);
        let [first, _, last] = &session.messages[..] else { unreachable!() };
        prop_assert!(!first.text.contains(head), "{rule}: {value} split before {tail}: {:?}", first.text);
        prop_assert!(!last.text.contains(tail), "{rule}: {value} split before {tail}: {:?}", last.text);
        prop_assert!(last.text.ends_with(" and that is it"), "{:?} {:?}", first.text, last.text);
    }
}

#[test]
fn every_rule_has_values_to_be_tried_with() {
    let by_hand = ["private_key", "card", "iban", "ip", "phone", "ssn"];
    for name in [Group::Secrets, Group::Personal].map(rules::names).concat() {
        let tried =
            TOKENS.iter().any(|(rule, _)| *rule == name) || NEAR.iter().any(|(rule, ..)| *rule == name);
        assert!(tried || by_hand.contains(&name), "{name}");
    }
}
