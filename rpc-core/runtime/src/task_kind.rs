//! Kinds of background tasks, and what the end of each means.

/// What a background task does. The kind decides how the service reacts to its end.
///
/// A new kind has to be added to [`on_failure`](Self::on_failure) and [`on_shutdown`](Self::on_shutdown); neither has a
/// default arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Renews the leases of this process's runs. Without it, other processes take the runs over.
    LeaseRenewal,
    /// Holds the lock by which other processes see that this one lives. Without it, they wait for its leases.
    Presence,
    /// Writes the events of runs to the database. Without it, a crash loses more than one tick of output.
    Journal,
    /// Closes runs of dead processes and lost runs of this one. Without it, threads stay busy.
    Recovery,
    /// Applies cancel requests that users made on other processes.
    CancelRequests,
    /// Applies signals of other processes.
    SignalListener,
    /// Sends and receives signals over Redis or PostgreSQL.
    SignalCarrier,
    /// Notices changes of access, and ends the streams of tokens that are not accepted any more.
    AccessChanges,
    /// Stores the entries of the audit log. Without it, services cannot act for users.
    AuditLog,
    /// Erases accounts whose erasure was requested.
    Erasure,
    /// Finds runs that other processes started in threads with subscribers here.
    ThreadPoll,
    /// Removes old data and records gauges.
    Maintenance,
    /// Executes one run.
    Run,
    /// Finishes a request after its caller has gone, so that no transaction and no start of a run stops half-way.
    Request,
    /// Books work again whose booking has failed.
    HoldRetry,
    /// Copies the log of a run that another process executes.
    Mirror,
    /// Waits until a disconnected client's run is to be cancelled.
    DisconnectGrace,
    /// Asks a model for the title of a thread.
    Title,
    /// Asks a model for the summary of the oldest turns of a thread.
    Summary,
    /// Reads the keys of the identity provider.
    ProviderKeys,
    /// Reads the list of models of the model's server.
    ModelList,
    /// Keeps one MCP server running.
    McpServer,
    /// Drives one connection: to a database, to Redis, or of a client.
    Connection,
    /// Accepts the connections of one listener. Without it, no client reaches the process.
    Listener,
    /// Waits for the signals that stop the process. Without it, a deployment kills the process instead.
    StopSignal,
    /// Waits for the signal that reloads the agents file, and reloads it.
    AgentsReload,
    /// Reads the certificate of the listeners again when it changes.
    CertificateReload,
    /// Reads the process metrics and compacts histograms.
    MetricsUpkeep,
    /// Posts errors to the endpoint of the operator.
    ErrorReports,
    /// Keeps one socket of the gateway to the core open. It starts again when it fails.
    CoreSocket,
}

/// What the service does when a task fails: it panics, or it ends although it should run until the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Drain and exit. The service cannot keep its promises without this task; another process or a restart can.
    ShutDown,
    /// Log and count the failure. Only the work of this one task is lost.
    Log,
}

/// What the service does with a task when it shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnShutdown {
    /// Let it finish by itself.
    Wait,
    /// Drop it at its next await: it holds nothing that must be finished.
    Cancel,
}

impl TaskKind {
    /// Returns what a failure of this kind of task means.
    pub const fn on_failure(self) -> OnFailure {
        match self {
            Self::LeaseRenewal
            | Self::Presence
            | Self::Journal
            | Self::Recovery
            | Self::CancelRequests
            | Self::SignalListener
            | Self::SignalCarrier
            | Self::AccessChanges
            | Self::AuditLog
            | Self::Erasure
            | Self::ThreadPoll
            | Self::Maintenance
            | Self::Listener
            | Self::StopSignal => OnFailure::ShutDown,
            Self::Run
            | Self::Request
            | Self::HoldRetry
            | Self::Mirror
            | Self::DisconnectGrace
            | Self::Title
            | Self::Summary
            | Self::ModelList
            | Self::McpServer
            | Self::Connection
            | Self::AgentsReload
            | Self::CertificateReload
            | Self::ProviderKeys
            | Self::MetricsUpkeep
            | Self::ErrorReports
            | Self::CoreSocket => OnFailure::Log,
        }
    }

    /// Returns what a shutdown means for this kind of task.
    pub const fn on_shutdown(self) -> OnShutdown {
        match self {
            // These end by themselves, and what they write must be whole.
            Self::Run | Self::Request | Self::Title | Self::Summary | Self::McpServer | Self::Connection => {
                OnShutdown::Wait
            }
            // It ends when it is told to stop and its connections are closed, which is after the runs have ended.
            Self::Listener => OnShutdown::Wait,
            // During the shutdown, a second signal ends the process at once.
            Self::StopSignal => OnShutdown::Wait,
            // It ends when it is told to: after everything else, whose errors it reports.
            Self::ErrorReports => OnShutdown::Wait,
            Self::LeaseRenewal
            | Self::Presence
            | Self::Journal
            | Self::Recovery
            | Self::CancelRequests
            | Self::SignalListener
            | Self::SignalCarrier
            | Self::AccessChanges
            | Self::AuditLog
            | Self::Erasure
            | Self::ThreadPoll
            | Self::Maintenance
            | Self::HoldRetry
            | Self::Mirror
            | Self::ModelList
            | Self::ProviderKeys
            | Self::DisconnectGrace
            | Self::AgentsReload
            | Self::CertificateReload
            | Self::MetricsUpkeep
            | Self::CoreSocket => OnShutdown::Cancel,
        }
    }

    /// Returns whether a task of this kind runs until the shutdown, so that an earlier end is a failure.
    pub const fn runs_until_shutdown(self) -> bool {
        // A listener ends before: it is told to stop first.
        matches!(self.on_failure(), OnFailure::ShutDown) && !matches!(self, Self::Listener)
    }

    /// Returns the name in metrics, logs and the health report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeaseRenewal => "lease_renewal",
            Self::Presence => "presence",
            Self::Journal => "journal",
            Self::Recovery => "recovery",
            Self::CancelRequests => "cancel_requests",
            Self::SignalListener => "signal_listener",
            Self::SignalCarrier => "signal_carrier",
            Self::AccessChanges => "access_changes",
            Self::AuditLog => "audit_log",
            Self::Erasure => "erasure",
            Self::ThreadPoll => "thread_poll",
            Self::Maintenance => "maintenance",
            Self::Run => "run",
            Self::Request => "request",
            Self::HoldRetry => "hold_retry",
            Self::Mirror => "mirror",
            Self::DisconnectGrace => "disconnect_grace",
            Self::Title => "title",
            Self::Summary => "summary",
            Self::ModelList => "model_list",
            Self::ProviderKeys => "provider_keys",
            Self::McpServer => "mcp_server",
            Self::Connection => "connection",
            Self::Listener => "listener",
            Self::StopSignal => "stop_signal",
            Self::AgentsReload => "agents_reload",
            Self::CertificateReload => "certificate_reload",
            Self::MetricsUpkeep => "metrics_upkeep",
            Self::ErrorReports => "error_reports",
            Self::CoreSocket => "core_socket",
        }
    }
}
