//! Tools: the programs that tests, fuzzing and the benchmark need, at pinned versions.
//!
//! In: the tables below. Out: `<cache>/holdfast/tools/<name>/<version>/<binary>`, made in a temporary folder and renamed, so that a
//! tool is there whole or not at all; Debian packages through apt-get. Never: rebuilds what is there, never touches another version.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{clock::Stopwatch, process, quantity, workspace::Workspace};

mod debian;
mod install;

pub(crate) use debian::Need;

/// What to install.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also what only `test --all` and `bench --all` use: further stores and a peer with a long build
    #[arg(long)]
    pub(crate) all: bool,
    /// Only these tools
    names: Vec<String>,
}

/// Who wants a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// `cargo xtask test`.
    Test,
    /// Only with `--all`.
    All,
}

/// How a tool is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// `cargo install` of this package; `quick` trades speed of the tool for speed of its build.
    Cargo { package: &'static str, arguments: &'static [&'static str], quick: bool },
    /// `go install` of this package.
    Go { package: &'static str },
    /// `npm install` of the package of the same name, whose program is `program`.
    Npm { program: &'static str },
    /// A Python of its own with exactly the packages that this file of the workspace lists.
    Python { requirements: &'static str },
}

/// One pinned program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) source: Source,
    pub(crate) wanted_by: Use,
}

/// The test runner.
pub(crate) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.151",
    source: Source::Cargo { package: "cargo-nextest", arguments: &["--no-default-features"], quick: true },
    wanted_by: Use::Test,
};
/// Drives the fuzz targets.
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    source: Source::Cargo { package: "cargo-fuzz", arguments: &[], quick: true },
    wanted_by: Use::Test,
};
/// An S3 server over a directory, light enough for every test.
pub(crate) const VERSITYGW: Tool = Tool {
    name: "versitygw",
    version: "v1.8.0",
    source: Source::Go { package: "github.com/versity/versitygw/cmd/versitygw" },
    wanted_by: Use::Test,
};
const MINIO: Tool = Tool {
    name: "minio",
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
    source: Source::Go { package: "github.com/minio/minio" },
    wanted_by: Use::All,
};
const AZURITE: Tool =
    Tool { name: "azurite", version: "3.37.0", source: Source::Npm { program: "azurite-blob" }, wanted_by: Use::All };
/// A peer in the benchmark, built as its authors build it.
pub(crate) const RUSTIC: Tool = Tool {
    name: "rustic",
    version: "0.11.4",
    source: Source::Cargo { package: "rustic-rs", arguments: &[], quick: false },
    wanted_by: Use::All,
};
/// What the independent reader of the format runs in. Its version is ours: raise it when the list of packages changes.
pub(crate) const READER_PYTHON: Tool = Tool {
    name: "reader-python",
    version: "1",
    source: Source::Python { requirements: "tests/reader/requirements.txt" },
    wanted_by: Use::Test,
};
static TOOLS: [Tool; 7] = [NEXTEST, FUZZ, VERSITYGW, READER_PYTHON, MINIO, AZURITE, RUSTIC];

/// Installs everything that is asked for; tools that fail are all named at the end.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut failures = Vec::new();
    if options.names.is_empty()
        && let Err(error) = debian::install(&[Need::Test, Need::Bench])
    {
        failures.push(format!("{error:#}"));
    }
    for tool in wanted(options)? {
        match ensure(workspace, tool) {
            Ok(binary) => println!("{} {}: {}", tool.name, tool.version, binary.display()),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\nxtask: ")) }
}

fn wanted(options: &Options) -> Result<Vec<&'static Tool>> {
    if options.names.is_empty() {
        return Ok(TOOLS.iter().filter(|tool| options.all || tool.wanted_by == Use::Test).collect());
    }
    let find = |name: &String| {
        let known = || TOOLS.map(|tool| tool.name).join(", ");
        TOOLS
            .iter()
            .find(|tool| tool.name == name)
            .with_context(|| format!("there is no tool {name}; there are {}", known()))
    };
    options.names.iter().map(find).collect()
}

/// Debian packages for tests or the benchmark.
pub(crate) fn ensure_debian(needs: &[Need]) -> Result<()> {
    debian::install(needs)
}

/// The tool's binary; built when it is not there yet.
pub(crate) fn ensure(workspace: &Workspace, tool: &Tool) -> Result<PathBuf> {
    let family = cache()?.join("tools").join(tool.name);
    let binary = family.join(tool.version).join(tool.name);
    if binary.is_file() {
        return Ok(binary);
    }
    let building = family.join(format!(".building-{}", std::process::id()));
    let watch = Stopwatch::start();
    eprintln!("xtask: installing {} {} (once)", tool.name, tool.version);
    let made = fresh_folder(&building).and_then(|()| install::into(workspace, tool, &building));
    let placed = made.and_then(|()| place(&building, &family.join(tool.version), tool.name));
    if building.exists() {
        fs::remove_dir_all(&building).with_context(|| format!("{} could not be removed", building.display()))?;
    }
    placed.with_context(|| format!("{} {} could not be installed", tool.name, tool.version))?;
    eprintln!("xtask: {} {} installed in {}", tool.name, tool.version, quantity::seconds(watch.seconds()));
    Ok(binary)
}

/// The tool's binary if it is there; builds nothing.
pub(crate) fn present(tool: &Tool) -> Option<PathBuf> {
    let binary = cache().ok()?.join("tools").join(tool.name).join(tool.version).join(tool.name);
    binary.is_file().then_some(binary)
}

/// `HOLDFAST_TOOL_<NAME>` for every tool that tests start themselves and that is installed; they look there.
pub(crate) fn environment() -> Vec<(String, PathBuf)> {
    let started_by_tests = [VERSITYGW, READER_PYTHON, MINIO, AZURITE];
    let variable = |tool: &Tool| format!("HOLDFAST_TOOL_{}", tool.name.to_uppercase().replace('-', "_"));
    let named = |tool: &Tool| present(tool).map(|binary| (variable(tool), binary));
    started_by_tests.iter().filter_map(named).collect()
}

/// The tools only `--all` asks for and that tests use.
pub(crate) fn further_stores() -> [Tool; 2] {
    [MINIO, AZURITE]
}

/// `${XDG_CACHE_HOME:-$HOME/.cache}/holdfast`.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base =
        set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set; set one, tools are kept there")?.join("holdfast"))
}

fn fresh_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} could not be removed", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} could not be created", folder.display()))
}

/// Renames the finished folder to its place. Somebody else may have been faster: then theirs stays.
fn place(building: &Path, place: &Path, name: &str) -> Result<()> {
    if !building.join(name).is_file() {
        bail!("its installation succeeded but made no {name}");
    }
    if place.join(name).is_file() {
        return Ok(());
    }
    if place.exists() {
        fs::remove_dir_all(place)
            .with_context(|| format!("{} holds no {name} and could not be removed", place.display()))?;
    }
    let renamed = fs::rename(building, place);
    if renamed.is_err() && place.join(name).is_file() {
        return Ok(());
    }
    renamed.with_context(|| format!("{} could not be renamed to {}", building.display(), place.display()))
}

/// The program that builds a tool, or what to do to get it.
fn builder(name: &str, advice: &str) -> Result<PathBuf> {
    process::find_program(name).with_context(|| format!("{name} is not on PATH; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: bool, names: &[&str]) -> Result<Vec<&'static str>> {
        let options = Options { all, names: names.iter().map(|&name| name.to_owned()).collect() };
        Ok(wanted(&options)?.iter().map(|tool| tool.name).collect())
    }

    #[test]
    fn tools_are_chosen_by_use_or_by_name() {
        assert_eq!(
            names(false, &[]).expect("nothing was named"),
            ["cargo-nextest", "cargo-fuzz", "versitygw", "reader-python"]
        );
        assert_eq!(names(true, &[]).expect("nothing was named").len(), TOOLS.len());
        assert_eq!(names(false, &["minio"]).expect("minio is known"), ["minio"]);
        let error = names(false, &["mino"]).expect_err("there is no such tool").to_string();
        assert!(error.contains("there is no tool mino") && error.contains("minio"), "{error}");
    }

    #[test]
    fn a_tool_is_placed_whole_and_a_present_one_is_kept() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../target/xtask")
            .join(format!("place-{}", std::process::id()));
        let (building, place_at) = (folder.join("building"), folder.join("1.0"));
        fresh_folder(&building).expect("a folder below target can be made");
        assert!(place(&building, &place_at, "tool").is_err(), "nothing was made");
        fs::create_dir_all(&place_at).expect("a half-made place");
        fs::write(building.join("tool"), "new").expect("the tool");
        place(&building, &place_at, "tool").expect("a place without the tool is taken over");
        fresh_folder(&building).expect("a folder below target can be made");
        fs::write(building.join("tool"), "newer").expect("the tool");
        place(&building, &place_at, "tool").expect("somebody else was faster");
        assert_eq!(fs::read_to_string(place_at.join("tool")).expect("the tool is there"), "new");
        fs::remove_dir_all(&folder).expect("our own folder can be removed");
    }
}
