use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::chain::Chain;
use super::peel::{Finding, Peeled, Table, find, peel};
use super::validate::{Fault, faults, folder_faults, source_faults};
use super::{Diagnostics, OnError, Retry, Settings, SourceSettings, VERSION};
use crate::pipeline::{Services, Stage, When};
use crate::sources::ObserverSettings;
use crate::stages::decode::Decode;
use crate::stages::kinds::{KINDS, Kind};

/// The largest pipeline.toml that is read, in bytes. A larger file is no pipeline.toml.
const LARGEST: u64 = 4 << 20;

/// The pipeline.toml that `atles init` writes: complete, commented, and equal to the defaults.
pub fn default_pipeline() -> &'static str {
    include_str!("../../pipeline.toml")
}

/// A pipeline.toml that can be run.
pub struct Config {
    /// Everything but the stages, as written.
    pub settings: Settings,
    /// The folders, absolute.
    pub folders: Folders,
    /// The folders of other programs.
    pub sources: Vec<ObserverSettings>,
    /// How files are turned into sessions.
    pub decode: Decode,
    /// Hash of `decode`; a change of it makes every checkpoint of a session worthless.
    pub decode_hash: [u8; 32],
    /// The chain, without the stages that are switched off.
    pub stages: Vec<StageEntry>,
}

/// The folders of one home, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The home.
    pub home: PathBuf,
    /// Where files are dropped.
    pub spool: PathBuf,
    /// Where learned files rest.
    pub done: PathBuf,
    /// Where failed files rest.
    pub failed: PathBuf,
    /// Where claimed files are worked on.
    pub work: PathBuf,
}

/// One stage of the chain.
pub struct StageEntry {
    /// Its name, unique in the chain.
    pub name: String,
    /// What it does.
    pub kind: &'static str,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// What becomes of the session when it fails for good.
    pub on_error: OnError,
    /// Where it is skipped.
    pub when: Option<When>,
    /// How often it is tried.
    pub retry: Retry,
    /// BLAKE3 over the kind, its settings and `when`: a change makes checkpoints from here on worthless.
    pub settings_hash: [u8; 32],
    /// The stage itself.
    pub stage: Box<dyn Stage>,
}

/// Where a pipeline.toml comes from and what its stages are built with.
pub struct Source<'a> {
    /// The file's name in diagnostics.
    pub name: &'a str,
    /// The folder that relative paths are read from, absolute.
    pub dir: &'a Path,
    /// Makes what stages are built with, given the home and the folder of pipeline.toml.
    pub services: &'a dyn Fn(&Path, &Path) -> Services,
    /// The kinds of stage there are.
    pub kinds: &'static [Kind],
}

/// A pipeline.toml from a file.
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is odd about it, if anything.
    pub warnings: Diagnostics,
    /// The file, absolute.
    pub path: PathBuf,
    /// BLAKE3 of its text.
    pub text_hash: [u8; 32],
}

impl Loaded {
    /// Whether the file's text is another than the one that was read.
    pub fn has_changed(&self) -> io::Result<bool> {
        Ok(*blake3::hash(&std::fs::read(&self.path)?).as_bytes() != self.text_hash)
    }
}

/// Reads a pipeline.toml. `services` makes what stages are built with, given the home and the folder of the file.
pub fn load(path: &Path, services: &dyn Fn(&Path, &Path) -> Services) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let unreadable = |message: String, hint: &str| {
        let mut all = Diagnostics::new(name.as_str(), "");
        all.error(None, message, hint.to_owned());
        all
    };
    let read = || -> io::Result<(PathBuf, Vec<u8>)> {
        let path = std::path::absolute(path)?;
        if std::fs::metadata(&path)?.len() > LARGEST {
            return Err(io::Error::other("the file is larger than 4MiB"));
        }
        Ok((path.clone(), std::fs::read(path)?))
    };
    let (path, bytes) = read().map_err(|error| {
        unreadable(
            format!("cannot be read: {error}"),
            "`atles init` writes a complete, commented pipeline.toml",
        )
    })?;
    let text_hash = *blake3::hash(&bytes).as_bytes();
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count()
                + 1;
        unreadable(format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })?;
    let dir = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let (config, warnings) = parse(&text, &Source { name: &name, dir: &dir, services, kinds: KINDS })?;
    Ok(Loaded { config, warnings, path, text_hash })
}

/// The folders that a pipeline.toml names, without its stages. `None` if anything is odd about it: then [`load`] says
/// what.
pub fn folders(path: &Path) -> Option<Folders> {
    settings_and_folders(path).map(|(_, folders)| folders)
}

/// What a pipeline.toml says beside its stages. `None` if anything is odd about it: then [`load`] says what.
pub fn settings_and_folders(path: &Path) -> Option<(Settings, Folders)> {
    let path = std::path::absolute(path).ok()?;
    if std::fs::metadata(&path).ok()?.len() > LARGEST {
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let mut root = DeTable::parse(&text).ok()?;
    let version = root.get_mut().remove("version")?;
    if version.get_ref().as_integer()?.as_str() != VERSION.to_string() {
        return None;
    }
    root.get_mut().remove("stage");
    let Peeled { value, findings, .. } = peel::<Settings>(root, &[]);
    let settings = value.filter(|_| findings.is_empty())?;
    let folders = Folders::of(&settings, path.parent()?);
    (faults(&settings).is_empty() && folder_faults(&folders).is_empty()).then_some((settings, folders))
}

/// Reads the text of a pipeline.toml, and says all that is wrong with it at once. Touches neither disk nor network.
/// With a configuration come its warnings.
pub fn parse(text: &str, source: &Source<'_>) -> Result<(Config, Diagnostics), Diagnostics> {
    let mut reader = Reader { source, found: Diagnostics::new(source.name, text), text };
    let config = reader.file();
    reader.found.sort();
    match config {
        Some(config) if !reader.found.is_error() => Ok((config, reader.found)),
        _ => Err(reader.found),
    }
}

/// One reading of one text.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) text: &'a str,
    pub(super) found: Diagnostics,
}

impl Reader<'_> {
    fn file(&mut self) -> Option<Config> {
        let mut root = match DeTable::parse(self.text) {
            Ok(root) => root,
            Err(error) => {
                self.found.error(error.span(), error.message().trim(), None);
                return None;
            }
        };
        let version = root.get_mut().remove("version");
        let stages = root.get_mut().remove("stage");
        if !self.version(version) {
            return None;
        }
        self.sections(&mut root);
        let Peeled { value, findings, left, touched } =
            peel::<Settings>(root, &["version".to_owned(), "stage".to_owned()]);
        self.note(findings);
        let settings = value.unwrap_or_default();
        let folders = Folders::of(&settings, self.source.dir);
        let mut wrong = faults(&settings);
        wrong.extend(folder_faults(&folders));
        wrong.extend(source_faults(&settings, &sources_of(&settings, self.source.dir), &folders));
        self.blame(wrong, &left, &touched);

        let services = (self.source.services)(&folders.home, self.source.dir);
        let chain = match stages {
            Some(stages) => self.chain(stages, &settings.retry, &services),
            None => self.default_chain(&settings.retry, &services),
        };
        let Chain { decode, stages } = chain;
        let (decode, decode_hash) = decode?;
        let sources = sources_of(&settings, self.source.dir);
        Some(Config { settings, folders, sources, decode, decode_hash, stages })
    }

    /// Takes out sections that are no tables. Serde would read a list as a table's values in their order.
    fn sections(&mut self, root: &mut Table<'_>) {
        let Ok(serde_json::Value::Object(known)) = serde_json::to_value(Settings::default()) else { return };
        for (section, default) in &known {
            let many = default.is_array();
            let fits = |value: &DeValue<'_>| if many { is_tables(value) } else { value.is_table() };
            if root.get_ref().get(section.as_str()).is_none_or(|value| fits(value.get_ref())) {
                continue;
            }
            if many && let Some(value) = root.get_mut().remove(section.as_str()) {
                let hint = format!("each begins with `[[{section}]]`, with two brackets");
                self.found.error(value.span(), format!("`{section}` is not a list of tables"), hint);
                continue;
            }
            if let Some(value) = root.get_mut().remove(section.as_str()) {
                let message =
                    format!("`{section}` is a table, not a value of type {}", value.get_ref().type_str());
                self.found.error(value.span(), message, format!("its keys follow a line `[{section}]`"));
            }
        }
    }

    /// Whether the file is of a version that can be read. One that is not is left alone: its other keys mean who
    /// knows what.
    fn version(&mut self, version: Option<Spanned<DeValue<'_>>>) -> bool {
        let Some(version) = version else {
            self.found.warning(
                None,
                format!("no `version`: read as version {VERSION}"),
                format!("write `version = {VERSION}` at the top"),
            );
            return true;
        };
        let number = version.get_ref().as_integer();
        let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        match number {
            Some(VERSION) => true,
            Some(newer) if newer > VERSION => {
                let message = format!(
                    "version {newer} of pipeline.toml is newer than this atles, which reads {VERSION}"
                );
                let hint =
                    format!("update atles, or begin anew from `atles init`, which writes version {VERSION}");
                self.found.error(version.span(), message, hint);
                false
            }
            _ => {
                let hint = format!("write `version = {VERSION}`");
                self.found.error(version.span(), "there is no such version of pipeline.toml", hint);
                false
            }
        }
    }

    pub(super) fn note(&mut self, findings: Vec<Finding>) {
        for Finding { span, message, hint } in findings {
            self.found.error(span, message, hint);
        }
    }

    /// Shows faults at their keys, save those that come of a value that was taken out.
    fn blame(&mut self, faults: Vec<Fault>, table: &Table<'_>, touched: &[String]) {
        let stands_in = |key: &String| {
            let below = |path: &String| {
                key.strip_prefix(path.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('.'))
            };
            touched.iter().any(below)
        };
        for Fault { keys, message, hint } in faults {
            if keys.iter().any(stands_in) {
                continue;
            }
            let places: Vec<_> = keys.iter().filter_map(|key| find(table.get_ref(), key)).collect();
            let place = places.iter().find(|place| place.exact).or(places.first());
            self.found.error(place.map(|place| place.span.clone()), message, hint);
        }
    }
}

fn is_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| item.get_ref().is_table()))
}

/// A path in pipeline.toml as an absolute one; `~/` is the user's home folder, where there is one.
fn absolute(path: &Path, dir: &Path) -> PathBuf {
    let home = || std::env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from);
    match path.strip_prefix("~").ok().zip(home()) {
        Some((below, home)) => lexically_normal(&home.join(below)),
        None => lexically_normal(&dir.join(path)),
    }
}

/// The sources of a configuration without mistakes, with absolute paths.
fn sources_of(settings: &Settings, dir: &Path) -> Vec<ObserverSettings> {
    let source = |source: &SourceSettings| {
        Some(ObserverSettings {
            path: absolute(&source.path, dir),
            program: source.format?,
            quiet: source.quiet.0,
            user: source.user.clone(),
        })
    };
    settings.source.iter().filter_map(source).collect()
}

impl Folders {
    fn of(settings: &Settings, dir: &Path) -> Self {
        let home = lexically_normal(&dir.join(&settings.home.path));
        let spool = &settings.spool;
        let folder = |path: &Option<PathBuf>, name: &str| match path {
            Some(path) => lexically_normal(&dir.join(path)),
            None => home.join(name),
        };
        Folders {
            spool: folder(&spool.path, "spool"),
            done: folder(&spool.done, "done"),
            failed: folder(&spool.failed, "failed"),
            work: folder(&spool.work, "work"),
            home,
        }
    }
}

/// The folders that a pipeline.toml names, whatever else is wrong with it; the default ones where it cannot be read
/// as TOML at all. `None` if there is no such file.
pub fn folders_despite_errors(path: &Path) -> Option<Folders> {
    let text = std::fs::read_to_string(path).ok()?;
    let dir = std::path::absolute(path).ok()?.parent()?.to_path_buf();
    let table: toml::Table = text.parse().unwrap_or_default();
    let named = |section: &str, key: &str| {
        table.get(section).and_then(|section| section.get(key)?.as_str()).map(PathBuf::from)
    };
    let mut settings = Settings::default();
    if let Some(home) = named("home", "path") {
        settings.home.path = home;
    }
    let spool = &mut settings.spool;
    for (key, folder) in [
        ("path", &mut spool.path),
        ("done", &mut spool.done),
        ("failed", &mut spool.failed),
        ("work", &mut spool.work),
    ] {
        *folder = named("spool", key);
    }
    Some(Folders::of(&settings, &dir))
}

/// Without `.` and `..`, as far as that can be done without looking at the disk.
fn lexically_normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            Component::ParentDir if normal.has_root() => {}
            part => normal.push(part),
        }
    }
    normal
}
