//! Exports the spans of the process over OTLP. Nothing of it exists if no collector is configured.

mod client;

use crate::config::{OtlpProtocol, TraceConfig, TraceSampler};
use client::OtlpClient;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::time::Duration;

/// Maximum time of one request to the collector, with its repetitions.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for the last spans to be sent when the process stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The export of spans. A thread of OpenTelemetry's own collects and sends them; spans that come faster than they can
/// be sent are lost.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts to export spans. Must be called in a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the HTTP client cannot be created.
    pub fn start(config: &TraceConfig) -> anyhow::Result<Self> {
        let path = match config.protocol {
            OtlpProtocol::Http => "/v1/traces",
            OtlpProtocol::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        };
        let url = format!("{}{path}", config.endpoint.as_str());
        let client = OtlpClient::new(&url, config.protocol, &config.headers, EXPORT_TIMEOUT)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            // The client sends to its own URL. This one has no password, and nothing reads it.
            .with_endpoint("http://collector")
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(config))
            .with_resource(resource(config))
            .with_batch_exporter(exporter)
            .build();
        global::set_tracer_provider(provider.clone());
        threadline_trace::install(global::tracer("threadline"));
        Ok(Self { provider })
    }

    /// Sends the spans that wait, for a few seconds at most.
    pub async fn finish(self) {
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!(target: "threadline::traces", "the last spans may not have reached the collector");
        }
    }
}

fn sampler(config: &TraceConfig) -> Sampler {
    let ratio = Sampler::TraceIdRatioBased(config.ratio);
    match config.sampler {
        TraceSampler::AlwaysOn => Sampler::AlwaysOn,
        TraceSampler::AlwaysOff => Sampler::AlwaysOff,
        TraceSampler::Ratio => ratio,
        TraceSampler::ParentOrOn => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
        TraceSampler::ParentOrOff => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        TraceSampler::ParentOrRatio => Sampler::ParentBased(Box::new(ratio)),
    }
}

/// Returns what all spans of the process have in common. Later attributes replace earlier ones of the same name.
fn resource(config: &TraceConfig) -> Resource {
    let given = config.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let mut resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.name", "threadline"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .with_attributes(given);
    if let Some(name) = &config.service_name {
        resource = resource.with_service_name(name.clone());
    }
    resource.build()
}
