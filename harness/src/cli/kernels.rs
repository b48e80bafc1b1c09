//! `cargo xtask kernels list | fetch | update`: what the manifest's kernels resolved to.
//!
//! In: parsed arguments and the repository. Out: a table or JSON on standard output; the lock
//! and the cache brought up to date. Progress goes to standard error.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::tell;
use crate::{
    columns,
    exit::Result,
    image::spec::ImageSpec,
    kernels::manifest::{self, Kernel, Manifest, Source},
    kernels::{
        ReadyKernel,
        apt::AptArchive,
        cache::{Cache, Found},
        fetch::{Fetcher, Options, Pinned},
        lock::{Lock, LockedKernel},
        resolve::{self, Decision},
    },
    progress::Progress,
    setup::{self, Asked, Job, Setup},
};

/// What to do about kernels.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum KernelsCommand {
    /// Show the kernels of kernels.toml and what they resolved to
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Show the series that the suites have instead
        #[arg(long)]
        offered: bool,
        /// Don't install anything
        #[arg(long)]
        no_setup: bool,
    },
    /// Bring kernels into the cache
    Fetch {
        /// Names or globs; all without any
        #[arg(value_name = "NAME|GLOB")]
        kernels: Vec<String>,
        /// Fail if kernels.lock would have to change
        #[arg(long)]
        locked: bool,
        /// Fail if the cache doesn't have them
        #[arg(long)]
        offline: bool,
        /// Don't install anything
        #[arg(long)]
        no_setup: bool,
    },
    /// Pin the newest build of each series in kernels.lock
    Update {
        /// Names or globs; all without any
        #[arg(value_name = "NAME|GLOB")]
        kernels: Vec<String>,
        /// Don't install anything
        #[arg(long)]
        no_setup: bool,
    },
}

/// One row of `list`, and its JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    source: String,
    release: Option<&'a str>,
    version: Option<&'a str>,
    suite: Option<&'a str>,
    modules: Option<bool>,
    /// `yes`, `no` or `altered`.
    cached: Option<&'static str>,
}

/// One row of `list --offered`, and its JSON.
#[derive(Debug, Serialize)]
struct Offered {
    flavour: String,
    series: String,
    newest: String,
}

/// Runs one of the commands in a repository.
pub fn run(command: &KernelsCommand, repository: &Path, progress: &dyn Progress) -> Result {
    let manifest = Manifest::load(&repository.join("kernels.toml"))?;
    let cache = Cache::of_user()?;
    let fetcher = Fetcher {
        manifest: &manifest,
        lock_path: &repository.join("kernels.lock"),
        cache: &cache,
        archive: &AptArchive::new(cache.root().join("apt"), &manifest.suites, progress),
        progress,
    };
    let asked = Asked::from(&ImageSpec::load(&repository.join("images"))?);
    let set_up = |no_setup: bool| {
        let needs = setup::needed_for(Job::Kernels, asked);
        Setup::new(&cache, no_setup, progress).ensure(&needs)
    };
    match command {
        KernelsCommand::List {
            json,
            offered: false,
            ..
        } => list(&fetcher, *json),
        KernelsCommand::List { json, no_setup, .. } => {
            set_up(*no_setup)?;
            list_offered(&fetcher, *json)
        }
        KernelsCommand::Fetch {
            kernels,
            locked,
            offline,
            no_setup,
        } => {
            let kernels = manifest::select(&manifest.kernels, kernels)?;
            set_up(*no_setup)?;
            let options = Options {
                locked: *locked,
                offline: *offline,
                modules: asked.modules,
            };
            let ready = fetcher.ready(&kernels, options)?.all()?;
            tell::out(&ready.iter().map(ready_line).collect::<String>())
        }
        KernelsCommand::Update { kernels, no_setup } => {
            let kernels = manifest::select(&manifest.kernels, kernels)?;
            set_up(*no_setup)?;
            let pinned = fetcher.update(&kernels)?;
            tell::out(&pinned.iter().map(pinned_line).collect::<String>())
        }
    }
}

fn list(fetcher: &Fetcher<'_>, json: bool) -> Result {
    let lock = Lock::load(fetcher.lock_path)?;
    let kernels = fetcher.manifest.kernels.iter();
    let rows = kernels.map(|kernel| row(kernel, fetcher.manifest, &lock, fetcher.cache));
    let rows: Vec<_> = rows.collect();
    print(json, &rows, &table(&rows))
}

fn list_offered(fetcher: &Fetcher<'_>, json: bool) -> Result {
    // The private apt root is one of the things that the lock protects.
    let guard = fetcher.cache.lock(fetcher.progress)?;
    let rows = offered(fetcher);
    fetcher.progress.idle();
    drop(guard);
    let rows = rows?;
    print(json, &rows, &offered_table(&rows))
}

fn ready_line(kernel: &ReadyKernel) -> String {
    let version = kernel.package_version.as_deref();
    let version = version.unwrap_or("of your own");
    format!("{}\t{}\t{version}\n", kernel.name, kernel.release)
}

fn row<'a>(kernel: &'a Kernel, manifest: &Manifest, lock: &'a Lock, cache: &Cache) -> Row<'a> {
    let fits = |pin: &&LockedKernel| resolve::fits(kernel, &manifest.suites, pin);
    let pin = lock.find(&kernel.name).filter(fits);
    Row {
        name: &kernel.name,
        source: match &kernel.source {
            Source::Debian { series, flavour } => format!("debian {series} {flavour}"),
            Source::Path { vmlinuz, .. } => format!("path {}", vmlinuz.display()),
        },
        release: pin.map(|pin| pin.release.as_str()),
        version: pin.map(|pin| pin.version.as_str()),
        suite: pin.and_then(|pin| Some(pin.binary()?.suite.as_str())),
        modules: pin.map(|pin| pin.modules),
        cached: pin.map(|pin| match cache.kernel(pin) {
            Found::Good(_) => "yes",
            Found::Missing => "no",
            Found::Altered => "altered",
        }),
    }
}

fn offered(fetcher: &Fetcher<'_>) -> Result<Vec<Offered>> {
    let offers = fetcher.archive.offers()?;
    let mut flavours: Vec<&str> = Vec::new();
    for kernel in &fetcher.manifest.kernels {
        if let Source::Debian { flavour, .. } = &kernel.source
            && !flavours.contains(&flavour.as_str())
        {
            flavours.push(flavour);
        }
    }
    let rows = flavours.into_iter().flat_map(|flavour| {
        let series = resolve::series_on_offer(flavour, &offers);
        series.into_iter().map(|(series, newest)| Offered {
            flavour: flavour.to_owned(),
            series,
            newest,
        })
    });
    Ok(rows.collect())
}

fn pinned_line(pinned: &Pinned) -> String {
    let name = &pinned.name;
    match &pinned.decision {
        Decision::Keep(pin) => format!("{name}\t{}\tunchanged\n", pin.version),
        Decision::Add(pin) => format!("{name}\t{}\tadded\n", pin.version),
        Decision::Replace { old, new } => format!("{name}\t{}\treplaces {old}\n", new.version),
        Decision::Unavailable => format!("{name}\t-\tunavailable\n"),
    }
}

fn table(rows: &[Row<'_>]) -> String {
    let head = [
        "KERNEL", "SOURCE", "RELEASE", "VERSION", "SUITE", "MODULES", "CACHED",
    ];
    let cells = rows.iter().map(|row| {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        [
            row.name,
            row.source.as_str(),
            row.release.unwrap_or("-"),
            row.version.unwrap_or("-"),
            row.suite.unwrap_or("-"),
            row.modules.map_or("-", yes_no),
            row.cached.unwrap_or("-"),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(cells).collect();
    columns::lay_out(&rows, &[])
}

fn offered_table(rows: &[Offered]) -> String {
    let cells = rows.iter().map(|row| {
        [
            row.flavour.as_str(),
            row.series.as_str(),
            row.newest.as_str(),
        ]
    });
    let head = ["FLAVOUR", "SERIES", "NEWEST"];
    let rows: Vec<_> = std::iter::once(head).chain(cells).collect();
    columns::lay_out(&rows, &[])
}

fn print(json: bool, rows: &impl Serialize, table: &str) -> Result {
    if json {
        let text = serde_json::to_string_pretty(rows).context("cannot write the table as JSON")?;
        return tell::out(&format!("{text}\n"));
    }
    tell::out(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_says_what_is_missing() {
        let row = |name, version, modules, cached| Row {
            name,
            source: format!("debian {name} cloud-amd64"),
            release: version,
            version,
            suite: version.map(|_| "bookworm"),
            modules,
            cached,
        };
        let rows = [
            row("5.10", None, None, None),
            row("6.19", Some("6.19.14-1"), Some(false), Some("altered")),
        ];
        insta::assert_snapshot!(table(&rows));
        insta::assert_snapshot!(serde_json::to_string_pretty(&rows).unwrap());
    }

    #[test]
    fn what_an_update_did_is_told_for_each_kernel() {
        let decision = Decision::Unavailable;
        let name = "6.9".to_owned();
        assert_eq!(
            pinned_line(&Pinned { name, decision }),
            "6.9\t-\tunavailable\n"
        );
    }
}
