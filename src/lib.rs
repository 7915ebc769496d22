//! Threadline's composition root: what reads the configuration, listens, and puts the rooms together.

pub mod app;
pub mod banner;
pub mod cli;
pub mod commands;
pub mod config;
pub mod healthcheck;
mod in_process;
pub mod listen;
pub mod reload;
pub mod shutdown;
pub mod telemetry;
