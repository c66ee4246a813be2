//! Facts and preferences as results of their own.

use rusqlite::{Connection, OptionalExtension, params};

use super::fields::{fields, fields_of_kind};
use super::hit::{Kind, Statement};
use super::question::Question;
use crate::memory::MemoryError;
use crate::memory::index::terms::Terms;

/// Preferences of a user that a wish for advice is held against; the newest.
const ADVICE_MAX: i64 = 2000;
/// Facts of one attribute that are looked at; the newest.
const FACTS_MAX: i64 = 20;

/// A statement that may answer.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Row of its message.
    pub row: i64,
    pub kind: Kind,
    pub from: usize,
    pub to: usize,
    pub statement: Statement,
    /// BM25 of the statement as a text of its own.
    pub own: f64,
    /// 0 to 1: how well it answers a wish for advice.
    pub advises: f64,
}

/// Reads statements against one question.
pub(super) struct Reader<'a> {
    pub conn: &'a Connection,
    pub user: i64,
    pub question: &'a Question,
    pub idf: &'a [f32],
    pub terms: &'a mut Terms,
}

/// Words by which people ask for an attribute, beside those it is named by.
const ASKED_BY: [(&str, &str); 9] = [
    ("lives_in", "home city town move reside based"),
    ("from", "hometown origin grow nationality native"),
    ("works_as", "job profession occupation career living work"),
    ("works_at", "employer company job work"),
    ("name", "called"),
    ("age", "old"),
    ("birthday", "born birth"),
    ("allergy", "allergic allergies eat"),
    ("studies", "university degree college school subject"),
];

impl Reader<'_> {
    /// The statements of one session that hold now and stand in one of these messages.
    pub(super) fn of_session(&mut self, session: i64, rows: &[i64]) -> Result<Vec<Candidate>, MemoryError> {
        let mut found = self.preferences(
            true,
            "SELECT id, message, from_byte, to_byte, object, polarity, strength, kind FROM preferences
             WHERE id BETWEEN ?1 << 20 AND (?1 << 20) + 1048575 LIMIT 500",
            params![session],
        )?;
        found.extend(self.facts(
            "SELECT id, message, from_byte, to_byte, attribute, value, exclusive FROM facts
             WHERE id BETWEEN ?1 << 20 AND (?1 << 20) + 1048575 LIMIT 500",
            params![session],
        )?);
        found.retain(|it| it.own > 0.0 && rows.contains(&it.row));
        Ok(found)
    }

    /// What the user wants and avoids in the fields of life the question touches.
    pub(super) fn for_advice(&mut self) -> Result<Vec<Candidate>, MemoryError> {
        let user = self.user;
        let mut found = self.preferences(
            false,
            "SELECT id, message, from_byte, to_byte, object, polarity, strength, kind FROM preferences
             WHERE user = ?1 AND kind <> 'signal' ORDER BY id DESC LIMIT ?2",
            params![user, ADVICE_MAX],
        )?;
        found.retain(|it| it.advises > 0.0);
        Ok(found)
    }

    /// Facts whose attribute the question asks for, whatever words state them.
    pub(super) fn asked_for(&mut self) -> Result<Vec<Candidate>, MemoryError> {
        let mut statement =
            self.conn.prepare_cached("SELECT DISTINCT attribute FROM facts WHERE user = ? LIMIT 2000")?;
        let attributes: Vec<String> =
            statement.query_map([self.user], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let (user, mut found) = (self.user, Vec::new());
        for attribute in attributes {
            if self.own_score(&asked_by(&attribute)) > 0.0 {
                found.extend(self.facts(
                    "SELECT id, message, from_byte, to_byte, attribute, value, exclusive FROM facts
                     WHERE user = ?1 AND attribute = ?2 ORDER BY said_ms DESC LIMIT ?3",
                    params![user, attribute, FACTS_MAX],
                )?);
            }
        }
        Ok(found)
    }

    /// Those that share a field of life with a wish for advice, or, if asked for, words with the question.
    fn preferences(
        &mut self,
        or_words: bool,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<Candidate>, MemoryError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, object, polarity): (i64, String, String) = (row.get(0)?, row.get(4)?, row.get(5)?);
            let (strength, kind): (f64, String) = (row.get(6)?, row.get(7)?);
            let shares_field = self.question.fields != 0
                && (fields(&object) | fields_of_kind(&kind)) & self.question.fields != 0;
            let own = if shares_field || or_words { self.own_score(&object) } else { 0.0 };
            if own == 0.0 && !shares_field || !self.holds(id, &object)? {
                continue;
            }
            found.push(Candidate {
                row: id >> 20 << 20 | row.get::<_, i64>(1)?,
                kind: Kind::Preference,
                from: row.get(2)?,
                to: row.get(3)?,
                own,
                advises: if self.question.wants_advice { strength.clamp(0.0, 1.0) } else { 0.0 },
                statement: Statement::Preference { object, polarity, strength },
            });
        }
        Ok(found)
    }

    fn facts(&mut self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Candidate>, MemoryError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, attribute, value): (i64, String, String) = (row.get(0)?, row.get(4)?, row.get(5)?);
            let own = self.own_score(&format!("{} {value}", asked_by(&attribute)));
            if own == 0.0 || !self.fact_holds(id, &attribute, &value, row.get(6)?)? {
                continue;
            }
            found.push(Candidate {
                row: id >> 20 << 20 | row.get::<_, i64>(1)?,
                kind: Kind::Fact,
                from: row.get(2)?,
                to: row.get(3)?,
                own,
                advises: 0.0,
                statement: Statement::Fact { attribute, value },
            });
        }
        Ok(found)
    }

    /// What the words of a statement share with the question.
    fn own_score(&mut self, text: &str) -> f64 {
        let held = self.terms.distinct(text, 32);
        let shared = self.question.terms.iter().zip(self.idf).filter(|((term, _), _)| held.contains(term));
        shared.map(|((_, weight), idf)| f64::from(weight * idf)).sum()
    }

    /// Whether a preference is the last that was said of its object.
    fn holds(&self, id: i64, object: &str) -> Result<bool, MemoryError> {
        let sql =
            "SELECT id FROM preferences WHERE user = ? AND object = ? ORDER BY said_ms DESC, id DESC LIMIT 1";
        self.is_last(sql, params![self.user, object], id)
    }

    fn fact_holds(
        &self,
        id: i64,
        attribute: &str,
        value: &str,
        exclusive: bool,
    ) -> Result<bool, MemoryError> {
        if exclusive {
            let sql = "SELECT id FROM facts WHERE user = ? AND attribute = ? AND exclusive
                       ORDER BY said_ms DESC, id DESC LIMIT 1";
            self.is_last(sql, params![self.user, attribute], id)
        } else {
            let sql = "SELECT id FROM facts WHERE user = ? AND attribute = ? AND value = ?
                       ORDER BY said_ms DESC, id DESC LIMIT 1";
            self.is_last(sql, params![self.user, attribute, value], id)
        }
    }

    fn is_last(&self, sql: &str, params: impl rusqlite::Params, id: i64) -> Result<bool, MemoryError> {
        let last: Option<i64> =
            self.conn.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?;
        Ok(last == Some(id))
    }
}

/// An attribute as text: its own words and those it is asked for by.
fn asked_by(attribute: &str) -> String {
    let more = ASKED_BY.iter().find(|(name, _)| *name == attribute).map_or("", |(_, more)| more);
    format!("{} {more}", attribute.replace(['_', '.'], " "))
}
