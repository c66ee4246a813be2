use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Exit, open, say};
use crate::config::default_pipeline;
use crate::daemon::home_of;

/// Options of `atles init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to put pipeline.toml and the home into.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let path = config.map_or_else(|| args.folder.join("pipeline.toml"), Path::to_path_buf);
    match write(&path) {
        Ok(true) => eprintln!("wrote {}", path.display()),
        Ok(false) => eprintln!("{} is there already and stays as it is", path.display()),
        Err(problem) => {
            say::error(format_args!("cannot write {}: {problem}", path.display()), None);
            return Exit::Failure;
        }
    }
    let loaded = match open::config(Some(&path), &crate::daemon::Services::default()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let home = home_of(&loaded.config);
    if let Err(problem) = home.prepare() {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    eprintln!("the home is {}", home.root.display());
    eprintln!(
        "\nnext:\n  atles run                      start the daemon\n  drop session files into        {}",
        home.spool.display()
    );
    Exit::Fine
}

/// `false` if there is one already: it is somebody's work.
fn write(path: &Path) -> std::io::Result<bool> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(default_pipeline().as_bytes()).map(|()| true),
        Err(problem) if problem.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(problem) => Err(problem),
    }
}
