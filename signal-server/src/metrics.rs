//! The process's metrics, for Prometheus. Everybody counts through the `metrics` facade; this is where it comes together.

use crate::Error;
use metrics::{Gauge, Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, PoisonError};

/// From 50 ms to two minutes: set-up on loopback at one end, a patient shopper at the other.
const SETUP_BUCKETS: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0];

static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Makes this process collect metrics, once; later calls give the same handle. Whatever counts before the first call is
/// not counted, so a binary calls this before it starts anything else.
///
/// # Errors
/// [`Error::Metrics`] when another recorder was installed by somebody else.
pub fn install_metrics() -> Result<PrometheusHandle, Error> {
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let fresh = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Prefix("ringlet_call_".to_owned()), SETUP_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Error::Metrics(error.to_string()))?;
    describe();
    Ok(handle.insert(fresh).clone())
}

/// Counts something that exists, for as long as it exists.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    /// A WebSocket of a visitor.
    pub(crate) fn visitor_socket() -> Self {
        Self::new(gauge!("ringlet_visitor_sockets"))
    }

    /// A connection to one of the listeners, media's excepted.
    pub(crate) fn connection() -> Self {
        Self::new(gauge!("ringlet_connections"))
    }

    /// A task that serves a WebSocket or a gateway.
    pub(crate) fn task() -> Self {
        Self::new(gauge!("ringlet_tasks", "of" => "signal"))
    }

    fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn describe() {
    describe_gauge!("ringlet_calls", "Calls, those included whose gateway has not confirmed the release.");
    describe_gauge!("ringlet_gateways", "Media gateways that are connected.");
    describe_gauge!("ringlet_timers", "Deadlines of calls that run.");
    describe_gauge!("ringlet_visitor_sockets", "WebSockets of visitors.");
    describe_gauge!("ringlet_connections", "Connections to the web server.");
    describe_counter!("ringlet_connections_refused_total", "Connections that were one too many.");
    describe_gauge!("ringlet_tasks", "Tasks that serve WebSockets and gateways.");
    describe_counter!("ringlet_calls_started_total", "Calls whose visitor was admitted.");
    describe_counter!("ringlet_calls_refused_total", "Visitors who were not admitted, by error code.");
    describe_counter!("ringlet_calls_ended_total", "Calls that ended, by reason.");
    describe_counter!("ringlet_calls_transport_total", "Audio paths to browsers that came up or moved, by transport.");
    describe_counter!("ringlet_calls_restored_total", "Calls of an earlier run that this one went on with.");
    describe_counter!("ringlet_record_changes_lost_total", "Changes of call records that could not be written.");
    let setup = "From the visitor's arrival until the far end first rang.";
    describe_histogram!("ringlet_call_ringing_seconds", Unit::Seconds, setup);
    let answer = "From the visitor's arrival until somebody answered.";
    describe_histogram!("ringlet_call_answer_seconds", Unit::Seconds, answer);
    // A gauge that was never touched is not shown; what is asserted to be 0 must be there.
    for name in ["ringlet_calls", "ringlet_connections", "ringlet_gateways", "ringlet_visitor_sockets"] {
        gauge!(name).set(0.0);
    }
    gauge!("ringlet_timers", "of" => "calls").set(0.0);
    gauge!("ringlet_tasks", "of" => "signal").set(0.0);
}
