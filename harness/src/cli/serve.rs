//! `imspec serve`: the bundled reference server. The only command that links to it; a run reaches it over
//! sockets, as it reaches any other server.

use std::io::Write;
use std::path::PathBuf;

use imspec_reference_server::{Config, Server};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::ExitStatus;

/// Start the reference server and serve until Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file (YAML); without one, the defaults that --print-config shows
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a configuration file with every key explained, and end
    #[arg(long)]
    print_config: bool,
    /// Print the `OpenAPI` document of the control API, and end
    #[arg(long, conflicts_with = "print_config")]
    print_openapi: bool,
    /// Serve SIP over TLS, too, at this port of the loopback address
    #[arg(long, value_name = "PORT")]
    tls_port: Option<u16>,
    /// Write the authority of the certificate that is made for TLS to this file (PEM)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Serve with a seeded fault: a name or id that `imspec faults` lists
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
    /// What to log on stderr: error, warn, info, debug, trace, or a filter by module
    #[arg(long, value_name = "LEVEL", default_value = "warn", env = "IMSPEC_LOG")]
    log: String,
}

/// Runs the command. When the server takes requests, one line of JSON with its addresses is printed.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    if args.print_config {
        let _ = out.write_all(Config::example().as_bytes());
        return ExitStatus::Conforms;
    }
    if args.print_openapi {
        let _ = out.write_all(imspec_reference_server::control::OPENAPI.as_bytes());
        return ExitStatus::Conforms;
    }
    match serve(args, out) {
        Ok(()) => ExitStatus::Conforms,
        Err((status, why)) => {
            anstream::eprintln!("error: {why}");
            status
        }
    }
}

fn serve(args: &Args, out: &mut dyn Write) -> Result<(), (ExitStatus, String)> {
    let invalid = |why: String| (ExitStatus::InvalidInput, why);
    let broken = |why: String| (ExitStatus::Unreachable, why);
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|why| invalid(format!("--log {}: {why}", args.log)))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let mut config = match &args.config {
        None => Config::default(),
        Some(file) => {
            let name = file.display().to_string();
            let text =
                std::fs::read_to_string(file).map_err(|why| invalid(format!("{name}: {why}")))?;
            Config::from_yaml(&text, &name).map_err(|why| invalid(why.to_string()))?
        }
    };
    if let Some(port) = args.tls_port {
        config.listen.tls.push(([127, 0, 0, 1], port).into());
    }
    if let Some(file) = &args.tls_ca {
        config.tls.write_ca = Some(file.clone());
    }
    let fault = match &args.fault {
        None => None,
        Some(name) => {
            Some(super::faults::named(name).map_err(|why| invalid(format!("--fault {why}")))?)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| broken(format!("no runtime: {why}")))?;
    runtime.block_on(async {
        let started = match fault {
            None => Server::start(config).await,
            Some(fault) => imspec_faults::start(config, fault).await,
        };
        let server = started.map_err(|why| broken(why.to_string()))?;
        let at = server.addresses();
        let line = json!({ "ready": true, "udp": at.udp, "tcp": at.tcp, "tls": at.tls, "ws": at.ws, "wss": at.wss, "control": at.control });
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(|why| broken(why.to_string()))?;
        super::end_requested()
            .await
            .map_err(|why| broken(why.to_string()))?;
        server.stop().await;
        Ok(())
    })
}
