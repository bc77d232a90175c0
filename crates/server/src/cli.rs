//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Private video meetings from one binary.
#[derive(Debug, Parser)]
#[command(name = "konklave", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve meetings.
    Serve(ServeArgs),
    /// Print the description of the HTTP API (OpenAPI, JSON).
    Openapi,
}

/// How to serve. What is given here wins over the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Configuration file; without one, konklave.toml in the working directory if it exists.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// For development: HTTP on loopback only, and the API key "devkey" with the secret "secret".
    #[arg(long)]
    pub dev: bool,
    /// Address to serve on; without it every address. With --dev only a loopback address.
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,
    /// Port for HTTP (TCP) and media (UDP); 0 takes any free one. Without it 7880.
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Say more; repeat for most.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}
