//! Which answers are not worth learning from.

use std::sync::LazyLock;

use memchr::memmem;
use regex::{Regex, bytes};

/// A refusal stands at the beginning of an answer, within so many bytes.
const OPENING: usize = 300;
/// An answer longer than so many bytes that begins with an error message explains it.
const ERROR_ANSWER: usize = 500;

/// Whether the assistant refuses to answer: "I'm sorry, but I can't …", "As an AI …", and the like in German,
/// French, Spanish, Italian and Portuguese. An apology alone ("I'm sorry to hear that") is not a refusal.
pub fn is_refusal(answer: &str) -> bool {
    let end = (0..=OPENING.min(answer.len())).rev().find(|end| answer.is_char_boundary(*end));
    let opening = answer.get(..end.unwrap_or(0)).unwrap_or(answer);
    if opening.contains('’') {
        return REFUSAL.is_match(opening.replace('’', "'").as_bytes());
    }
    REFUSAL.is_match(opening.as_bytes())
}

static REFUSAL: LazyLock<bytes::Regex> = LazyLock::new(|| {
    let cannot = r"(?:can't|cannot|can not|couldn't|could not|am unable to|'m unable to|am not able to|'m not able to|won't be able to|will not be able to|won't|must decline|have to decline|do not have|don't have)";
    let sorry = r"(?:i'm (?:really |very |so )?sorry|i am (?:really |very |so )?sorry|sorry|i apologi[sz]e|my apologies|apologies|unfortunately|regrettably|i regret)";
    let help = r"(?:help|assist|provide|comply|fulfil|fulfill|do that|do this|generate|create|write|produce|share|discuss|answer|continue|engage|support|participate|recommend|offer|give|accommodate|process|complete)";
    let see = r"(?:access|browse|open|view|see|read|play|watch|listen to) (?:the |your |any |external |real-time |live |images?|files?|links?|attachments?|websites?|urls?|the internet|videos?)";
    let machine = r"(?:an ai|an artificial intelligence|a (?:large )?language model|a text-based ai)";
    // Each stands at the beginning of a sentence. The word boundary is that of ASCII: the Unicode one is slow.
    let sentences = [
        format!(r"{sorry},?[^.!?\n]{{0,40}}?(?-u:\b)(?:but )?(?:i |we )?{cannot}(?-u:\b)"),
        format!(r"i {cannot} (?:directly |currently |actually )?(?:{help}(?-u:\b)|{see})"),
        format!(r"i'm (?:unable|not able|not allowed|not permitted) to (?:{help}|{see})"),
        format!(r"i am (?:unable|not able|not allowed|not permitted) to (?:{help}|{see})"),
        format!(r"as {machine}(?: language model| assistant| model)?(?: (?:developed|created|trained|made) by \w+)?, (?:i|my|it)(?-u:\b)"),
        format!(r"i'm (?:just |only )?{machine}(?-u:\b)"),
        format!(r"i am (?:just |only )?{machine}(?-u:\b)"),
        r"i do(?:n't| not) have (?:the ability|access to (?:real-time|the internet|your|external|personal))".into(),
        r"(?:es )?tut mir (?:sehr )?leid,? aber[^.!?\n]{0,60}(?-u:\b)(?:kann|darf|konnte)(?-u:\b)[^.!?\n]{0,60}(?-u:\b)nicht".into(),
        r"(?:es )?tut mir (?:sehr )?leid,? (?:aber )?(?:ich|dabei|das) (?:kann|darf)(?-u:\b)[^.!?\n]{0,80}(?-u:\b)(?:nicht|keine)".into(),
        r"als (?:ki|ai|künstliche intelligenz|sprachmodell)(?-u:\b)".into(),
        r"(?:je suis (?:vraiment )?désolée?|désolée?),? (?:mais )?je ne (?:peux|suis)".into(),
        r"en tant qu(?:e modèle de langage|'ia|'intelligence artificielle|'assistant ia)".into(),
        r"lo siento(?: mucho)?,? (?:pero )?no (?:puedo|podemos|tengo)".into(),
        r"como (?:una? )?(?:ia|inteligencia artificial|modelo de (?:lenguaje|linguagem))(?-u:\b)".into(),
        r"mi dispiace,? ma non posso".into(),
        r"(?:desculpe|sinto muito|lamento),? (?:mas )?(?:eu )?não posso".into(),
    ];
    // Over bytes and with ASCII case only: over characters, the bounded gaps make the automaton many times as large.
    let pattern = format!(r"(?i-u)(?:\A\W*|[.!?\n:]\s*)(?:{})", sentences.join("|"));
    compiled_bytes(&pattern)
});

/// Whether the answer is a failure of the app and not words of the model: a short message that begins as errors do,
/// or a stack trace and nothing else.
pub fn is_error(answer: &str) -> bool {
    (answer.len() <= ERROR_ANSWER && ERROR.is_match(answer)) || is_trace(answer)
}

static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r#"(?i)\A[\W_]*(?:(?:\w+ ){0,2}error(?: code)?(?: \d{3})?\s*[:\]]|error (?:code )?\d{3}\b\s*(?:[-–—:(]|\z)|error\W*\z|\w*exception: |\w+error: |fatal: |failed to (?:generate|fetch|load|get) (?:a |the )?(?:response|answer|completion)|an? (?:\w+ ){0,2}error (?:has )?occurred|there was an? (?:\w+ )?error (?:generating|processing|while)|something went wrong|oops[,!.]? something went wrong|network error|internal server error|bad gateway|service unavailable|gateway time-?out|(?:the |your )?request timed out|timed? ?out waiting|rate limit (?:reached|exceeded)|too many requests|you(?:'|’)ve reached (?:the|your) (?:current )?(?:usage|message|rate) (?:cap|limit)|the server (?:is|had) (?:overloaded|an error)|\{\s*"(?:error|detail)"\s*:)"#,
    )
});

/// Whether each line belongs to a stack trace (Python, Java, JavaScript, C#, Go, Rust).
fn is_trace(answer: &str) -> bool {
    let mut lines = answer.lines().filter(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("```")
    });
    let mut frames = 0;
    let all = lines.all(|line| {
        let frame = FRAME.is_match(line);
        frames += usize::from(frame);
        // The lines of source between Python's frames are indented.
        frame || (frames > 0 && line.starts_with([' ', '\t'])) || RAISED.is_match(line)
    });
    all && frames > 0
}

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r#"\A\s*(?:Traceback \(most recent call last\)|File "[^"]*", line \d+|at [^\s(]+ ?\(|at (?:async )?\S+:\d+(?::\d+)?\s*\z|at .+ in .+:line \d+|\.\.\. \d+ more|thread '[^']*'.* panicked at|stack backtrace:|\d+: +(?:0x[0-9a-f]+ - )?\S+\s*\z|goroutine \d+ \[|panic: |\S+\.go:\d+)"#,
    )
});

static RAISED: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\A\s*(?:Caused by|Exception in thread|Uncaught|During handling of the above|The above exception|(?:[\w$]+[.:]+)*\w*(?:Error|Exception|Panic|Interrupt|Warning|Throwable)\b(?::|\s*\z)|[\w./*()]+\(.*\)\s*\z|note: run with)",
    )
});

/// Whether there are words beside marks such as `[image]`, which stand for what is not text.
pub fn has_text(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(inside) = rest.strip_prefix('[') {
        let Some((mark, behind)) = inside.split_once(']') else { return true };
        if mark.len() > 40 || !mark.chars().all(|c| c.is_alphanumeric() || " _-:./".contains(c)) {
            return true;
        }
        rest = behind.trim_start();
    }
    !rest.is_empty()
}

/// How many placeholders of redaction (`<EMAIL_1>`) there are.
pub fn placeholders(text: &str) -> usize {
    PLACEHOLDER.find_iter(text).count()
}

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| compiled(r"<[A-Z][A-Z0-9_]{0,60}_[0-9]{1,9}>"));

/// Whether there is, or was before redaction, a private key.
pub fn has_private_key(text: &str) -> bool {
    PRIVATE.find(text.as_bytes()).is_some() && PRIVATE_KEY.is_match(text)
}

/// What both forms hold; to look for it costs a fraction of looking for them.
static PRIVATE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"PRIVATE"));

static PRIVATE_KEY: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"<[A-Z0-9_]{0,60}PRIVATE_KEY[A-Z0-9_]{0,60}_[0-9]+>|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
});

#[expect(clippy::expect_used, reason = "the patterns are constants of this file, and the tests use each")]
fn compiled_bytes(pattern: &str) -> bytes::Regex {
    bytes::Regex::new(pattern).expect("a constant pattern")
}

#[expect(clippy::expect_used, reason = "the patterns are constants of this file, and the tests use each")]
fn compiled(pattern: &str) -> Regex {
    // ASCII classes: Unicode ones would make the automata, and the memory they take, several times as large.
    let pattern = pattern
        .replace(r"\b", r"(?-u:\b)")
        .replace(r"\s", r"[\t\r\n\x20]")
        .replace(r"\S", r"[^\t\r\n\x20]")
        .replace(r"\d", "[0-9]")
        .replace(r"\w", "[A-Za-z0-9_]");
    Regex::new(&pattern).expect("a constant pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_apologies_and_answers() {
        for refusal in [
            "I'm sorry, but I can't help with that.",
            "I’m sorry, but I can’t assist with that request.",
            "I am so sorry, but as it stands I cannot write this.",
            "Sorry, I won't do that.",
            "Unfortunately, I'm unable to open attachments.",
            "As an AI, I don't have personal opinions.",
            "As an AI language model, I cannot browse the web.",
            "Thank you for asking! I cannot provide medical advice.",
            "I can't access external websites, so please paste the text here.",
            "I don't have access to real-time data.",
            "I apologize, but I cannot continue this conversation.",
            "Es tut mir leid, aber dabei kann ich nicht helfen.",
            "Je suis désolé, mais je ne peux pas répondre.",
            "Lo siento, pero no puedo ayudarte con eso.",
        ] {
            assert!(is_refusal(refusal), "{refusal}");
        }
        for answer in [
            "I'm sorry to hear that your dog is ill. Here is what helps: …",
            "I'm sorry for the confusion! The right answer is 42.",
            "As an AI engineer, you will spend much time on data.",
            "I can't stress this enough: test your backups.",
            "You can't borrow it twice as mutable. I cannot overstate how useful `split_at_mut` is.",
            "Use `try_from`: it returns an error if the value cannot be converted.",
            "Here is the letter: Dear Sir, we regret the delay. We will refund you.",
        ] {
            assert!(!is_refusal(answer), "{answer}");
        }
        assert!(
            !is_refusal(&format!("{} I'm sorry, but I can't help.", "word ".repeat(100))),
            "quoted far below"
        );
    }

    #[test]
    fn errors_of_the_app_are_told_from_answers_about_errors() {
        for error in [
            "Error: connection refused",
            "**Error:** model overloaded",
            "[ERROR] 500",
            "Internal server error",
            "API Error: 529 overloaded",
            "Something went wrong. Please try again.",
            "ValueError: invalid literal for int()",
            r#"{"error": {"code": 429}}"#,
            "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    main()\nKeyError: 'x'",
            "java.lang.NullPointerException\n\tat com.acme.Main.run(Main.java:7)\n\t... 3 more",
            "```\nTypeError: x is not a function\n    at Object.<anonymous> (/app/a.js:1:1)\n    at node:internal/main:2:3\n```",
        ] {
            assert!(is_error(error), "{error}");
        }
        let explained =
            format!("Error: this means that the value was moved. {}", "To fix it, clone. ".repeat(40));
        for answer in [
            "Error handling in Rust goes through `Result`.",
            "Error 404 means that the page was not found.",
            "The error occurred because `x` is null.",
            "    let x = 1;\n    let y = 2;",
            "Traceback (most recent call last):\n  File \"a.py\", line 3\nKeyError: 'x'\n\nThe key is missing: use `get`.",
            explained.as_str(),
        ] {
            assert!(!is_error(answer), "{answer}");
        }
    }

    #[test]
    fn marks_alone_are_no_text() {
        for empty in ["", "  \n", "[image]", "[image] [file: a.pdf]\n[audio]"] {
            assert!(!has_text(empty), "{empty}");
        }
        for text in ["x", "[image] what is this?", "[1, 2, 3]", "[unclosed", "[a](http://b.c)"] {
            assert!(has_text(text), "{text}");
        }
    }

    #[test]
    fn placeholders_and_private_keys_are_recognised() {
        assert_eq!(placeholders("<EMAIL_1> wrote <IBAN_12>, a <div_1> and Vec<T_> and <AWS_KEY_3>"), 3);
        assert!(has_private_key("key: <PRIVATE_KEY_1>"));
        assert!(has_private_key("-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert!(!has_private_key("A PRIVATE KEY must stay secret."));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in r"(?s)([\[\] ’.<>A_1]|\PC){0,400}") {
            let _ = (is_refusal(&text), is_error(&text), has_text(&text), placeholders(&text), has_private_key(&text));
        }
    }
}
