//! Where a noun phrase ends, and what in it carries meaning.

/// Words before which a phrase ends.
const STOPS: &str = "\
    but because since cause 'cause cuz coz although though unless until whenever when if while whereas \
    which whom so please thanks btw even due except as then especially anyway haha lol - – —";

/// Words behind "and" or "or" that begin a new clause.
const SUBJECTS: &str = "\
    i i'm i've i'd i'll we we're you it it's they he she my our that this there please then would can \
    don't do always never prefer hate love like enjoy avoid am use keep make give tell want need have \
    will is are only not it'd it'll that's there's they're he's she's";

/// Endings that say nothing.
const FILLERS: [&str; 54] = [
    "at all",
    "these days",
    "as well",
    "by the way",
    "for me",
    "all the time",
    "very much",
    "so much",
    "a lot",
    "any more",
    "right now",
    "of course",
    "from now on",
    "in general",
    "to be honest",
    "going forward",
    "ever again",
    "in the future",
    "in future",
    "too",
    "either",
    "also",
    "anymore",
    "though",
    "lol",
    "please",
    "pls",
    "thanks",
    "now",
    "really",
    "again",
    "ok",
    "okay",
    "btw",
    "very",
    "much",
    "so",
    "a",
    "an",
    "the",
    "and",
    "or",
    "of",
    "to",
    "in",
    "for",
    "with",
    "at",
    "currently",
    "anyway",
    "lately",
    "nowadays",
    "sorry",
    "ever",
];

/// The length of the phrase at the start of an evened text: up to punctuation, a new clause, or `most` words, without
/// what trails behind its meaning.
pub(crate) fn phrase_len(text: &str, most: usize) -> usize {
    if let Some(title) = quoted_len(text) {
        return title;
    }
    let mut end = 0;
    let mut count = 0;
    let mut rest = words(text).peekable();
    while let Some((at, word)) = rest.next() {
        let core = word.trim_end_matches([',', '.', '!', '?', ':', ';', ')']);
        let next = rest.peek().map_or("", |(_, next)| next.trim_end_matches([',', '.', '!', '?']));
        let new_clause = matches!(core, "and" | "or") && (listed(SUBJECTS, next) || listed(STOPS, next));
        if count == most || word.starts_with('(') || (count > 0 && (listed(STOPS, core) || new_clause)) {
            break;
        }
        end = at + core.len();
        count += 1;
        if core.len() < word.len() {
            break;
        }
    }
    without_filler(&text[..end]).len()
}

/// The length of a quoted title that begins a text.
fn quoted_len(text: &str) -> Option<usize> {
    let (open, close) = [("\"", '"'), ("“", '”')].into_iter().find(|(open, _)| text.starts_with(open))?;
    let behind = text.get(open.len()..)?;
    behind.find(close).filter(|length| *length < 80).map(|length| open.len() + length + close.len_utf8())
}

/// Whether a word stands in a list of words parted by blanks.
pub(crate) fn listed(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

/// The words of a text with their offsets.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let base = text.as_ptr() as usize;
    text.split_whitespace().map(move |word| (word.as_ptr() as usize - base, word))
}

/// Cuts endings that say nothing.
pub(crate) fn without_filler(phrase: &str) -> &str {
    let mut rest = phrase.trim_end();
    loop {
        let shorter = FILLERS.iter().find_map(|filler| {
            let cut = rest.strip_suffix(filler)?;
            (cut.is_empty() || cut.ends_with(char::is_whitespace)).then(|| cut.trim_end())
        });
        match shorter {
            Some(cut) => rest = cut,
            None => return rest,
        }
    }
}

/// The items of an enumeration that begins a text ("shellfish, strawberries and cats"), or nothing where it is none.
/// Items have at most three words.
pub(crate) fn enumeration(text: &str) -> Vec<&str> {
    let mut items: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((item, more)) = rest.split_once(',') {
        if !is_item(item) {
            return Vec::new();
        }
        items.push(item.trim());
        rest = more;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("and ").or(rest.strip_prefix("or ")).unwrap_or(rest);
    let led = items.len() > 1 && rest.len() < text.len();
    let last = &rest[..phrase_len(rest, 8)];
    let pair = last.split_once(" and ").or(last.split_once(" or "));
    match pair {
        Some((left, right)) if !items.is_empty() && is_item(left) && is_item(right) => {
            items.extend([left.trim(), right.trim()]);
        }
        None if led && is_item(last) => items.push(last),
        _ => return Vec::new(),
    }
    items
}

fn is_item(item: &str) -> bool {
    let count = item.split_whitespace().count();
    let first = item.split_whitespace().next().unwrap_or_default();
    (1..=3).contains(&count)
        && !listed(SUBJECTS, first)
        && !listed(STOPS, first)
        && !item.contains(['.', '!', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_ends_where_its_clause_ends() {
        for (text, expected) in [
            ("cilantro, it tastes like soap", "cilantro"),
            ("hiking in the alps because of the air", "hiking in the alps"),
            ("tea and i hate coffee", "tea"),
            ("cats and dogs", "cats and dogs"),
            ("node.js 18.2 a lot these days", "node.js 18.2"),
            ("black coffee (no sugar)", "black coffee"),
            ("emojis from now on", "emojis"),
            ("so", ""),
            ("", ""),
        ] {
            assert_eq!(&text[..phrase_len(text, 10)], expected, "{text}");
        }
    }

    #[test]
    fn enumerations_are_told_from_clauses() {
        for (text, expected) in [
            ("shellfish, strawberries and cats", vec!["shellfish", "strawberries", "cats"]),
            ("nuts, soy, and milk.", vec!["nuts", "soy", "milk"]),
            ("olives, so please leave them out", vec![]),
            ("cats and dogs", vec![]),
            ("cilantro, it tastes like soap", vec![]),
        ] {
            assert_eq!(enumeration(text), expected, "{text}");
        }
    }
}
