//! The table of rules: which characters announce a value, and how the value is found from there.

use std::ops::Range;

use super::personal;
use super::shape::{ALNUM, BASE32, BASE64, BEARER, Class, DIGIT, HEX, Left, Part, URL64, end_of, just, run};
use super::{assign, structural};

/// What a rule protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Keys, tokens, passwords.
    Secrets,
    /// E-mail addresses, telephone and card numbers and the like.
    Personal,
}

/// A value found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The bytes to replace.
    pub value: Range<usize>,
    /// Where the words begin that gave it away, at or before the value.
    pub from: usize,
}

impl Found {
    /// A value that speaks for itself.
    pub(super) fn bare(value: Range<usize>) -> Self {
        Found { from: value.start, value }
    }
}

/// How a rule finds its value.
#[derive(Clone, Copy)]
pub(super) enum Find {
    /// The anchor, exactly as written, and one of these shapes behind it.
    Token(Left, &'static [&'static [Part]]),
    /// A function from the text and the place of the anchor, in whatever case.
    Near(fn(&str, Range<usize>) -> Option<Found>),
    /// Found from the digits in the text, see `numbers`.
    Digits,
}

/// One built-in rule.
pub(super) struct Rule {
    /// Its name in pipeline.toml and in the counts.
    pub name: &'static str,
    /// The type in its placeholder: `EMAIL` in `<EMAIL_1>`.
    pub label: &'static str,
    /// What it protects.
    pub group: Group,
    /// What announces it.
    pub anchors: &'static [&'static str],
    /// How the value is found.
    pub find: Find,
    /// Whether the words around gave the value away, so that the bare value is looked for elsewhere too.
    pub by_context: bool,
}

impl Rule {
    /// Tries the rule where one of its anchors was seen.
    pub(super) fn at(&self, text: &str, anchor: Range<usize>) -> Option<Found> {
        match self.find {
            Find::Token(left, shapes) => {
                let bytes = text.as_bytes();
                if !left.allows(bytes, anchor.start) {
                    return None;
                }
                let end = shapes.iter().find_map(|shape| end_of(bytes, anchor.end, shape))?;
                // No token ends with the full stop of its sentence.
                let end = anchor.end + text.get(anchor.end..end)?.trim_end_matches('.').len();
                Some(Found::bare(anchor.start..end))
            }
            Find::Near(find) => find(text, anchor),
            Find::Digits => None,
        }
    }
}

type Shapes = &'static [&'static [Part]];
type Anchors = &'static [&'static str];

const fn token(
    name: &'static str,
    label: &'static str,
    left: Left,
    anchors: Anchors,
    shapes: Shapes,
) -> Rule {
    Rule { name, label, group: Group::Secrets, anchors, find: Find::Token(left, shapes), by_context: false }
}

const fn near(
    name: &'static str,
    label: &'static str,
    anchors: Anchors,
    find: fn(&str, Range<usize>) -> Option<Found>,
) -> Rule {
    Rule { name, label, group: Group::Secrets, anchors, find: Find::Near(find), by_context: true }
}

const fn digits(name: &'static str, label: &'static str, group: Group) -> Rule {
    Rule { name, label, group, anchors: &[], find: Find::Digits, by_context: false }
}

const fn between(class: Class, least: usize, most: usize) -> Part {
    Part::Run(class, least, most)
}

const DOT: Part = Part::Is(".");
const DASH: Part = Part::Is("-");

/// Every built-in rule, the more specific first: of two that find the same value, the earlier names it.
///
/// Formats as their makers document them or as gitleaks, noseyparker and kingfisher describe them. A last run has no
/// upper bound, so that a longer token of the same kind leaves nothing behind.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // Structures.
    near("private_key", "PRIVATE_KEY", &["-----begin", "ls0tls1crudjti"], structural::private_key),
    token("age_key", "AGE_KEY", Left::Free, &["AGE-SECRET-KEY-1"], &[&[run(ALNUM, 58)]]),
    near("wireguard_key", "WIREGUARD_KEY", &["privatekey", "presharedkey"], structural::wireguard),
    near("jwt", "JWT", &["eyj"], structural::jwt),
    // Model providers.
    token("anthropic_key", "ANTHROPIC_KEY", Left::Word, &["sk-ant-"], &[&[run(URL64, 80)]]),
    token("openrouter_key", "OPENROUTER_KEY", Left::Word, &["sk-or-v1-"], &[&[run(HEX, 64)]]),
    token("openai_key", "OPENAI_KEY", Left::Word, &["sk-proj-", "sk-svcacct-", "sk-admin-"], &[&[run(URL64, 40)]]),
    token("deepseek_key", "DEEPSEEK_KEY", Left::Word, &["sk-"], &[&[just(HEX, 32)]]),
    token("openai_key", "OPENAI_KEY", Left::Word, &["sk-"],
        &[&[just(ALNUM, 20), Part::Is("T3BlbkFJ"), run(ALNUM, 20)], &[run(ALNUM, 32)]]),
    token("elevenlabs_key", "ELEVENLABS_KEY", Left::Word, &["sk_"], &[&[run(HEX, 48)]]),
    token("groq_key", "GROQ_KEY", Left::Word, &["gsk_"], &[&[run(ALNUM, 50)]]),
    token("xai_key", "XAI_KEY", Left::Word, &["xai-"], &[&[run(ALNUM, 80)]]),
    token("perplexity_key", "PERPLEXITY_KEY", Left::Word, &["pplx-"], &[&[run(ALNUM, 48)]]),
    token("huggingface_token", "HUGGINGFACE_TOKEN", Left::Word, &["hf_", "api_org_"], &[&[run(ALNUM, 34)]]),
    token("replicate_token", "REPLICATE_TOKEN", Left::Word, &["r8_"], &[&[run(ALNUM, 37)]]),
    token("together_key", "TOGETHER_KEY", Left::Word, &["tgp_v1_"], &[&[run(URL64, 43)]]),
    token("fireworks_key", "FIREWORKS_KEY", Left::Word, &["fw_"], &[&[run(ALNUM, 22)]]),
    token("tavily_key", "TAVILY_KEY", Left::Word, &["tvly-"], &[&[run(URL64, 32)]]),
    token("jina_key", "JINA_KEY", Left::Word, &["jina_"], &[&[run(URL64, 60)]]),
    token("firecrawl_key", "FIRECRAWL_KEY", Left::Alone, &["fc-"], &[&[run(HEX, 32)]]),
    token("bedrock_key", "BEDROCK_KEY", Left::Alone, &["ABSK"], &[&[run(BASE64, 109)]]),
    near("vendor_key", "API_KEY", &["mistral", "cohere", "wandb", "weights & biases", "weights and biases"],
        structural::beside_vendor),
    // Code hosts and development.
    token("github_token", "GITHUB_TOKEN", Left::Free, &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], &[&[run(ALNUM, 36)]]),
    token("github_token", "GITHUB_TOKEN", Left::Free, &["github_pat_"], &[&[between(ALNUM, 22, 22), Part::Is("_"),
        run(ALNUM, 59)], &[between(URL64, 82, usize::MAX)]]),
    token("gitlab_token", "GITLAB_TOKEN", Left::Word, &["glpat-", "gldt-", "glrt-", "glft-", "glcbt-", "glimt-", "glagent-",
        "glsoat-", "glffct-"], &[&[between(URL64, 27, 300), DOT, run(ALNUM, 9)], &[run(URL64, 20)]]),
    token("gitlab_token", "GITLAB_TOKEN", Left::Word, &["glptt-"], &[&[run(HEX, 40)]]),
    token("gitlab_token", "GITLAB_TOKEN", Left::Word, &["gloas-"], &[&[run(URL64, 64)]]),
    token("npm_token", "NPM_TOKEN", Left::Word, &["npm_"], &[&[run(ALNUM, 36)]]),
    token("pypi_token", "PYPI_TOKEN", Left::Word, &["pypi-AgEIcHlwaS5vcmc"], &[&[run(URL64, 50)]]),
    token("crates_token", "CRATES_TOKEN", Left::Alone, &["cio"], &[&[just(ALNUM, 32)]]),
    token("rubygems_key", "RUBYGEMS_KEY", Left::Word, &["rubygems_"], &[&[run(HEX, 48)]]),
    token("docker_token", "DOCKER_TOKEN", Left::Word, &["dckr_pat_", "dckr_oat_"], &[&[run(URL64, 27)]]),
    token("atlassian_token", "ATLASSIAN_TOKEN", Left::Word, &["ATATT3"], &[&[run(BASE64, 180)]]),
    token("linear_key", "LINEAR_KEY", Left::Word, &["lin_api_"], &[&[run(ALNUM, 40)]]),
    token("notion_token", "NOTION_TOKEN", Left::Word, &["ntn_"], &[&[just(DIGIT, 11), run(ALNUM, 35)]]),
    token("notion_token", "NOTION_TOKEN", Left::Word, &["secret_"], &[&[just(ALNUM, 43)]]),
    token("figma_token", "FIGMA_TOKEN", Left::Word, &["figd_"], &[&[run(URL64, 40)]]),
    token("postman_key", "POSTMAN_KEY", Left::Word, &["PMAK-"], &[&[just(HEX, 24), DASH, run(HEX, 34)]]),
    token("airtable_token", "AIRTABLE_TOKEN", Left::Word, &["pat"], &[&[just(ALNUM, 14), DOT, run(HEX, 64)]]),
    token("sentry_token", "SENTRY_TOKEN", Left::Word, &["sntryu_"], &[&[run(HEX, 64)]]),
    token("sentry_token", "SENTRY_TOKEN", Left::Word, &["sntrys_eyJ"], &[&[run(BASE64, 40)]]),
    token("databricks_token", "DATABRICKS_TOKEN", Left::Word, &["dapi"], &[&[just(HEX, 32), DASH, run(DIGIT, 1)],
        &[just(HEX, 32)]]),
    token("doppler_token", "DOPPLER_TOKEN", Left::Word, &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."],
        &[&[between(URL64, 2, 35), DOT, run(ALNUM, 40)], &[run(ALNUM, 40)]]),
    token("vault_token", "VAULT_TOKEN", Left::Word, &["hvs.", "hvb."], &[&[run(URL64, 90)]]),
    near("terraform_token", "TERRAFORM_TOKEN", &[".atlasv1."], structural::terraform),
    token("pulumi_token", "PULUMI_TOKEN", Left::Word, &["pul-"], &[&[run(HEX, 40)]]),
    token("tailscale_key", "TAILSCALE_KEY", Left::Word, &["tskey-"], &[&[run(URL64, 16)]]),
    token("grafana_token", "GRAFANA_TOKEN", Left::Word, &["glsa_"], &[&[just(ALNUM, 32), Part::Is("_"), run(HEX, 8)]]),
    token("grafana_token", "GRAFANA_TOKEN", Left::Word, &["glc_"], &[&[run(BASE64, 32)]]),
    token("dynatrace_token", "DYNATRACE_TOKEN", Left::Word, &["dt0c01.", "dt0s01.", "dt0s16."],
        &[&[just(ALNUM, 24), DOT, run(ALNUM, 64)]]),
    token("newrelic_key", "NEWRELIC_KEY", Left::Word, &["NRAK-"], &[&[run(ALNUM, 27)]]),
    token("onepassword_token", "ONEPASSWORD_TOKEN", Left::Word, &["ops_eyJ"], &[&[run(BASE64, 200)]]),
    // Clouds.
    near("aws_secret", "AWS_SECRET", &["secret_access_key", "secretaccesskey", "secret access key", "secret-access-key",
        "aws_secret", "aws secret", "akia", "asia"], structural::aws_secret),
    token("aws_key", "AWS_KEY", Left::Word, &["AKIA", "ASIA", "ABIA", "ACCA"], &[&[just(BASE32, 16)]]),
    token("aws_key", "AWS_KEY", Left::Word, &["A3T"], &[&[just(ALNUM, 1), just(BASE32, 16)]]),
    token("google_key", "GOOGLE_KEY", Left::Word, &["AIza"], &[&[run(URL64, 35)]]),
    token("google_key", "GOOGLE_KEY", Left::Word, &["GOCSPX-"], &[&[run(URL64, 28)]]),
    token("google_key", "GOOGLE_KEY", Left::Alone, &["ya29."], &[&[run(URL64, 20)]]),
    token("google_key", "GOOGLE_KEY", Left::Alone, &["1//0"], &[&[run(URL64, 60)]]),
    near("azure_secret", "AZURE_SECRET", &["q~"], structural::azure_client),
    near("azure_storage_key", "AZURE_STORAGE_KEY", &["jqqj9", "accountkey=", "sharedaccesskey="], structural::azure_storage),
    near("azure_signature", "AZURE_SIGNATURE", &["sig="], structural::azure_signature),
    token("digitalocean_token", "DIGITALOCEAN_TOKEN", Left::Word, &["dop_v1_", "doo_v1_", "dor_v1_"], &[&[run(HEX, 64)]]),
    token("cloudflare_key", "CLOUDFLARE_KEY", Left::Word, &["v1.0-"], &[&[just(HEX, 24), DASH, run(HEX, 146)]]),
    token("heroku_key", "HEROKU_KEY", Left::Word, &["HRKU-AA"], &[&[run(URL64, 58)]]),
    token("fly_token", "FLY_TOKEN", Left::Word, &["fo1_"], &[&[run(URL64, 43)]]),
    token("fly_token", "FLY_TOKEN", Left::Word, &["fm1r_", "fm2_"], &[&[run(BASE64, 100)]]),
    token("supabase_key", "SUPABASE_KEY", Left::Word, &["sbp_"], &[&[run(HEX, 40)]]),
    token("supabase_key", "SUPABASE_KEY", Left::Word, &["sb_secret_"], &[&[run(URL64, 31)]]),
    token("vercel_token", "VERCEL_TOKEN", Left::Word, &["vcp_"], &[&[run(ALNUM, 56)]]),
    token("planetscale_token", "PLANETSCALE_TOKEN", Left::Word, &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"],
        &[&[run(BEARER, 32)]]),
    // Payments and messaging.
    token("stripe_key", "STRIPE_KEY", Left::Word, &["sk_test_", "sk_live_", "sk_prod_", "rk_test_", "rk_live_", "rk_prod_"],
        &[&[run(ALNUM, 10)]]),
    token("stripe_key", "STRIPE_KEY", Left::Word, &["whsec_"], &[&[run(BASE64, 24)]]),
    token("slack_token", "SLACK_TOKEN", Left::Word, &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xapp-", "xoxe-",
        "xoxe.xoxp-", "xoxe.xoxb-", "xoxd-", "xoxc-"], &[&[run(URL64, 16)]]),
    near("slack_webhook", "SLACK_WEBHOOK", &["hooks.slack.com/"], structural::slack_webhook),
    near("discord_webhook", "DISCORD_WEBHOOK", &["/api/webhooks/"], structural::discord_webhook),
    digits("discord_token", "DISCORD_TOKEN", Group::Secrets),
    digits("telegram_token", "TELEGRAM_TOKEN", Group::Secrets),
    digits("twilio_key", "TWILIO_KEY", Group::Secrets),
    token("sendgrid_key", "SENDGRID_KEY", Left::Word, &["SG."], &[&[between(URL64, 20, 24), DOT, run(URL64, 39)]]),
    token("mailgun_key", "MAILGUN_KEY", Left::Alone, &["key-"], &[&[just(HEX, 32)]]),
    near("mailchimp_key", "MAILCHIMP_KEY", &["-us"], structural::mailchimp),
    token("brevo_key", "BREVO_KEY", Left::Word, &["xkeysib-", "xsmtpsib-"], &[&[just(HEX, 64), DASH, run(ALNUM, 16)]]),
    token("shopify_token", "SHOPIFY_TOKEN", Left::Word, &["shpat_", "shpca_", "shppa_", "shpss_"], &[&[run(HEX, 32)]]),
    token("square_token", "SQUARE_TOKEN", Left::Word, &["sq0atp-", "sq0csp-", "sq0idp-"], &[&[run(URL64, 22)]]),
    token("square_token", "SQUARE_TOKEN", Left::Alone, &["EAAA"], &[&[just(URL64, 60)]]),
    token("facebook_token", "FACEBOOK_TOKEN", Left::Alone, &["EAA"], &[&[run(ALNUM, 80)]]),
    token("salesforce_token", "SALESFORCE_TOKEN", Left::Word, &["00D"], &[&[between(ALNUM, 12, 15), Part::Is("!"),
        run(BEARER, 70)]]),
    // Known by the words around them.
    near("url_password", "PASSWORD", &["://"], structural::url_password),
    near("authorization", "CREDENTIAL", &["authorization", "bearer "], structural::authorization),
    near("netrc", "PASSWORD", &["machine", "default login", "default\tlogin"], structural::netrc),
    near("curl_user", "PASSWORD", &["-u", "--user"], structural::curl_user),
    near("password", "PASSWORD", assign::PASSWORD_WORDS, assign::password),
    near("generic_secret", "SECRET", assign::SECRET_WORDS, assign::secret),
    // Personal data.
    Rule { name: "email", label: "EMAIL", group: Group::Personal, anchors: &["@", "%40"],
        find: Find::Near(personal::email), by_context: false },
    digits("iban", "IBAN", Group::Personal),
    digits("card", "CARD", Group::Personal),
    digits("ssn", "SSN", Group::Personal),
    digits("ip", "IP", Group::Personal),
    digits("phone", "PHONE", Group::Personal),
];

/// Position of a rule by name; the first of those that share it.
pub(super) fn position(name: &str) -> Option<usize> {
    RULES.iter().position(|rule| rule.name == name)
}

/// The names of all built-in rules of a group, each once.
pub(super) fn names(group: Group) -> Vec<&'static str> {
    let mut names: Vec<_> = RULES.iter().filter(|rule| rule.group == group).map(|rule| rule.name).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    names
}
