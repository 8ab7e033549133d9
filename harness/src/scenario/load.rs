//! Files of scenarios: from disk, or from the suite that this build brings along.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::decode;
use super::known::Known;
use super::model::Scenario;
use crate::document::{Diagnostic, Diagnostics, Source};
use crate::embedded;

/// Largest file that a body may be read from.
const LARGEST_BODY: u64 = 16 * 1024 * 1024;

/// Most files that one folder is searched for.
const MOST_FILES: usize = 20_000;

/// Where `file:` in a body is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Files {
    /// Nowhere: the scenario came as text.
    #[default]
    None,
    /// Beside the scenario, on disk.
    Disk(PathBuf),
    /// Beside the scenario, in this build: the folder, as in `suite/pg`.
    Bundled(String),
}

impl Files {
    /// Reads a file beside the scenario.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let relative = Path::new(path);
        // A scenario may come from anyone; it gets at nothing outside its own folder.
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !inside {
            return Err(format!("`{path}` is no file in the folder of the scenario"));
        }
        match self {
            Self::None => Err("a scenario that is no file has no files beside it".to_owned()),
            Self::Disk(folder) => {
                let full = folder.join(relative);
                let problem = |error: std::io::Error| format!("cannot read `{path}`: {error}");
                let length = std::fs::metadata(&full).map_err(problem)?.len();
                if length > LARGEST_BODY {
                    return Err(format!(
                        "`{path}` has {length} octets, more than {LARGEST_BODY}"
                    ));
                }
                std::fs::read(&full).map_err(problem)
            }
            Self::Bundled(folder) => embedded::file(&format!("{folder}/{path}"))
                .map(<[u8]>::to_vec)
                .ok_or_else(|| format!("the bundled suite has no `{path}` beside this scenario")),
        }
    }
}

/// The text of a scenario, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioFile {
    /// As the user would name it.
    pub name: String,
    /// YAML.
    pub text: String,
    /// Where its files are.
    pub files: Files,
}

impl ScenarioFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let text = read_text(path)
            .map_err(|error| Diagnostics::from(Diagnostic::unreadable(&name, error)))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Ok(Self {
            name,
            text,
            files: Files::Disk(folder),
        })
    }

    /// Reads files and folders; of a folder every `.yaml` below it.
    pub fn read_all<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Self>, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let mut files = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let found = if path.is_dir() {
                yaml_below(path)
            } else {
                Ok(vec![path.to_owned()])
            };
            match found {
                Ok(found) if found.is_empty() => diagnostics.push(Diagnostic::unreadable(
                    &path.display().to_string(),
                    "no .yaml file in this folder",
                )),
                Ok(found) => files.extend(found),
                Err(problem) => {
                    diagnostics.push(Diagnostic::unreadable(&path.display().to_string(), problem));
                }
            }
        }
        let mut all = Vec::with_capacity(files.len());
        for path in files {
            match Self::read(&path) {
                Ok(file) => all.push(file),
                Err(found) => diagnostics.extend(found),
            }
        }
        if diagnostics.is_empty() {
            Ok(all)
        } else {
            Err(diagnostics)
        }
    }

    /// The suite that this build brings along.
    pub fn bundled() -> Vec<Self> {
        embedded::scenarios()
            .map(|(path, text)| {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                Self {
                    name: format!("scenarios/{path}"),
                    text: text.to_owned(),
                    files: Files::Bundled(folder.to_owned()),
                }
            })
            .collect()
    }
}

/// Text of a file; more than the limit of a document is not even read.
pub fn read_text(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > crate::document::tree::MAX_OCTETS as u64 {
        return Err(format!("{length} octets are too many for a document"));
    }
    let octets = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(octets).map_err(|error| {
        format!(
            "not UTF-8 text: octet {} begins no character",
            error.utf8_error().valid_up_to()
        )
    })
}

fn yaml_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            seen += 1;
            if seen > MOST_FILES {
                return Err(format!("more than {MOST_FILES} files below this folder"));
            }
            // A link is not followed: it may lead back up.
            let kind = entry.file_type().map_err(|error| error.to_string())?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Looks at one file: the scenario, as far as it can be used, and everything that is wrong.
pub fn check(file: &ScenarioFile, known: &Known) -> (Option<Scenario>, Diagnostics) {
    let source = Arc::new(Source::new(&file.name, &file.text));
    decode::scenario(&source, &file.files, known)
}

/// Loads one scenario from disk. Warnings are dropped.
pub fn load_file(path: &Path, known: &Known) -> Result<Scenario, Diagnostics> {
    load(&ScenarioFile::read(path)?, known)
}

/// Loads one scenario from text. Warnings are dropped.
pub fn load_str(text: &str, name: &str, known: &Known) -> Result<Scenario, Diagnostics> {
    load(
        &ScenarioFile {
            name: name.to_owned(),
            text: text.to_owned(),
            files: Files::None,
        },
        known,
    )
}

fn load(file: &ScenarioFile, known: &Known) -> Result<Scenario, Diagnostics> {
    match check(file, known) {
        (Some(scenario), diagnostics) if diagnostics.are_warnings_only() => Ok(scenario),
        (_, diagnostics) => Err(diagnostics),
    }
}

/// Looks at all files of a suite, also at what only shows when they stand side by side.
pub fn check_suite(files: &[ScenarioFile], known: &Known) -> (Vec<Arc<Scenario>>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let mut scenarios: BTreeMap<String, Arc<Scenario>> = BTreeMap::new();
    for file in files {
        let (scenario, found) = check(file, known);
        let usable = found.are_warnings_only();
        diagnostics.extend(found);
        let Some(scenario) = scenario else {
            continue;
        };
        if let Some(first) = scenarios.get(&scenario.id) {
            let (id, other) = (scenario.written.id_span(), first.written.id_span());
            diagnostics.push(
                Diagnostic::error(
                    &scenario.written.source,
                    &id,
                    format!("id `{}` is taken", scenario.id),
                )
                .expected("expected an id that no other file has")
                .related(&first.written.source, &other, "taken here"),
            );
        } else if usable {
            scenarios.insert(scenario.id.clone(), Arc::new(scenario));
        }
    }
    (scenarios.into_values().collect(), diagnostics)
}

/// Loads a suite, in the order of ids. Warnings are dropped.
pub fn load_suite(
    files: &[ScenarioFile],
    known: &Known,
) -> Result<Vec<Arc<Scenario>>, Diagnostics> {
    match check_suite(files, known) {
        (scenarios, diagnostics) if diagnostics.are_warnings_only() => Ok(scenarios),
        (_, diagnostics) => Err(diagnostics),
    }
}
