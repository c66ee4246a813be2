//! A model from the hub, over HTTPS, taken up where an earlier try broke off.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, LOCATION, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::BaseError;
use super::known::Known;
use super::pull::{Failed, Fetched, Progress, Report};

const HUB: &str = "https://huggingface.co";
/// Which variable names another hub (a mirror), as for the hub's own tools.
const VARIABLE: &str = "HF_ENDPOINT";
const CONNECT: Duration = Duration::from_secs(15);
/// A connection over which nothing comes for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// How often a broken download is taken up again.
const TRIES: usize = 4;

pub(super) fn fetch(known: Known, place: &Path, report: Report<'_>) -> Result<Fetched, Failed> {
    let named = std::env::var(VARIABLE).ok().filter(|hub| !hub.is_empty());
    fetch_from(named.as_deref().unwrap_or(HUB), known, place, report)
}

/// Fetches from a hub of some address.
pub(super) fn fetch_from(
    hub: &str,
    known: Known,
    place: &Path,
    report: Report<'_>,
) -> Result<Fetched, Failed> {
    let address = format!("{}/{}/resolve/main/{}", hub.trim_end_matches('/'), known.repository, known.file);
    let url = Url::parse(&address).map_err(|_| Failed::Source(format!("{hub} is no address of a hub")))?;
    let host = url.host_str().unwrap_or(hub).to_owned();
    report(Progress::Asking { source: host.clone() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::Source(format!("{host}: {error}")))?;
    let part = place.with_extension("gguf.part");
    runtime.block_on(async {
        let stated = stated_hash(&url).await.map_err(|error| Failed::Source(format!("{host}: {error}")))?;
        let expected = match (known.sha256, stated) {
            (Some(pinned), Some(stated)) if pinned != stated => {
                return Err(Failed::Source(format!("{host} has another file under this name")));
            }
            (Some(hash), _) => hash.to_owned(),
            (None, Some(hash)) => hash,
            (None, None) => return Err(Failed::Source(format!("{host} does not state the file's sha256"))),
        };
        let mut tries = 0;
        loop {
            match download(&url, &part, report).await {
                Ok(()) => return Ok(Fetched { part, expected }),
                Err(Broken::Disk(source)) => return Err(Failed::Here(BaseError::io(&part, source))),
                Err(Broken::Refused(status)) => {
                    return Err(Failed::Source(format!("{host} answered {status}")));
                }
                Err(Broken::Connection(_)) if tries + 1 < TRIES => tries += 1,
                Err(Broken::Connection(error)) => {
                    return Err(Failed::Source(format!("{host}: {}", innermost(&error))));
                }
            }
        }
    })
}

/// The error at the bottom of a chain, which says what happened.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

fn client(redirects: Policy) -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirects)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(concat!("atles/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The sha256 that the hub states for a file. It stands in the answer that leads on to the store of large files, so
/// only redirects that stay on the hub (renamed repositories) are followed.
async fn stated_hash(url: &Url) -> Result<Option<String>, String> {
    let client = client(Policy::none()).map_err(|error| innermost(&error))?;
    let mut url = url.clone();
    for _ in 0..4 {
        let answer = client.head(url.clone()).send().await.map_err(|error| innermost(&error))?;
        let (status, headers) = (answer.status(), answer.headers());
        if let Some(hash) = header(headers, "x-linked-etag").and_then(sha256) {
            return Ok(Some(hash));
        }
        let onward = header(headers, LOCATION.as_str()).and_then(|location| url.join(location).ok());
        match onward.filter(|onward| status.is_redirection() && onward.origin() == url.origin()) {
            Some(onward) => url = onward,
            None if status.is_client_error() || status.is_server_error() => {
                return Err(format!("it answered {status}"));
            }
            None => return Ok(header(headers, "etag").and_then(sha256)),
        }
    }
    Ok(None)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An entity tag that is a sha256.
fn sha256(tag: &str) -> Option<String> {
    let hash = tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

enum Broken {
    Disk(std::io::Error),
    Refused(StatusCode),
    Connection(reqwest::Error),
}

async fn download(url: &Url, part: &Path, report: Report<'_>) -> Result<(), Broken> {
    let client = client(Policy::limited(10)).map_err(Broken::Connection)?;
    let have = std::fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = client.get(url.clone());
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let mut answer = request.send().await.map_err(Broken::Connection)?;
    let (mut file, mut done) = match answer.status() {
        StatusCode::PARTIAL_CONTENT if starts_at(&answer) == Some(have) => (append(part)?, have),
        // What is there is all there is, or more than there is: the hash will tell.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
        StatusCode::OK => (crate::platform::create_private(part).map_err(Broken::Disk)?, 0),
        other => return Err(Broken::Refused(other)),
    };
    let left =
        header(answer.headers(), CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
    let total = left.map(|left| done + left);
    report(Progress::Bytes { done, total });
    while let Some(bytes) = answer.chunk().await.map_err(Broken::Connection)? {
        file.write_all(&bytes).map_err(Broken::Disk)?;
        done += bytes.len() as u64;
        report(Progress::Bytes { done, total });
    }
    Ok(())
}

fn append(part: &Path) -> Result<File, Broken> {
    OpenOptions::new().append(true).open(part).map_err(Broken::Disk)
}

/// Where the part that came begins.
fn starts_at(answer: &Response) -> Option<u64> {
    let range = header(answer.headers(), CONTENT_RANGE.as_str())?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
