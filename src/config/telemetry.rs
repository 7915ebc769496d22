//! Settings -> configuration of traces, error reports, and the log of slow work.

use super::{HttpUrl, OtlpProtocol, Settings, TraceSampler};
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use threadline_trace::SlowLimits;

/// Configuration of the export of traces.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// The collector, without the path of the protocol.
    pub endpoint: HttpUrl,
    /// How spans are sent.
    pub protocol: OtlpProtocol,
    /// Headers of each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Name of the service; `None` is that of the attributes, or `threadline`.
    pub service_name: Option<String>,
    /// Attributes of the process.
    pub attributes: Vec<(String, String)>,
    /// Which traces are sampled.
    pub sampler: TraceSampler,
    /// Which part of them, if the sampler takes a part.
    pub ratio: f64,
}

impl Settings {
    /// Returns the configuration of the export of traces; `None` if nothing is exported.
    pub fn traces(&self) -> Option<TraceConfig> {
        Some(TraceConfig {
            endpoint: self.otel_endpoint.clone()?,
            protocol: self.otel_protocol,
            headers: self.otel_headers.as_ref().map(|headers| headers.pairs().to_vec()).unwrap_or_default(),
            service_name: self.otel_service_name.clone(),
            attributes: self.otel_attributes.as_ref().map(|list| list.pairs().to_vec()).unwrap_or_default(),
            sampler: self.otel_sampler,
            ratio: self.otel_sampler_arg.get(),
        })
    }

    /// Returns the URL that errors are reported to; `None` if they are not.
    pub fn error_report_url(&self) -> Option<SecretString> {
        self.error_report_url.as_ref().map(|url| url.secret().clone())
    }

    /// Returns from which duration on work is logged.
    pub fn slow_limits(&self) -> SlowLimits {
        SlowLimits { query: self.slow_query.milliseconds(), tool: self.slow_tool.milliseconds() }
    }
}
