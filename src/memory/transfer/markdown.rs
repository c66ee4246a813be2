use std::fmt::Write;

use super::record::SessionRecord;
use crate::memory::prompt::one_line;

/// A session as a person reads it: what was learned from it, and what was said. Nothing that was said can look like a
/// part of the page: every line of it is quoted.
pub fn markdown(record: &SessionRecord) -> String {
    let mut page = String::new();
    let user = record.user_id.as_deref().map_or_else(String::new, |user| format!(", {}", one_line(user)));
    let day = record.start_time.as_deref().and_then(|time| time.get(..10)).unwrap_or("undated");
    let _ = writeln!(page, "## {day}: {}{user}\n", one_line(&record.session_id));
    for fact in &record.facts {
        let attribute = one_line(&fact.attribute).replace(['_', '.'], " ");
        let (value, quote) = (one_line(&fact.value), one_line(&fact.quote.text));
        let _ = writeln!(page, "- {attribute}: **{value}** (“{quote}”)");
    }
    for preference in &record.preferences {
        let (object, quote) = (one_line(&preference.object), one_line(&preference.quote.text));
        let _ = writeln!(page, "- {} **{object}** (“{quote}”)", preference.polarity.as_str());
    }
    if !record.facts.is_empty() || !record.preferences.is_empty() {
        page.push('\n');
    }
    for message in record.messages.iter().filter(|message| !message.content.is_empty()) {
        let who = message.name.as_deref().map_or_else(|| message.role.to_string(), one_line);
        let when = message.timestamp.as_deref().map_or_else(String::new, |time| format!(" ({time})"));
        let _ = writeln!(page, "**{who}**{when}\n");
        for line in message.content.split(['\n', '\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{b}', '\u{c}']) {
            let _ = writeln!(page, "> {line}");
        }
        page.push('\n');
    }
    page
}
