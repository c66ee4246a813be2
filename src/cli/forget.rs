use std::fmt::Write;
use std::path::Path;

use jiff::Timestamp;

use super::{Exit, open, run::prepare_home, say};
use crate::config::Loaded;
use crate::daemon::{ControlError, Request, Response, Services, ask_patiently, home_of};
use crate::forget::{ForgetError, Order, Receipt, What, allow, forget};
use crate::spool::{Home, InstanceLock};

/// Options of `atles forget`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what"))]
pub(super) struct Args {
    /// A session, by the chat app's id: all its revisions.
    #[arg(long, value_name = "ID", group = "what")]
    session: Option<String>,
    /// Every session of a user; an empty name is the user of apps that know only one. Beside --session and
    /// --matching: only this user's.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// A fact, by its number in memory.db (`id` in `facts_now`, or in `atles profile --json`): with every turn that
    /// states it.
    #[arg(long, value_name = "ID", group = "what", conflicts_with = "user")]
    fact: Option<i64>,
    /// Every turn that holds these words, in whatever case.
    #[arg(long, value_name = "TEXT", group = "what")]
    matching: Option<String>,
    /// Let what a receipt names be learned again when it is dropped again.
    #[arg(long, value_name = "RECEIPT", group = "what", conflicts_with_all = ["user", "dry_run"])]
    allow: Option<String>,
    /// Only tell what would go.
    #[arg(long)]
    dry_run: bool,
    /// The receipt as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn order(&self) -> Option<Order> {
        let order = |what, user: &Option<String>| Order { what, user: user.clone(), dry_run: self.dry_run };
        if let Some(id) = &self.session {
            return Some(order(What::Session(id.clone()), &self.user));
        }
        if let Some(text) = &self.matching {
            return Some(order(What::Matching(text.clone()), &self.user));
        }
        if let Some(fact) = self.fact {
            return Some(order(What::Fact(fact), &None));
        }
        self.user.as_ref().map(|user| order(What::User(user.clone()), &None))
    }
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let services = Services::default();
    let loaded = match open::config(config, &services) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let home = home_of(&loaded.config);
    if let Some(id) = &args.allow {
        return shown(allow(&home, id, Timestamp::now()).map_err(Refused::from), args, &home);
    }
    let Some(order) = args.order() else {
        say::error("nothing is named", Some("--session ID, --user ID, --fact ID or --matching TEXT"));
        return Exit::Usage;
    };
    if let Err(problem) = order.check() {
        say::error(&problem, ForgetError::from(problem.clone()).hint());
        return Exit::Usage;
    }
    shown(carry_out(&home, &loaded, &services, order), args, &home)
}

/// Why nothing was forgotten.
struct Refused {
    message: String,
    hint: Option<String>,
}

impl From<ForgetError> for Refused {
    fn from(problem: ForgetError) -> Self {
        Refused { message: problem.to_string(), hint: problem.hint().map(str::to_owned) }
    }
}

/// By the daemon, where one runs; else here, under its lock.
fn carry_out(home: &Home, loaded: &Loaded, services: &Services, order: Order) -> Result<Receipt, Refused> {
    let refused = |message: String| Refused { message, hint: None };
    match ask_patiently(home, &Request::Forget { order: order.clone() }) {
        Ok(Response::Forgot(receipt)) => return Ok(*receipt),
        Ok(Response::Error { message, hint }) => return Err(Refused { message, hint }),
        Ok(Response::Ok | Response::Status(_)) => {
            return Err(refused("the daemon did not understand; is it an older version?".into()));
        }
        Err(ControlError::NotRunning(_)) => {}
        Err(problem) => {
            let hint = "what was begun is finished at the daemon's next start, or by the same command".into();
            return Err(Refused { message: problem.to_string(), hint: Some(hint) });
        }
    }
    prepare_home(home).map_err(|problem| refused(problem.to_string()))?;
    let _lock = InstanceLock::take(home).map_err(|problem| refused(problem.to_string()))?;
    let key = services.home_key(home).map_err(|problem| refused(format!("state/home.key: {problem}")))?;
    Ok(forget(home, &loaded.config.decode, key, &order, Timestamp::now())?)
}

fn shown(done: Result<Receipt, Refused>, args: &Args, home: &Home) -> Exit {
    let receipt = match done {
        Ok(receipt) => receipt,
        Err(Refused { message, hint }) => {
            say::error(message, hint.as_deref());
            return Exit::Failure;
        }
    };
    let shown = if args.json { say::json(&receipt) } else { say::page(&page(&receipt, args, home)) };
    if receipt.left.is_empty() {
        return shown;
    }
    for path in &receipt.left {
        say::error(format_args!("{path} still holds it, or could not be looked into"), None);
    }
    Exit::Failure
}

/// The receipt as a person reads it.
fn page(receipt: &Receipt, args: &Args, home: &Home) -> String {
    let mut page = String::new();
    if args.allow.is_some() {
        let _ = writeln!(page, "what {} names is learned again when it is dropped again", receipt.id);
        return page;
    }
    let _ = writeln!(page, "{}", if args.dry_run { "this would go:" } else { "forgotten:" });
    let memory = &receipt.memory;
    let counts = [
        (memory.sessions, "session", "sessions"),
        (memory.messages, "message", "messages"),
        (memory.facts, "statement of fact", "statements of fact"),
        (memory.preferences, "statement of preference", "statements of preference"),
        (memory.users, "user", "users"),
    ];
    for (number, one, many) in counts.into_iter().filter(|(number, ..)| *number > 0) {
        let _ = writeln!(page, "  {}", say::count(number, one, many));
    }
    for (what, number) in &receipt.elsewhere {
        let _ = writeln!(page, "  {what}: {number}");
    }
    if !receipt.tainted.is_empty() {
        let _ = writeln!(
            page,
            "  model versions trained on it, marked and to be trained anew: {}",
            receipt.tainted.join(", ")
        );
    }
    if !args.dry_run {
        let _ = writeln!(page, "receipt: {}", home.receipts().join(format!("{}.json", receipt.id)).display());
    }
    page
}
