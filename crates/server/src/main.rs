//! `konklave`: the command line of the server.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use server::Server;
use server::cli::{Cli, Command, ServeArgs};
use server::config::Settings;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => match serve(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // The log may be off; why nothing runs is always said.
                let _ = writeln!(std::io::stderr(), "konklave: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Openapi => {
            let written = std::io::stdout().write_all(server::openapi::json().as_bytes());
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn serve(args: &ServeArgs) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(args)?;
    tracing::subscriber::set_global_default(server::logging::subscriber(args.verbose, std::io::stderr))?;
    server::logging::quiet_panics();
    net::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(settings).await?;
        let mut out = std::io::stdout();
        writeln!(out, "Konklave is ready at {}", server.url())?;
        out.flush()?;
        let ended = tokio::select! {
            signal = stop_signal() => signal.map_err(Into::into),
            died = server.broken() => Err(died.into()),
        };
        tracing::info!("stopping");
        server.shutdown().await;
        ended
    })
}

/// Waits for Ctrl-C or, from a service manager, SIGTERM.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => interrupt,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
