//! Flags of ingress-nginx that mean nothing here: taken, so that its arguments start Ingora as they are, and told in the log.
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// `--flag` or `--flag=false`.
    Bool,
    /// `--flag value` or `--flag=value`.
    Value,
}

use Takes::{Bool, Value};

/// Flag, what it takes, why it means nothing, and whether somebody may miss it.
type Row = (&'static str, Takes, &'static str, bool);

const NO_RELOAD: &str = "nothing is ever reloaded, and a change is live within milliseconds";
const PORTS: &str = "there is no such port";
const HEALTH: &str = "/healthz and /readyz are on --healthz-port of every address";
const LOG: &str = "--log-level and --log-format set the log";
const GEOIP: &str = "there is no GeoIP database";
const METRICS: &str = "metrics have labels and buckets of their own";
const WEBHOOK: &str = "what an admission webhook would check is always checked";

const ROWS: &[Row] = &[
    ("alsologtostderr", Bool, LOG, false),
    ("apiserver-host", Value, "--kubeconfig names the API server", true),
    ("bucket-factor", Value, METRICS, false),
    ("certificate-authority", Value, "--kubeconfig names the authority", true),
    ("deep-inspect", Bool, WEBHOOK, false),
    ("default-server-port", Value, PORTS, false),
    ("disable-full-test", Bool, WEBHOOK, false),
    ("dynamic-configuration-retries", Value, NO_RELOAD, false),
    ("enable-annotation-validation", Bool, WEBHOOK, false),
    ("enable-metrics", Bool, "metrics are always served", false),
    ("enable-ssl-chain-completion", Bool, "a Secret must hold its whole chain", true),
    ("enable-topology-aware-routing", Bool, "--zone turns it on", false),
    ("health-check-path", Value, HEALTH, false),
    ("health-check-timeout", Value, HEALTH, false),
    ("healthz-host", Value, HEALTH, false),
    ("internal-logger-address", Value, LOG, false),
    ("log_dir", Value, LOG, false),
    ("log_file", Value, LOG, false),
    ("logtostderr", Bool, LOG, false),
    ("max-buckets", Value, METRICS, false),
    ("maxmind-edition-ids", Value, GEOIP, true),
    ("maxmind-license-key", Value, GEOIP, true),
    ("maxmind-mirror", Value, GEOIP, true),
    ("maxmind-retries-count", Value, GEOIP, false),
    ("maxmind-retries-timeout", Value, GEOIP, false),
    ("monitor-max-batch-size", Value, METRICS, false),
    ("post-shutdown-grace-period", Value, "--drain-timeout and --shutdown-grace-period set the end", false),
    ("profiler-address", Value, PORTS, false),
    ("profiler-port", Value, PORTS, false),
    ("profiling", Bool, PORTS, false),
    ("skip_headers", Bool, LOG, false),
    ("ssl-passthrough-proxy-port", Value, "connections pass through --https-port itself", false),
    ("status-port", Value, PORTS, false),
    ("stderrthreshold", Value, LOG, false),
    ("stream-port", Value, PORTS, false),
    ("sync-period", Value, NO_RELOAD, false),
    ("sync-rate-limit", Value, NO_RELOAD, false),
    ("v", Value, LOG, false),
    ("vmodule", Value, LOG, false),
];

/// The flags that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted(Vec<&'static Row>);

impl Accepted {
    /// Says in the log which flags do nothing.
    pub(crate) fn tell(&self) {
        for (flag, _, why, missed) in &self.0 {
            if *missed {
                tracing::warn!(flag, why, "a flag of ingress-nginx has no effect");
            } else {
                tracing::info!(flag, why, "a flag of ingress-nginx has no effect and needs none");
            }
        }
    }
}

/// Flag and reason of each, for the documentation.
pub(crate) fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROWS.iter().map(|(flag, _, why, _)| (*flag, *why))
}

impl FromArgMatches for Accepted {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(ROWS.iter().filter(|(flag, ..)| matches.contains_id(flag)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Accepted {
    fn augment_args(command: Command) -> Command {
        ROWS.iter().fold(command, |command, (flag, takes, ..)| {
            let arg = Arg::new(*flag).long(*flag).hide(true).allow_hyphen_values(true);
            let arg = match takes {
                Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                Value => arg.num_args(1),
            };
            command.arg(if *flag == "v" { arg.short('v') } else { arg })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_taken_in_its_forms() {
        let command = || Accepted::augment_args(Command::new("run"));
        for (flag, takes, ..) in ROWS {
            let forms = match takes {
                Bool => vec![vec![format!("--{flag}")], vec![format!("--{flag}=false")]],
                Value => vec![vec![format!("--{flag}=1")], vec![format!("--{flag}"), "1".to_owned()]],
            };
            for form in forms {
                let words = std::iter::once("run".to_owned()).chain(form);
                let matches = command().try_get_matches_from(words).unwrap();
                assert_eq!(Accepted::from_arg_matches(&matches).unwrap().0.len(), 1, "{flag}");
            }
        }
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(ROWS.is_sorted_by_key(|(flag, ..)| *flag));
    }
}
