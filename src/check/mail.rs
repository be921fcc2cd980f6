//! Whether failures reach a person.

use super::{Findings, Options};
use crate::config::Config;
use crate::error::Result;
use crate::mirror::Context;
use crate::notify;
use crate::notify::smtp::{Mailer, SmtpProbe};

/// Connects to the mail server and logs in, and sends a test mail where `--mail` asks for one.
pub(super) async fn probe(
    config: &Config,
    options: &Options,
    around: Context<'_>,
    findings: &mut Findings,
) {
    if config.mail.route().is_none() {
        return not_configured(options, findings);
    }
    let Some(mailer) = findings.take("smtp", Mailer::of(config)) else {
        return;
    };
    // Without `--mail` as well: whoever finds out by a failed sync that mails do not work finds out too late.
    let reaches = add_steps(mailer.probe().await, findings);
    match (options.mail, reaches) {
        (false, _) => findings.skip("test mail", "`check --mail` sends one"),
        (true, false) => findings.skip("test mail", "the mail server cannot be used"),
        (true, true) => test_mail(config, around, findings).await,
    }
}

fn not_configured(options: &Options, findings: &mut Findings) {
    let reason = "no mail is configured: failures show in the log and the exit code only";
    match options.mail {
        false => findings.skip("smtp", reason),
        true => findings.fail_plainly(
            "test mail",
            reason.to_owned(),
            "Set mail.smtp, mail.from and mail.to (FERRY_MAIL_SMTP, FERRY_MAIL_FROM, FERRY_MAIL_TO).",
        ),
    }
}

/// Adds a probe for each step; returns whether all passed.
fn add_steps(probe: SmtpProbe, findings: &mut Findings) -> bool {
    let mut all_passed = add_step("smtp", probe.connected, findings);
    for (name, step) in [
        ("smtp tls", probe.encrypted),
        ("smtp login", probe.authenticated),
    ] {
        match step {
            Some(step) => all_passed &= add_step(name, step, findings),
            None => findings.skip(name, "the step before it failed"),
        }
    }
    all_passed
}

fn add_step(name: &'static str, step: Result<String>, findings: &mut Findings) -> bool {
    match findings.take(name, step) {
        Some(text) => {
            findings.pass(name, text);
            true
        }
        None => false,
    }
}

async fn test_mail(config: &Config, around: Context<'_>, findings: &mut Findings) {
    let Some(refused) = findings.take("test mail", notify::test(config, around).await) else {
        return;
    };
    for error in &refused {
        findings.fail("test mail", error);
    }
    if refused.is_empty() {
        let to: Vec<String> = config.mail.to.iter().map(ToString::to_string).collect();
        findings.pass(
            "test mail",
            format!("accepted by the mail server, for {}", to.join(", ")),
        );
    }
}
