//! Busy: what a backup costs whoever writes to the volume meanwhile.
//!
//! In: a file on a volume, and fio that reads and writes 8 KiB at random places of it. Out: how fast that is with a backup beside it, as a ratio to without. Pairs in
//! turns, because machines are noisy: the ratio of each pair, their geometric mean, and its 95 % interval.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Bench, GIB, MIB, Row};
use crate::{interrupt, process};

/// Pairs for each run that was asked for.
const PAIRS_PER_RUN: u16 = 3;

/// `fio --output-format=json`, as far as it is looked at.
#[derive(Deserialize)]
struct Output {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    read: Direction,
    write: Direction,
}

#[derive(Deserialize)]
struct Direction {
    iops: f64,
}

pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let bytes = bench.scaled(GIB);
    let volume = bench.volume(bytes * 2 + GIB, 1024)?;
    let holdfast = bench.holdfast("busy")?;
    let root = bench.scratch.folder("kubelet")?;
    bench.scratch.folder("kubelet/pods")?;
    let agent = || {
        let mut command = holdfast.beside(&bench.binaries.join("holdfast-agent"));
        command.args(["backup", "--read-all", "--kubelet-root"]).arg(&root);
        command.arg("--allow").arg(&bench.scratch.path).arg("--host-path").arg(&volume.folder);
        command
    };
    load(&volume.folder, bytes, 1)?;
    process::capture(&mut agent())?;
    let (mut ratios, mut backups, mut read_bytes, mut cpu) = (Vec::new(), 0, 0, 0.0);
    for pair in 0..bench.options.runs * PAIRS_PER_RUN {
        interrupt::check()?;
        let seconds = bench.options.seconds;
        let alone = || load(&volume.folder, bytes, seconds);
        let mut beside = || -> Result<f64> {
            let before = children_cpu_seconds()?;
            let (iops, done) = with_backups(&agent, || load(&volume.folder, bytes, seconds))?;
            // What fio itself takes is about the same in both halves of a pair, and is not the backup's.
            cpu += children_cpu_seconds()? - before;
            backups += done.count;
            read_bytes += done.read_bytes;
            Ok(iops)
        };
        let (without, with) = match pair % 2 {
            0 => (alone()?, beside()?),
            _ => {
                let with = beside()?;
                (alone()?, with)
            }
        };
        bench.say(&format!("{without:.0} operations per second without, {with:.0} with a backup"));
        ratios.push(with / without);
    }
    let (mean, low, high) = interval(&ratios);
    let row = |what: &str, value, unit, target| Row { part: "busy", what: what.to_owned(), value, unit, target };
    Ok(vec![
        row("speed with a backup beside it, of that without", mean, "", Some(0.95)),
        row("lower end of the 95 % interval", low, "", None),
        row("upper end", high, "", None),
        row("pairs", ratios.len() as f64, "", Some(15.0)),
        row("backups that were made meanwhile", f64::from(backups), "", None),
        row("what they read", read_bytes as f64 / MIB, "MiB", None),
        row("CPU of load and backups", cpu, "s", None),
    ])
}

/// Operations per second.
fn load(folder: &Path, bytes: u64, seconds: u32) -> Result<f64> {
    let mut fio = Command::new("fio");
    fio.args(["--name=busy", "--rw=randrw", "--bs=8k", "--ioengine=psync", "--fdatasync=32", "--time_based"]);
    fio.args(["--output-format=json", "--randrepeat=0", &format!("--size={bytes}"), &format!("--runtime={seconds}")]);
    fio.arg(format!("--filename={}", folder.join("file").display()));
    let output = process::capture(&mut fio)?;
    let output: Output = serde_json::from_slice(&output.stdout).context("fio wrote something unexpected")?;
    Ok(output.jobs.iter().map(|job| job.read.iops + job.write.iops).sum())
}

#[derive(Default)]
struct Backups {
    count: u32,
    read_bytes: u64,
}

/// Backups one after the other until the load ends; the last one is waited for.
fn with_backups(agent: &dyn Fn() -> Command, load: impl FnOnce() -> Result<f64> + Send) -> Result<(f64, Backups)> {
    std::thread::scope(|scope| {
        let load = scope.spawn(load);
        let mut done = Backups::default();
        while !load.is_finished() {
            let child: Child = agent().stdout(Stdio::piped()).spawn().context("the agent could not be started")?;
            let output = child.wait_with_output().context("the agent could not be waited for")?;
            done.count += 1;
            done.read_bytes += read_bytes(&String::from_utf8_lossy(&output.stdout)).unwrap_or(0);
        }
        let iops = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        Ok((iops, done))
    })
}

/// `..., 123 bytes read, ...`
fn read_bytes(line: &str) -> Option<u64> {
    line.split(" bytes read").next()?.rsplit(' ').next()?.parse().ok()
}

fn children_cpu_seconds() -> Result<f64> {
    use nix::sys::{resource, time::TimeValLike};
    let usage = resource::getrusage(resource::UsageWho::RUSAGE_CHILDREN).context("the cost could not be asked for")?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

/// The geometric mean, and the ends of its 95 % interval by Student's t.
fn interval(ratios: &[f64]) -> (f64, f64, f64) {
    let count = ratios.len() as f64;
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let half = student(ratios.len()) * (variance / count).sqrt();
    (mean.exp(), (mean - half).exp(), (mean + half).exp())
}

/// The 97.5 % point of Student's distribution for so many values, from above.
fn student(values: usize) -> f64 {
    match values {
        0..=2 => 12.71,
        3 => 4.31,
        4..=5 => 3.19,
        6..=9 => 2.58,
        10..=14 => 2.27,
        15..=29 => 2.15,
        _ => 2.05,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_ratios_is_geometric_and_its_interval_narrows() {
        let (mean, low, high) = interval(&[0.5, 2.0, 0.5, 2.0]);
        assert!((mean - 1.0).abs() < 1e-9 && low < 0.5 && high > 2.0);
        let (mean, low, high) = interval(&[0.97; 15]);
        assert!((mean - 0.97).abs() < 1e-9 && (high - low).abs() < 1e-9);
    }

    #[test]
    fn what_a_backup_read_stands_in_its_line() {
        assert_eq!(read_bytes("host-path/x: restore point 01: 2 entries, 123 bytes read, 4 changed"), Some(123));
        assert_eq!(read_bytes("nothing"), None);
    }
}
