use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(not(feature = "trainer"))]
use super::models_embedding;
use super::{
    Exit, check, demo, eval, export, failed, forget, import, init, profile, rebuild, recall, run, say,
    service, status, submit,
};
#[cfg(feature = "trainer")]
use super::{models, train};

/// Learns from the chats of an assistant: drop the file of a finished session into a folder, it is learned.
#[derive(Debug, Parser)]
#[command(name = "atles", version, max_term_width = 100)]
pub struct Cli {
    /// The pipeline.toml to use. Without it: $ATLES_CONFIG, ./pipeline.toml, then the user's configuration folder.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a complete, commented pipeline.toml and make the home.
    Init(init::Args),
    /// Check pipeline.toml; with --dry-run, show what the chain would do to one file.
    Check(check::Args),
    /// Run the daemon.
    Run(run::Args),
    /// Learn the sample sessions in a fresh home and show what came of it.
    Demo(demo::Args),
    /// Copy session files into the spool.
    Submit(submit::Args),
    /// Import exports of other chat programs.
    Import(import::Args),
    /// Tell what the daemon does, or what lies in the folders when none runs.
    Status(status::Args),
    /// Look at the dead letters, and have them tried again.
    Failed(failed::Args),
    /// Find what earlier chats say to a question.
    Recall(recall::Args),
    /// Show what is known of a user.
    Profile(profile::Args),
    /// Fine-tune the model on what was collected, or tell what waits for that.
    #[cfg(feature = "trainer")]
    Train(train::Args),
    /// The base models, and the versions trained from them.
    #[cfg(feature = "trainer")]
    Models(models::Args),
    /// Take something back: out of memory, training data, logs and the dropped files.
    Forget(forget::Args),
    /// Make memory.db anew from done/, with today's pipeline.
    Rebuild(rebuild::Args),
    /// Write out what was learned.
    Export(export::Args),
    /// Have the daemon run whenever you are logged in.
    Service(service::Args),
    /// Measure how much is found.
    Eval(eval::Args),
    /// Fetch what recall can use beside words.
    #[cfg(not(feature = "trainer"))]
    Models(models_embedding::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine }.into();
        }
    };
    let config = cli.config.as_deref();
    let exit = match cli.verb {
        Verb::Init(args) => init::run(config, &args),
        Verb::Check(args) => check::run(config, &args),
        Verb::Run(args) => run::run(config, &args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Submit(args) => submit::run(config, &args),
        Verb::Import(args) => import::run(config, &args),
        Verb::Status(args) => status::run(config, &args),
        Verb::Failed(args) => failed::run(config, &args),
        Verb::Recall(args) => recall::run(config, &args),
        Verb::Profile(args) => profile::run(config, &args),
        #[cfg(feature = "trainer")]
        Verb::Models(args) => models::run(config, &args),
        #[cfg(feature = "trainer")]
        Verb::Train(args) => train::run(config, &args),
        Verb::Forget(args) => forget::run(config, &args),
        Verb::Rebuild(args) => rebuild::run(config, &args),
        Verb::Export(args) => export::run(config, &args),
        Verb::Service(args) => service::run(config, &args),
        Verb::Eval(args) => eval::run(config, &args),
        #[cfg(not(feature = "trainer"))]
        Verb::Models(args) => models_embedding::run(&args),
        Verb::Completions { shell } => {
            // Not straight to stdout: clap panics where a reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "atles", &mut script);
            say::data(&String::from_utf8_lossy(&script))
        }
    };
    exit.into()
}
