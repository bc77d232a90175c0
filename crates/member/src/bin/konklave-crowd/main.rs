//! `konklave-crowd`: many participants in one process that do what each line of the input says. Tests of pages fill a room
//! with them.
//!
//! The first line is the link of the meeting, which holds its secret and so does not stand among the arguments. Orders
//! follow, one a line (`order.rs`), and are obeyed one after the other. Each line is answered by one once it is done: `ok`,
//! a tab, and the identity of the participant whom the order was for.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use member::Access;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::LocalSet;

mod crowd;
mod order;

use crowd::{Crowd, CrowdError};

/// Many participants of an encrypted meeting, who do what each line of the input says.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// API key of the server.
    #[arg(long, default_value = "devkey")]
    key: String,
    /// Secret of the API key.
    #[arg(long, default_value = "secret")]
    secret: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { key, secret } = Cli::parse();
    match LocalSet::new().run_until(run(Access { key, secret })).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "konklave-crowd: {error} ({})", error.code());
            ExitCode::FAILURE
        }
    }
}

/// Until the end of the input; then everybody leaves.
async fn run(access: Access) -> Result<(), CrowdError> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Ok(Some(link)) = lines.next_line().await else { return Ok(()) };
    let mut crowd = Crowd::of(&link, access)?;
    answer("");
    while let Ok(Some(line)) = lines.next_line().await {
        answer(&crowd.obey(&line).await?);
    }
    crowd.leave().await;
    Ok(())
}

/// A closed pipe is no reason to fail.
fn answer(identity: &str) {
    let _ = writeln!(std::io::stdout(), "ok\t{identity}");
}
