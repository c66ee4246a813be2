//! What is asked of a provider.

use std::fs::File;
use std::path::Path;

use serde_json::Value;

use super::dialect::Dialect;
use crate::wire::{FileBody, Server, WireError};

/// A provider's server.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) server: Server,
    pub(super) dialect: &'static Dialect,
}

impl Api {
    /// Sends a file; its id.
    pub(super) async fn upload(&self, path: &Path, name: &str) -> Result<String, WireError> {
        let border = format!("atles-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut head = field(&border, "purpose", "fine-tune");
        if self.dialect.names_files {
            head += &field(&border, "file_name", name);
            head += &field(&border, "file_type", "jsonl");
        }
        head += &format!(
            "--{border}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/jsonl\r\n\r\n"
        );
        let tail = format!("\r\n--{border}--\r\n");
        let body = FileBody::between(head.into_bytes(), File::open(path)?, tail.into_bytes())?;
        let kind = format!("multipart/form-data; boundary={border}");
        let answer = self.server.post_file(self.dialect.files, &kind, body).await?;
        self.id(&answer)
    }

    /// Makes a job; its id.
    pub(super) async fn create(&self, body: &Value) -> Result<String, WireError> {
        let answer = self.server.post(self.dialect.jobs, body).await?;
        self.id(&answer)
    }

    /// A job on this file that is there already.
    pub(super) async fn find(&self, file: &str) -> Result<Option<String>, WireError> {
        let answer = self.server.object(self.dialect.jobs).await?;
        let jobs = answer.get("data").or(answer.get("jobs")).unwrap_or(&answer).as_array();
        let is_ours = |job: &&Value| {
            let files = job.get("training_files").and_then(Value::as_array).into_iter().flatten();
            let mut files = files.chain(job.get("training_file"));
            files.any(|one| one.as_str().or_else(|| one.get("file_id")?.as_str()) == Some(file))
        };
        Ok(jobs.into_iter().flatten().find(is_ours).and_then(|job| self.id(job).ok()))
    }

    /// A job as it is now. Its `error` is part of it, not of the answer.
    pub(super) async fn job(&self, id: &str) -> Result<Value, WireError> {
        self.server.object(&format!("{}/{id}", self.dialect.jobs)).await
    }

    /// What happened in a job, where the provider tells; the newest first.
    pub(super) async fn list(&self, id: &str, what: &str) -> Vec<Value> {
        let answer = self.server.object(&format!("{}/{id}/{what}", self.dialect.jobs)).await;
        let list = answer.ok().and_then(|answer| answer.get("data")?.as_array().cloned());
        list.unwrap_or_default()
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<(), WireError> {
        self.server
            .post(&format!("{}/{id}/cancel", self.dialect.jobs), &Value::Object(Default::default()))
            .await
            .map(drop)
    }

    /// An id becomes part of an address, so only what an id is made of is taken.
    fn id(&self, answer: &Value) -> Result<String, WireError> {
        let fits = |id: &&str| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'))
        };
        let id = answer.get("id").and_then(Value::as_str).filter(fits);
        id.map(str::to_owned).ok_or_else(|| WireError::Answer {
            server: self.server.name().to_owned(),
            message: "the answer holds no usable id".into(),
        })
    }
}

fn field(border: &str, name: &str, value: &str) -> String {
    format!("--{border}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}
