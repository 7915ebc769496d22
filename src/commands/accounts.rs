//! `threadline user`, `threadline invite` and `threadline key`.

use crate::cli::{InviteCommand, KeyCommand, UserCommand};
use crate::config::Settings;
use crate::stdout::print;
use anyhow::Context;
use secrecy::ExposeSecret;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use threadline_core::store::rows::UserRow;
use threadline_core::store::{Clock, Store};
use threadline_core::{AccountTools, Accounts, NewInvitation, NewServiceKey, check_role, generate_password};

/// Maximum number of rows of a list.
const MAX_ROWS: u32 = 1_000;

/// `threadline user`
///
/// # Errors
/// When the database cannot be used, or the command contradicts what is stored.
pub async fn user(settings: &Settings, command: UserCommand) -> anyhow::Result<()> {
    let tools = AccountTools::open(&settings.database(), &settings.attachments(settings.rest_listen)).await?;
    let AccountTools { accounts, export, erasure } = tools;
    match command {
        UserCommand::Delete { user, is_confirmed } => {
            let row = accounts.find(&user).await?;
            anyhow::ensure!(is_confirmed, "{} ({}) would be lost with all data; confirm with --yes", row.id, row.email);
            accounts.request_erasure(row.id).await?;
            erasure.erase(row.id).await?;
            print(format_args!("{}  erased\n", row.id))
        }
        UserCommand::Export { user, output } => {
            let id = accounts.find(&user).await?.id;
            let mut file = output.map(|path| create_private(&path)).transpose()?;
            let mut cursor = None;
            loop {
                let piece = export.piece(id, cursor.as_deref()).await?;
                match &mut file {
                    Some(file) => file.write_all(piece.lines.as_bytes())?,
                    None => print(&piece.lines)?,
                }
                cursor = piece.next;
                if cursor.is_none() {
                    return Ok(file.map_or(Ok(()), |file| file.sync_all())?);
                }
            }
        }
        UserCommand::Create { email, roles, password_stdin } => {
            roles.iter().try_for_each(|role| check_role(role))?;
            let (password, generated) = password(password_stdin)?;
            let row = accounts.create(&email, password).await?;
            for role in &roles {
                accounts.give_role(row.id, role).await?;
            }
            print(format_args!("{}  {}\n{generated}", row.id, row.email))
        }
        UserCommand::List => {
            let mut after = None;
            loop {
                let rows = accounts.page(after, MAX_ROWS).await?;
                after = rows.last().map(|row| row.id);
                for row in &rows {
                    print(line(row))?;
                }
                if rows.len() < MAX_ROWS as usize {
                    return Ok(());
                }
            }
        }
        UserCommand::Show(user) => {
            let row = accounts.find(&user).await?;
            let roles = accounts.roles(row.id).await?.join(", ");
            let class = accounts.budget_class(row.id).await?;
            print(format_args!(
                "{}roles          {}\nbudget class   {}\n",
                details(&row),
                if roles.is_empty() { "none" } else { &roles },
                class.as_deref().unwrap_or("none"),
            ))
        }
        UserCommand::SetClass { user, class } => {
            let id = accounts.find(&user).await?.id;
            let row = accounts.set_budget_class(id, class).await?;
            let class = row.budget_class.as_deref().unwrap_or("none");
            print(format_args!("{}  has the budget class {class}\n", row.id))
        }
        UserCommand::GiveRole { user, role } => {
            let row = accounts.find(&user).await?;
            accounts.give_role(row.id, &role).await?;
            print(format_args!("{}  has the role {role}\n", row.id))
        }
        UserCommand::TakeRole { user, role } => {
            let row = accounts.find(&user).await?;
            accounts.take_role(row.id, &role).await?;
            print(format_args!("{}  has no role {role} any more\n", row.id))
        }
        UserCommand::Disable(user) => {
            let id = accounts.find(&user).await?.id;
            print(line(&accounts.set_disabled(id, true).await?))
        }
        UserCommand::Enable(user) => {
            let id = accounts.find(&user).await?.id;
            print(line(&accounts.set_disabled(id, false).await?))
        }
        UserCommand::Logout(user) => {
            let row = accounts.find(&user).await?;
            accounts.end_tokens(row.id).await?;
            print(line(&row))
        }
        UserCommand::ResetPassword { user, password_stdin } => {
            let id = accounts.find(&user).await?.id;
            let (password, generated) = password(password_stdin)?;
            let row = accounts.reset_password(id, password).await?;
            print(format_args!("{}{generated}", line(&row)))
        }
    }
}

/// Creates a file that only this user of the machine can read. An existing one is not replaced.
fn create_private(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("--output {path:?} cannot be created"))
}

/// Describes an account in one line.
fn line(row: &UserRow) -> String {
    let state = if row.disabled_at.is_some() { "disabled" } else { "enabled" };
    format!("{}  {}  {}  {state}\n", row.id, row.email, minute(row.created_at.utc()))
}

fn details(row: &UserRow) -> String {
    let disabled = row.disabled_at.map_or_else(|| "no".to_owned(), |at| format!("since {}", minute(at.utc())));
    let ended = row.tokens_after.map_or_else(|| "never".to_owned(), |at| minute(at.utc()));
    format!(
        "id             {}\nemail          {}\ncreated        {}\ndisabled       {disabled}\ntokens ended   {ended}\n\
         sessions       {}\nattachments    {} bytes\n",
        row.id,
        row.email,
        minute(row.created_at.utc()),
        row.session_count,
        row.attachment_bytes,
    )
}

/// Writes a time to the minute.
fn minute(at: impl std::fmt::Display) -> String {
    format!("{:.16} UTC", at.to_string())
}

/// `threadline invite`
///
/// # Errors
/// When the database cannot be used, the email address is not valid, or there is no such invitation.
pub async fn invite(settings: &Settings, command: InviteCommand) -> anyhow::Result<()> {
    let accounts = accounts(settings).await?;
    match command {
        InviteCommand::Create { email, uses, expires_hours } => {
            let lifetime = Duration::from_secs(u64::from(expires_hours) * 3600);
            let (row, code) = accounts.invite(NewInvitation { email, uses, lifetime }).await?;
            let until = minute(row.expires_at.utc());
            print(format_args!("{}\nid {}, until {until}\n", code.expose_secret(), row.id))
        }
        InviteCommand::List => {
            for row in accounts.invitations(MAX_ROWS).await? {
                let until = minute(row.expires_at.utc());
                let email = row.email.as_deref().unwrap_or("any email");
                print(format_args!("{}  {} uses left  until {until}  {email}\n", row.id, row.uses_left))?;
            }
            Ok(())
        }
        InviteCommand::Revoke { id } => {
            accounts.revoke_invitation(id).await?;
            print("revoked\n")
        }
    }
}

/// `threadline key`
///
/// # Errors
/// When the database cannot be used, or the command contradicts what is stored.
pub async fn key(settings: &Settings, command: KeyCommand) -> anyhow::Result<()> {
    let accounts = accounts(settings).await?;
    match command {
        KeyCommand::Create { name, methods, users, requests_per_minute, budget_class, expires_days } => {
            let lifetime = expires_days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
            let new = NewServiceKey { name, methods, users, requests_per_minute, budget_class, lifetime };
            let (row, key) = accounts.create_key(new).await?;
            print(format_args!("{}\nid {}, name {:?}\n", key.expose_secret(), row.id, row.name))
        }
        KeyCommand::List => {
            for row in accounts.keys().await? {
                let state = match (row.revoked_at, row.expires_at) {
                    (Some(at), _) => format!("revoked {}", minute(at.utc())),
                    (None, Some(at)) => format!("until {}", minute(at.utc())),
                    (None, None) => "valid".to_owned(),
                };
                let used =
                    row.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", minute(at.utc())));
                let limit = row.requests_per_minute.map_or_else(String::new, |limit| format!("  {limit} per minute"));
                let class = row.budget_class.map_or_else(String::new, |class| format!("  budget class {class}"));
                let (methods, users) = (row.methods.0.join(","), row.users.0.join(","));
                print(format_args!(
                    "{}  {:?}  {state}  {used}  methods {methods}  users {users}{limit}{class}\n",
                    row.id, row.name
                ))?;
            }
            Ok(())
        }
        KeyCommand::Revoke(name_or_id) => {
            let row = accounts.revoke_key(&name_or_id).await?;
            print(format_args!("{}  {:?}  revoked\n", row.id, row.name))
        }
        KeyCommand::Audit { limit } => {
            for row in accounts.audit(limit).await? {
                let user = row.user_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                let key = row.key_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                let (request, address) = (row.request_id.unwrap_or_default(), row.address.unwrap_or_default());
                print(format_args!(
                    "{}  {}  {}  {}  user {user}  key {key}  request {request}  from {address}\n",
                    row.at.utc().to_rfc3339(),
                    row.actor,
                    row.action,
                    row.outcome,
                ))?;
            }
            Ok(())
        }
    }
}

async fn accounts(settings: &Settings) -> anyhow::Result<Accounts> {
    let store = Store::open(&settings.database()).await?;
    let clock = Arc::new(Clock::read(&store).await?);
    Ok(Accounts::new(store, clock))
}

/// Returns the password of stdin, or a new one with the line that tells it.
fn password(from_stdin: bool) -> anyhow::Result<(String, String)> {
    if !from_stdin {
        let password = generate_password();
        let line = format!("password: {}\n", password.expose_secret());
        return Ok((password.expose_secret().to_owned(), line));
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!password.is_empty(), "stdin has no password: write it on the first line");
    Ok((password.to_owned(), String::new()))
}
