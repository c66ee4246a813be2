use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::sqlite::DatabaseError;
use crate::session::{Message, Moment, Role, Session};

/// Messages of one conversation that are read at most.
const MOST: usize = 100_000;

/// Reads the conversations of `llm` that changed since `since` (`datetime_utc` as the database has it). Since 0.32 they
/// are threads of messages that share their beginnings; what is older stays in `responses`, so both are read. `each`
/// is given the conversation, when it changed, and that time as the database has it; it says whether to go on.
pub(super) fn read(
    db: &Connection,
    since: Option<&str>,
    each: &mut dyn FnMut(Session, Option<Moment>, bool, String) -> bool,
) -> Result<u64, DatabaseError> {
    let mut found = changed(db, since, "responses", "conversation_id")?;
    found.extend(changed(db, since, "turns", "thread_id")?);
    found.sort_by(|a, b| a.at.cmp(&b.at));
    let mut seen = HashSet::new();
    for Changed { table, id, at } in found {
        let messages = if table == "turns" { thread(db, &id)? } else { responses(db, &id)? };
        let (name, model) = head(db, table, &id)?;
        // A conversation that goes on as a thread keeps its id: the older table has only its beginning.
        if messages.is_empty() || (table == "responses" && seen.contains(&id)) {
            continue;
        }
        seen.insert(id.clone());
        let mut session = Session {
            session_id: id,
            app: Some("llm".to_owned()),
            model,
            start_time: messages.iter().find_map(|message| message.timestamp),
            end_time: Moment::parse(&at),
            messages,
            ..Session::default()
        };
        session.metadata.extend(name.map(|name| ("title".to_owned(), name.into())));
        if !each(session, utc(&at), false, at) {
            break;
        }
    }
    Ok(0)
}

struct Changed {
    table: &'static str,
    id: String,
    at: String,
}

/// The program writes UTC without saying so.
fn utc(at: &str) -> Option<Moment> {
    Moment::parse(at).map(|at| Moment::instant(at.timestamp()))
}

fn has(db: &Connection, table: &str) -> Result<bool, DatabaseError> {
    let found =
        db.query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", [table], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// The conversations of a table that were answered at or after a time, and when last.
fn changed(
    db: &Connection,
    since: Option<&str>,
    table: &'static str,
    id: &str,
) -> Result<Vec<Changed>, DatabaseError> {
    if !has(db, table)? {
        return Ok(Vec::new());
    }
    let mut rows = db.prepare(&format!(
        "SELECT {id}, max(datetime_utc) AS last FROM {table} WHERE {id} IS NOT NULL AND datetime_utc IS NOT NULL
         GROUP BY {id} HAVING ?1 IS NULL OR last >= ?1"
    ))?;
    let rows = rows.query_map([since], |row| Ok(Changed { table, id: row.get(0)?, at: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The name and the last model of a conversation.
fn head(db: &Connection, table: &str, id: &str) -> Result<(Option<String>, Option<String>), DatabaseError> {
    let (names, owner) =
        if table == "turns" { ("threads", "thread_id") } else { ("conversations", "conversation_id") };
    let one = |sql: String| db.query_row(&sql, [id], |row| row.get::<_, Option<String>>(0)).optional();
    let name = if has(db, names)? {
        one(format!("SELECT name FROM {names} WHERE id = ?1"))?.flatten()
    } else {
        None
    };
    let model =
        one(format!("SELECT model FROM {table} WHERE {owner} = ?1 ORDER BY datetime_utc DESC LIMIT 1"))?
            .flatten();
    Ok((name, model))
}

/// A conversation in the older tables: a prompt and an answer a row.
fn responses(db: &Connection, id: &str) -> Result<Vec<Message>, DatabaseError> {
    let mut rows = db.prepare(
        "SELECT prompt, response, datetime_utc FROM responses WHERE conversation_id = ?1
         ORDER BY datetime_utc, rowid LIMIT ?2",
    )?;
    let mut messages = Vec::new();
    let mut rows = rows.query((id, MOST as i64))?;
    while let Some(row) = rows.next()? {
        let at: Option<String> = row.get(2)?;
        let at = at.as_deref().and_then(utc);
        for (index, role) in [(0, Role::User), (1, Role::Assistant)] {
            let text: Option<String> = row.get(index)?;
            push(&mut messages, role, text.unwrap_or_default(), at);
        }
    }
    Ok(messages)
}

fn push(messages: &mut Vec<Message>, role: Role, text: String, at: Option<Moment>) {
    if !text.trim().is_empty() {
        let mut message = Message::new(role, text.replace('\0', ""));
        message.timestamp = at;
        messages.push(message);
    }
}

/// A thread: from its last message back to its first.
fn thread(db: &Connection, id: &str) -> Result<Vec<Message>, DatabaseError> {
    let tip: Option<String> = db
        .query_row("SELECT tip_message_hash FROM threads WHERE id = ?1", [id], |row| row.get(0))
        .optional()?
        .flatten();
    let mut message = db.prepare("SELECT parent_hash, role FROM messages WHERE hash = ?1")?;
    let mut times = db.prepare(
        "SELECT min(datetime_utc) FROM turns WHERE thread_id = ?1 AND (tip_message_hash = ?2 OR parent_message_hash = ?2)",
    )?;
    let (mut next, mut seen, mut messages) = (tip, HashSet::new(), Vec::new());
    while let Some(hash) = next.take().filter(|hash| messages.len() < MOST && seen.insert(hash.clone())) {
        let found = message
            .query_row([&hash], |row| {
                Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional()?;
        let Some((parent, role)) = found else { break };
        let role = match role.as_deref() {
            Some("user") => Some(Role::User),
            Some("assistant") => Some(Role::Assistant),
            _ => None,
        };
        if let Some(role) = role {
            let at: Option<String> = times.query_row((id, &hash), |row| row.get(0))?;
            push(&mut messages, role, parts(db, &hash)?, at.as_deref().and_then(utc));
        }
        next = parent;
    }
    messages.reverse();
    Ok(messages)
}

/// The text of a message. Fragments, which are files and pages put into a prompt, are nobody's words.
fn parts(db: &Connection, hash: &str) -> Result<String, DatabaseError> {
    let mut rows = db.prepare_cached(
        "SELECT text, payload FROM parts WHERE message_hash = ?1 AND type = 'text' ORDER BY position",
    )?;
    let rows = rows
        .query_map([hash], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let mut said = Vec::new();
    for row in rows {
        match row? {
            (Some(text), _) => said.push(text),
            (None, Some(payload)) => said.push(literals(&payload)),
            (None, None) => {}
        }
    }
    Ok(said.join("\n"))
}

fn literals(payload: &str) -> String {
    let payload: Value = serde_json::from_str(payload).unwrap_or_default();
    let pieces = payload["text_ref"].as_array().map(Vec::as_slice).unwrap_or_default();
    let literals = pieces.iter().filter_map(|piece| piece["literal"].as_str());
    literals.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_of_tables_are_read() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../tests/sources/llm/logs.sql")).unwrap();
        let mut found = Vec::new();
        let mut take = |session: Session, at: Option<Moment>, _, mark| {
            let texts: Vec<String> = session.messages.iter().map(|m| m.text.clone()).collect();
            found.push((
                session.session_id,
                texts.join(" | "),
                session.model.unwrap(),
                at.unwrap().to_string(),
                mark,
            ));
            true
        };
        read(&db, None, &mut take).unwrap();
        read(&db, Some("2026-08-10T00:00:00"), &mut take).unwrap();
        let old = (
            "c1",
            "I row on Mondays. Best oars? | Carbon. | Cheaper? | Wood.",
            "gpt-4o",
            "2026-03-02T10:05:00Z",
            "2026-03-02T10:05:00",
        );
        let new = (
            "t1",
            "Summarise this for my sister Ana. | Done. | Shorter. | Ok.",
            "gpt-5",
            "2026-08-10T10:05:00Z",
            "2026-08-10T10:05:00",
        );
        let fork = (
            "t2",
            "Summarise this for my sister Ana. | Done. | In Greek.",
            "gpt-5",
            "2026-08-10T11:00:00Z",
            "2026-08-10T11:00:00",
        );
        let expected = [old, new, fork, new, fork]
            .map(|(a, b, c, d, e)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned(), e.to_owned()));
        assert_eq!(found, expected);
    }
}
