//! What ingress-nginx says of nginx's processes; here of the one process that there is.
use std::sync::{Mutex, PoisonError};

use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, Gauge, GaugeVec};

use super::Make;

/// Figures that are counted elsewhere and copied when somebody asks.
pub(super) struct Process {
    connections: GaugeVec,
    connections_total: CounterVec,
    cpu: Counter,
    read: Counter,
    written: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    start: Gauge,
    /// Who copies: two at a time would count twice.
    copying: Mutex<()>,
}

impl Process {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, prometheus::Error> {
        let state = &["state"];
        make.gauge("nginx_process_num_procs", "Processes that serve.")?.set(1.0);
        Ok(Self {
            connections: make.gauges(
                "nginx_process_connections",
                "Client connections: all, those with a request at an endpoint, and the rest.",
                state,
            )?,
            connections_total: make.keep(CounterVec::new(
                super::opts("nginx_process_connections_total", "Client connections that were accepted and handled."),
                state,
            )?)?,
            cpu: make.mirror("nginx_process_cpu_seconds_total", "Processor time in seconds.")?,
            read: make.mirror("nginx_process_read_bytes_total", "Bytes read from disks.")?,
            written: make.mirror("nginx_process_write_bytes_total", "Bytes written to disks.")?,
            resident: make.gauge("nginx_process_resident_memory_bytes", "Resident memory in bytes.")?,
            virtual_memory: make.gauge("nginx_process_virtual_memory_bytes", "Virtual memory in bytes.")?,
            start: make.gauge("nginx_process_oldest_start_time_seconds", "Start in seconds since the Unix epoch.")?,
            copying: Mutex::new(()),
        })
    }

    /// Copies what the gateway's own metrics say.
    pub(super) fn publish(&self, ours: &[MetricFamily], in_flight: u64) {
        let _copying = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let active = sum(ours, "ingora_connections");
        let writing = (in_flight as f64).min(active);
        for (state, value) in
            [("active", active), ("reading", 0.0), ("writing", writing), ("waiting", active - writing)]
        {
            self.connections.with_label_values(&[state]).set(value);
        }
        let handled = sum(ours, "ingora_connections_total");
        let accepted = handled + sum(ours, "ingora_connections_refused_total");
        for (state, value) in [("accepted", accepted), ("handled", handled)] {
            let counter = self.connections_total.with_label_values(&[state]);
            copy(&counter, value);
        }
        copy(&self.cpu, sum(ours, "process_cpu_seconds_total"));
        let (read, written) = disk();
        copy(&self.read, read);
        copy(&self.written, written);
        self.resident.set(sum(ours, "process_resident_memory_bytes"));
        self.virtual_memory.set(sum(ours, "process_virtual_memory_bytes"));
        self.start.set(sum(ours, "process_start_time_seconds"));
    }
}

/// Counters only grow.
fn copy(counter: &Counter, value: f64) {
    let more = value - counter.get();
    if more > 0.0 {
        counter.inc_by(more);
    }
}

/// The values of all series of a counter or gauge together.
fn sum(families: &[MetricFamily], name: &str) -> f64 {
    let series = families.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric);
    series.map(|one| one.get_counter().get_value() + one.get_gauge().get_value()).sum()
}

/// Bytes read from disks and written to them, where the kernel tells.
fn disk() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    };
    (value("read_bytes:"), value("write_bytes:"))
}
