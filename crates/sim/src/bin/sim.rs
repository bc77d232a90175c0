//! Looks for seeds that break what is expected of bandwidth, repeats one, and tells and draws what was measured.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sim::plan::Plan;
use sim::{meeting, plot, search, table};

const USAGE: &str = "usage: sim search COUNT [START] | sim repeat PLAN SEED | sim show PLAN SEED | sim plot FOLDER PLAN SEED… | sim table [JSON]";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    if let ["show", plan, seed] = words.as_slice()
        && let Some((plan, seed)) = Plan::named(plan).zip(number(seed))
    {
        for watcher in &meeting::run(plan, seed).watchers {
            print!("{watcher}");
        }
        return ExitCode::SUCCESS;
    }
    match words.as_slice() {
        ["table", json @ ..] => {
            let (rows, switching) = (table::rows(), table::switching());
            print!("{}", table::table(&rows, switching));
            return written(json.first().map(|path| (*path, table::json(&rows, switching))));
        }
        ["plot", folder, meetings @ ..] if !meetings.is_empty() => {
            for meeting in meetings.chunks(2) {
                let [plan, seed] = meeting else { continue };
                let Some((plan, seed)) = Plan::named(plan).zip(number(seed)) else { continue };
                let svg = plot::svg(&meeting::run(plan, seed));
                let path = format!("{folder}/sim-{}.svg", plan.name());
                if written(Some((path.as_str(), svg))) != ExitCode::SUCCESS {
                    return ExitCode::FAILURE;
                }
            }
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let failures = match words.as_slice() {
        ["search", count, start @ ..] => number(count).map(|count| {
            let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64);
            let start = start.first().and_then(|start| number(start)).unwrap_or_else(now);
            let pairs: Vec<(Plan, u64)> = (0..count)
                .map(|index| (Plan::ALL[index as usize % Plan::ALL.len()], start + index))
                .collect();
            search::run(&pairs)
        }),
        ["repeat", plan, seed] => Plan::named(plan).zip(number(seed)).map(|pair| search::run(&[pair])),
        _ => None,
    };
    let Some(failures) = failures else {
        eprintln!("{USAGE}\nplans: {}", Plan::ALL.map(Plan::name).join(" "));
        return ExitCode::from(2);
    };
    for failure in &failures {
        println!("{failure}");
    }
    println!("{} failed", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes a file, if there is one to write.
#[expect(clippy::print_stderr, reason = "a command line tool")]
fn written(file: Option<(&str, String)>) -> ExitCode {
    let Some((path, text)) = file else { return ExitCode::SUCCESS };
    match std::fs::write(path, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
