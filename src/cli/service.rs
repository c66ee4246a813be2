use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::{Exit, open, say};
use crate::daemon::{Services, home_of};
use crate::platform;
use crate::service::{Failed, Plan, Service, Step, System};

/// Added to the daemon's own deadline for stopping, in seconds.
const STOP_MARGIN: u64 = 20;

/// Options of `atles service`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
    /// The service's name, for more than one home on a machine: letters, digits, `-` and `_`.
    #[arg(long, global = true, default_value = "atles", value_parser = plain_name)]
    name: String,
    /// Show what would be written and run, and do nothing.
    #[arg(long, global = true)]
    print: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
enum Verb {
    /// Have the daemon started at every login, and now.
    Install,
    /// Stop it and take it out again. Nothing that was learned is touched.
    Uninstall,
    /// Start it.
    Start,
    /// Stop it until the next login.
    Stop,
    /// Tell how the service is. What the daemon does, `atles status` tells.
    Status,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let Some(system) = System::here() else {
        say::error(
            "no service manager is known on this system",
            Some("start `atles run` at login by other means"),
        );
        return Exit::Failure;
    };
    let plan = match service(config, &args.name, args.verb) {
        Ok(service) => system.plan(&service),
        Err(exit) => return exit,
    };
    if args.print {
        return say::data(&shown(&plan, args.verb));
    }
    match carry_out(&plan, args.verb) {
        Ok(()) => {
            match args.verb {
                Verb::Install => eprintln!("installed {}; {}", plan.definition.path.display(), plan.hint),
                Verb::Uninstall => eprintln!("the service is gone; what was learned stays"),
                Verb::Start | Verb::Stop | Verb::Status => {}
            }
            Exit::Fine
        }
        // Service managers tell by their exit code that a service does not run, and have said so.
        Err(Failed::Refused { .. }) if args.verb == Verb::Status => Exit::NotRunning,
        Err(problem) => {
            let hint = match &problem {
                Failed::Missing { .. } => {
                    "is there a service manager for this user? `--print` shows what would be run"
                }
                Failed::Definition { .. } => "check that the folder belongs to you",
                Failed::Refused { .. } => "its own words stand above",
            };
            say::error(&problem, Some(hint));
            Exit::Failure
        }
    }
}

fn plain_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let fits = (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-');
    if fits { Ok(name.to_owned()) } else { Err("1 to 64 letters, digits, - and _".to_owned()) }
}

fn service(config: Option<&Path>, name: &str, verb: Verb) -> Result<Service, Exit> {
    let cannot = |what: &str| {
        say::error(what, None);
        Exit::Failure
    };
    let program = std::env::current_exe().map_err(|_| cannot("cannot find this program's own file"))?;
    let user_home =
        platform::user_home().ok_or_else(|| cannot("cannot find your home folder: $HOME is not set"))?;
    let service = |config: PathBuf, log: PathBuf, deadline: u64| Service {
        name: name.to_owned(),
        program: program.clone(),
        config,
        log,
        stop_seconds: deadline + STOP_MARGIN,
        user_home: user_home.clone(),
        user: platform::user_number(),
    };
    if verb != Verb::Install {
        // The others name the service and nothing else: they work without a pipeline.toml, or with a wrong one.
        return Ok(service(PathBuf::from("pipeline.toml"), PathBuf::new(), 0));
    }
    // A service that could not start is not installed.
    let loaded = open::config(config, &Services::default())?;
    let home = home_of(&loaded.config);
    home.prepare().map_err(|problem| {
        say::error(&problem, Some(problem.hint()));
        Exit::Failure
    })?;
    let path = std::path::absolute(&loaded.path).unwrap_or(loaded.path);
    Ok(service(path, home.logs().join("service.log"), loaded.config.settings.shutdown.deadline.0.as_secs()))
}

fn steps(plan: &Plan, verb: Verb) -> Vec<&Step> {
    match verb {
        Verb::Install => plan.install.iter().collect(),
        Verb::Uninstall => plan.uninstall.iter().collect(),
        Verb::Start => plan.start.iter().collect(),
        Verb::Stop => plan.stop.iter().collect(),
        Verb::Status => plan.status.iter().collect(),
    }
}

fn carry_out(plan: &Plan, verb: Verb) -> Result<(), Failed> {
    if verb == Verb::Install {
        plan.definition.write()?;
    }
    steps(plan, verb).into_iter().try_for_each(|step| step.run().map(drop))?;
    if verb == Verb::Uninstall {
        plan.definition.delete()?;
        plan.afterwards.iter().try_for_each(|step| step.run().map(drop))?;
    }
    Ok(())
}

/// What a verb comes to, as a script with remarks.
fn shown(plan: &Plan, verb: Verb) -> String {
    let mut page = String::new();
    let path = plan.definition.path.display();
    if verb == Verb::Install {
        let _ = writeln!(page, "# written to {path}:\n{}\n# then run:", plan.definition.text);
    }
    for step in steps(plan, verb) {
        let _ = writeln!(page, "{}", step.shown());
    }
    if verb == Verb::Uninstall {
        let _ = writeln!(page, "# then {path} is deleted");
        for step in &plan.afterwards {
            let _ = writeln!(page, "{}", step.shown());
        }
    }
    page
}
