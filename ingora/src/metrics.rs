//! Flags of what is published at `/metrics`.
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use gateway::NginxMetrics;

/// Names that start so are those of ingress-nginx.
const PREFIX: &str = "nginx_ingress_controller_";

/// What is published at `/metrics`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsArgs {
    /// Count requests by path; without it only by Ingress and Service, which makes far fewer series
    #[arg(long, env = "INGORA_METRICS_PER_PATH", value_name = "BOOL", num_args = 0..=1, default_value_t = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub(crate) metrics_per_path: bool,

    /// Endpoints that have figures of their own; all others of a Service are shown together, and none with 0
    #[arg(long, env = "INGORA_METRICS_PER_ENDPOINT", value_name = "NUMBER", default_value_t = 0)]
    pub(crate) metrics_per_endpoint: usize,

    /// Publish the metrics of ingress-nginx, too, for its dashboards; up to 93 series for each path, method and status
    #[arg(long, env = "INGORA_METRICS_COMPAT", value_name = "WITH", value_enum)]
    metrics_compat: Option<Compat>,

    /// With --metrics-compat: label requests with the host of their rule
    #[arg(long, env = "INGORA_METRICS_PER_HOST", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    metrics_per_host: bool,

    /// With --metrics-compat: count requests that no rule matches, under the host _other
    #[arg(long, env = "INGORA_METRICS_PER_UNDEFINED_HOST", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    metrics_per_undefined_host: bool,

    /// With --metrics-compat: label requests with 2xx in place of 200, which makes fewer series
    #[arg(long, env = "INGORA_REPORT_STATUS_CLASSES", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    report_status_classes: bool,

    /// With --metrics-compat: upper bounds of durations in seconds
    #[arg(long, env = "INGORA_TIME_BUCKETS", value_name = "SECONDS,...", value_delimiter = ',', value_parser = bound,
          default_value = "0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10")]
    time_buckets: Vec<f64>,

    /// With --metrics-compat: upper bounds of request_size and response_size in bytes
    #[arg(long, env = "INGORA_LENGTH_BUCKETS", value_name = "BYTES,...", value_delimiter = ',', value_parser = bound,
          default_value = "10,20,30,40,50,60,70,80,90,100")]
    length_buckets: Vec<f64>,

    /// With --metrics-compat: upper bounds of bytes_sent in bytes
    #[arg(long, env = "INGORA_SIZE_BUCKETS", value_name = "BYTES,...", value_delimiter = ',', value_parser = bound,
          default_value = "10,100,1000,10000,100000,1000000,10000000")]
    size_buckets: Vec<f64>,

    /// With --metrics-compat: names of its metrics of requests that are not made
    #[arg(long, env = "INGORA_EXCLUDE_SOCKET_METRICS", value_name = "NAME,...", value_delimiter = ',')]
    exclude_socket_metrics: Vec<String>,
}

/// Whose names metrics have beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compat {
    Nginx,
}

/// An upper bound.
fn bound(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "write positive numbers in ascending order with commas between them".to_owned())
}

impl MetricsArgs {
    /// The metrics with ingress-nginx's names, if they are wanted.
    pub(crate) fn compat(&self, class: &str, election: &str) -> Option<NginxMetrics> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let names = self.exclude_socket_metrics.iter().map(|name| name.trim());
        self.metrics_compat.map(|Compat::Nginx| NginxMetrics {
            namespace: variable("POD_NAMESPACE"),
            class: class.to_owned(),
            pod: variable("POD_NAME"),
            election: election.to_owned(),
            per_host: self.metrics_per_host,
            undefined_hosts: self.metrics_per_undefined_host,
            status_classes: self.report_status_classes,
            time_buckets: self.time_buckets.clone(),
            length_buckets: self.length_buckets.clone(),
            size_buckets: self.size_buckets.clone(),
            exclude: names.map(|name| name.strip_prefix(PREFIX).unwrap_or(name).to_owned()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_positive_numbers() {
        assert_eq!(bound(" 0.5"), Ok(0.5));
        for text in ["", "x", "0", "-1", "NaN", "inf"] {
            assert!(bound(text).is_err(), "{text}");
        }
    }
}
