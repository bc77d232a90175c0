//! `konklave-crowd`: many participants in one process that do what each line of the input says. Tests of pages fill a room
//! with them.
//!
//! The first line is the link of the meeting, which holds its secret and so does not stand among the arguments. Orders
//! follow, one a line (`order.rs`). Each line is answered by one once it is done: `ok`, a tab, and the identity of the
//! participant whom the order was for. Orders are obeyed one after the other, but who joins without another order in between
//! goes the way into the group together.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use member::{Access, MemberError};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::{JoinError, LocalSet};

mod crowd;
mod order;
mod record;

use crowd::{Crowd, CrowdError, Joined};
use order::Order;

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
    let mut joining = FuturesOrdered::new();
    loop {
        let line = tokio::select! {
            Some(joined) = joining.next() => {
                answer(&crowd.joined(settled(joined)?)?);
                continue;
            }
            line = lines.next_line() => line,
        };
        let Ok(Some(line)) = line else { break };
        match Order::parse(&line).ok_or(CrowdError::Order)? {
            Order::Join { name, media } => joining.push_back(crowd.join(name, &media).await?),
            order => {
                while let Some(joined) = joining.next().await {
                    answer(&crowd.joined(settled(joined)?)?);
                }
                answer(&crowd.obey(order).await?);
            }
        }
    }
    crowd.leave().await;
    Ok(())
}

/// What a task came to; a panic in it has been reported by its hook.
fn settled(joined: Result<Joined, JoinError>) -> Result<Joined, CrowdError> {
    joined.map_err(|_| MemberError::Ended.into())
}

/// A closed pipe is no reason to fail.
fn answer(identity: &str) {
    let _ = writeln!(std::io::stdout(), "ok\t{identity}");
}
