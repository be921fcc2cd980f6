//! Failures that reach a person: the mails of a failed sync, and their way.

mod failure_mail;
mod smtp;
