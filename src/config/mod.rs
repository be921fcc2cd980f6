//! The configuration: flag over variable over file over default. The only reader of the environment and of files.
//!
//! `sections` holds the table of keys. `load` puts what is given for them into `settings`, `values` reads one value's text, and
//! each configuration is made of the sections that its commands need.

#[cfg(feature = "server")]
mod caller;
mod cargo_registry;
mod certificates;
mod documentation;
mod effective;
mod environment;
mod job;
mod key_table;
mod keys;
mod load;
mod mail;
mod mirror_config;
mod network;
mod proxies;
mod remotes;
mod secrets;
mod sections;
mod serve_config;
mod settings;
#[cfg(test)]
mod tests;
mod text_file;
mod trigger_config;
mod up_config;
mod values;
mod variable_value;

#[cfg(feature = "server")]
pub use caller::caller;
pub use documentation::{flag_help, flag_long_help, keys_as_help, keys_as_markdown};
pub use effective::EffectiveConfig;
pub use environment::Environment;
pub use job::Job;
pub use load::Flags;
pub use mail::Route;
pub use mirror_config::Config;
pub use secrets::{AWS_CA_BUNDLE, JobToken, Mask, Secrets};
pub use sections::{
    Catalog, Mail, Mirror, Network, Policy, Private, Probe, Serve, Trigger, Up, Upstream,
};
pub use serve_config::{IndexSource, ServeConfig, Tls};
pub use settings::{Origin, Origins};
pub use trigger_config::TriggerConfig;
pub use up_config::UpConfig;
pub use values::addresses::{Addresses, dl};
pub use values::catalog::{DumpSource, dump_source};
pub use values::durations::{Rhythm, cron, duration, duration_or_zero};
pub use values::git::History;
pub use values::numbers::size;
pub use values::policy::{OnAdvisory, Rule, Withdrawn, moment, reason};
pub use values::serve::{AccessLog, Downloads, OfflineIndex, StoreUrl};
pub use values::smtp::{Mailbox, SmtpServer, SmtpTls};
pub use values::trusted::{ClaimPattern, TrustedRule};
