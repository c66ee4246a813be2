//! In which language the user writes.

use whatlang::Lang;

use super::prose::{code_ranges, normal};
use super::stop_words::FunctionWords;
use super::words::{beginning, words};
use crate::session::{Role, Session};

/// So many bytes of the user's words are looked at.
const LOOKED_AT: usize = 1_500;
/// Mostly, so many tell already.
const FIRST_LOOK: usize = 400;
/// Fewer words than this tell nothing by their grammar.
const FEWEST_WORDS: u32 = 8;

/// The language of the user's words as an ISO 639-3 code; `None` where too little was said to tell.
///
/// Looks at the beginning of what the user said, without code. Function words tell the common languages; for the
/// others, and for doubtful cases, trigrams do.
pub fn language(session: &Session) -> Option<String> {
    let said = said_by_user(session);
    by_function_words(beginning(&said, FIRST_LOOK))
        .or_else(|| by_function_words(&said))
        .or_else(|| by_trigrams(&said))
        .map(str::to_owned)
}

/// Whether sessions can be found to be in the language of this code.
pub fn is_known(code: &str) -> bool {
    Lang::all().iter().any(|language| language.code() == code)
}

/// The code of a language that is named in two letters (`en`, `en-GB`) or in English (`German`).
pub fn code_of(name: &str) -> Option<&'static str> {
    const TWO_LETTERS: [(&str, Lang); 24] = [
        ("ar", Lang::Ara),
        ("cs", Lang::Ces),
        ("da", Lang::Dan),
        ("de", Lang::Deu),
        ("el", Lang::Ell),
        ("en", Lang::Eng),
        ("es", Lang::Spa),
        ("fi", Lang::Fin),
        ("fr", Lang::Fra),
        ("he", Lang::Heb),
        ("hi", Lang::Hin),
        ("hu", Lang::Hun),
        ("it", Lang::Ita),
        ("ja", Lang::Jpn),
        ("ko", Lang::Kor),
        ("nl", Lang::Nld),
        ("no", Lang::Nob),
        ("pl", Lang::Pol),
        ("pt", Lang::Por),
        ("ru", Lang::Rus),
        ("sv", Lang::Swe),
        ("tr", Lang::Tur),
        ("uk", Lang::Ukr),
        ("zh", Lang::Cmn),
    ];
    let short = name.split(['-', '_']).next().unwrap_or(name);
    let by_letters = TWO_LETTERS.iter().find(|(letters, _)| letters.eq_ignore_ascii_case(short));
    let by_name = || Lang::all().iter().find(|language| language.eng_name().eq_ignore_ascii_case(name));
    by_letters.map(|(_, language)| language).or_else(by_name).map(|language| language.code())
}

fn said_by_user(session: &Session) -> String {
    let mut said = String::new();
    for (_, message) in session.spoken_by(Role::User) {
        let text = beginning(&message.text, LOOKED_AT);
        let mut from = 0;
        for code in code_ranges(text) {
            said.push_str(&text[from..code.start]);
            from = code.end;
        }
        said.push_str(&text[from..]);
        said.push('\n');
        if said.len() >= LOOKED_AT {
            break;
        }
    }
    said
}

/// The language whose function words make up a good part of the text and clearly lead.
fn by_function_words(said: &str) -> Option<&'static str> {
    let said = normal(said);
    let mut counts = FunctionWords::default();
    let mut spoken = 0;
    for word in words(said.as_str()) {
        counts.add(&said.as_str()[word]);
        spoken += 1;
    }
    let (leader, most, second) = counts.leader();
    (spoken >= FEWEST_WORDS && most * 4 >= spoken && most >= second * 2).then_some(leader)
}

fn by_trigrams(said: &str) -> Option<&'static str> {
    whatlang::detect(said).filter(whatlang::Info::is_reliable).map(|found| found.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Message;

    fn of(said: &[&str]) -> Option<String> {
        let messages = said.iter().map(|text| Message::new(Role::User, *text)).collect();
        language(&Session { messages, ..Session::default() })
    }

    #[test]
    fn the_user_s_language_is_told_and_nothing_is_guessed_from_a_few_words() {
        for (said, expected) in [
            ("Can you tell me why my sourdough doesn’t rise when it is cold in the kitchen?", Some("eng")),
            ("Kannst du mir bitte sagen, warum mein Sauerteig nicht aufgeht, wenn es kalt ist?", Some("deu")),
            (
                "Peux-tu me dire pourquoi mon levain ne monte pas quand il fait froid dans la cuisine ?",
                Some("fra"),
            ),
            ("¿Me puedes decir por qué mi masa madre no sube cuando hace frío en la cocina?", Some("spa")),
            ("Mi puoi dire perché il mio lievito non cresce quando fa freddo nella cucina?", Some("ita")),
            (
                "Você pode me dizer por que o meu fermento não cresce quando está frio na cozinha?",
                Some("por"),
            ),
            ("Kun je mij vertellen waarom mijn deeg niet rijst als het koud is in de keuken?", Some("nld")),
            ("Можешь объяснить, почему моя закваска не поднимается, когда на кухне холодно?", Some("rus")),
            ("请告诉我为什么厨房冷的时候我的面团发不起来", Some("cmn")),
            ("キッチンが寒いとき、どうして生地が膨らまないのか教えてください", Some("jpn")),
            (
                "Czy możesz mi powiedzieć, dlaczego mój zakwas nie rośnie, gdy w kuchni jest zimno?",
                Some("pol"),
            ),
            ("ok", None),
            ("foo bar", None),
            ("", None),
        ] {
            assert_eq!(of(&[said]).as_deref(), expected, "{said}");
        }
    }

    #[test]
    fn code_and_the_assistant_do_not_count_and_a_long_paste_is_not_read_to_its_end() {
        let german = "Was macht dieser Code hier und warum ist er so langsam, wenn ich ihn starte?";
        let code =
            "```\n# this is the code that we all have to read and it is not in the language of the user\n```";
        assert_eq!(of(&[german, code, code]).as_deref(), Some("deu"));
        let long = format!("{german} {}", "ü and the this of it ".repeat(100_000));
        assert!(
            said_by_user(&Session { messages: vec![Message::new(Role::User, long)], ..Session::default() })
                .len()
                <= LOOKED_AT + 1
        );
    }

    #[test]
    fn codes_are_known_and_other_names_of_a_language_lead_to_them() {
        assert!(is_known("eng") && is_known("cmn") && !is_known("en") && !is_known("xxx"));
        assert_eq!(code_of("en-GB"), Some("eng"));
        assert_eq!(code_of("german"), Some("deu"));
        assert_eq!(code_of("klingon"), None);
    }
}
