//! Looks for seeds that break what is expected of bandwidth, repeats one, and tells and draws what was measured.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sim::plan::Plan;
use sim::search;

const USAGE: &str = "usage: sim search COUNT | sim repeat PLAN SEED";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    let failures = match words.as_slice() {
        ["search", count] => number(count).map(|count| {
            let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64);
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
