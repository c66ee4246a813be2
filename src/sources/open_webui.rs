use rusqlite::{Connection, types::ValueRef};
use serde_json::json;

use super::sqlite::DatabaseError;
use crate::session::formats::{Decoded, Format, decode_leniently};
use crate::session::{Moment, Session};

/// The largest chat that is read, in bytes of its JSON.
const LARGEST: i64 = 32 << 20;

/// Reads the chats that changed since `since` (`updated_at` as the database has it), oldest change first. `each` is
/// given the chat, when it changed, whether an answer is under way, and that time as the database has it; it says
/// whether to go on.
pub(super) fn read(
    db: &Connection,
    since: Option<&str>,
    each: &mut dyn FnMut(Session, Option<Moment>, bool, String) -> bool,
) -> Result<u64, DatabaseError> {
    let has_meta = db.prepare("SELECT meta FROM chat LIMIT 0").is_ok();
    let meta = if has_meta { "meta" } else { "NULL" };
    let mut rows = db.prepare(&format!(
        "SELECT id, user_id, title, chat, created_at, updated_at, {meta} FROM chat
         WHERE (?1 IS NULL OR updated_at >= CAST(?1 AS INTEGER)) AND length(chat) <= ?2 ORDER BY updated_at, id"
    ))?;
    let mut rows = rows.query((since, LARGEST))?;
    let mut unread = 0;
    while let Some(row) = rows.next()? {
        let text = |index| row.get::<_, Option<String>>(index).ok().flatten();
        let number = |index| match row.get_ref(index) {
            Ok(ValueRef::Integer(number)) => Some(number),
            _ => None,
        };
        let updated = number(5);
        let raw = |index| text(index).filter(|text| !text.trim().is_empty()).unwrap_or_else(|| "null".into());
        // The row as an export has it; the two columns of JSON are put in as they are.
        let head = json!({"id": text(0), "user_id": text(1), "title": text(2), "created_at": number(4), "updated_at": updated});
        let mut document = head.to_string();
        document.pop();
        document.push_str(&format!(", \"meta\": {}, \"chat\": {}}}", raw(6), raw(3)));
        match decode_leniently(document.as_bytes(), Format::OpenWebui) {
            Ok(Decoded { sessions, open, .. }) => {
                let at = updated.and_then(|number| Moment::from_epoch(number as f64));
                for session in sessions {
                    if !each(session, at, !open.is_empty(), updated.unwrap_or_default().to_string()) {
                        return Ok(unread);
                    }
                }
            }
            Err(_) => unread += 1,
        }
    }
    Ok(unread)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A database as Open WebUI makes it, with one finished chat.
    pub(crate) const FIXTURE: &str = include_str!("../../tests/sources/open-webui/webui.sql");

    #[test]
    fn rows_are_chats_oldest_change_first() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(FIXTURE).unwrap();
        let mut found = Vec::new();
        let unread = read(&db, None, &mut |session, at, open, mark| {
            found.push((session.session_id, session.messages.len(), at.unwrap().to_string(), open, mark));
            true
        })
        .unwrap();
        let expected = [
            ("w1".to_owned(), 2, "2026-03-02T10:01:40Z".to_owned(), false, "1772445700".to_owned()),
            ("w2".to_owned(), 2, "2026-03-02T10:03:20Z".to_owned(), true, "1772445800".to_owned()),
        ];
        assert_eq!(found, expected);
        assert_eq!(unread, 1);
        let mut later = 0;
        read(&db, Some("1772445701"), &mut |_, _, _, _| {
            later += 1;
            true
        })
        .unwrap();
        assert_eq!(later, 1);
    }
}
