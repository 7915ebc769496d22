//! What operators deploy with: the smoke test, upgrades, and the files in `deploy/`.

mod contract;
mod files;
mod install;
mod monitoring;
mod openapi_tools;
mod smoke;
mod upgrade;
