//! The composition root: reads the configuration, opens the listeners, and connects the gateway and the core.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

pub mod app;
pub mod banner;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod hardening;
pub mod healthcheck;
mod in_process;
pub mod listen;
pub mod probe_model;
pub mod program;
pub mod reload;
mod rest_client;
pub mod shutdown;
pub mod smoke;
pub mod stdout;
pub mod telemetry;
