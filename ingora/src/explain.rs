//! `ingora explain`: what would happen to a request, and why.
mod decision;
mod peers;
mod provenance;
mod request;
mod steps;
mod text;
mod view;

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use crate::cli::Printed;
use crate::failure::Failure;
use crate::options::{ClassArgs, SourceArgs};
use crate::value::port;

/// Flags of `ingora explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The request, as a client names it: https://host/path?query
    #[arg(value_name = "URL")]
    url: String,

    /// A field of the request; Host names another host than the URL, as with curl
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The method
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,

    /// Address of the client, for lists of addresses; without it nobody is known
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,

    /// The gateway's port for requests over TLS: redirects with use-port-in-redirects name it
    #[arg(long, env = "INGORA_HTTPS_PORT", value_name = "PORT", value_parser = port, default_value_t = 443)]
    https_port: u16,

    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Show which endpoint would get the request, and why each other one would not
    #[arg(long)]
    peers: bool,

    /// The port for health and metrics of a gateway that runs: endpoints are as it sees them now
    #[arg(long, value_name = "ADDRESS:PORT", requires = "peers")]
    admin: Option<String>,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    classes: ClassArgs,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Reads the source, decides as the proxy does, and tells all of it.
pub(crate) fn run(args: &ExplainArgs) -> Result<Printed, Failure> {
    let request = request::parse(&args.url, &args.method, &args.headers).map_err(Failure::usage)?;
    let request = request::Asked { client: args.client, https_port: args.https_port, ..request };
    let source = args.source.source();
    let loaded = controller::load(&source, args.classes.options(&source))?;
    let mut explanation = decision::explain(&loaded, &request);
    if args.peers {
        peers::fill(&mut explanation, &loaded, args.admin.as_deref())?;
    }
    let text = match args.format {
        Format::Text => text::render(&explanation),
        Format::Json => crate::lint::json(&explanation)?,
    };
    Ok(Printed { text, code: u8::from(explanation.answer.status.is_some_and(|status| status >= 400)) })
}
