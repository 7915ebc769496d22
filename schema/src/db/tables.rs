//! The tables. Written by hand, once for both databases; a test migrates both and reads every column.

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Accounts.
    users (id) {
        id -> Id,
        /// Lower-cased; unique.
        email -> Text,
        /// argon2id, in PHC string form.
        password_hash -> Text,
        /// Threads that are not archived: kept, not counted, so that the limit is one conditional UPDATE.
        session_count -> BigInt,
        created_at -> UtcTime,
        /// What the user's attachments come to once they are all uploaded: kept, not counted, for the same reason.
        attachment_bytes -> BigInt,
        /// Counts up when all tokens of the user are ended: a token of an earlier generation is refused.
        token_generation -> BigInt,
        /// When that was last done: a token without a generation is refused if it was issued before.
        tokens_after -> Nullable<UtcTime>,
        /// Absent unless the user is disabled.
        disabled_at -> Nullable<UtcTime>,
        /// The budget class that the operator has given to the user.
        budget_class -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Conversations.
    threads (id) {
        id -> Id,
        user_id -> Id,
        title -> Text,
        /// Whether the user chose the title; the first message replaces it otherwise.
        title_is_set -> Bool,
        /// `active`, `locked` or `closed`.
        status -> Text,
        status_reason -> Nullable<Text>,
        /// Out of the list and out of the limit, not deleted. A temporary thread always is.
        archived -> Bool,
        /// JSON object.
        metadata -> Text,
        /// User and assistant messages: kept, not counted.
        message_count -> BigInt,
        /// Position of the next item, the first being 0; counted up in the transaction that appends.
        next_position -> BigInt,
        created_at -> UtcTime,
        updated_at -> UtcTime,
        /// Whether it is deleted some hours after its last use.
        temporary -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Entries of threads, one row each.
    items (id) {
        id -> Id,
        thread_id -> Id,
        run_id -> Nullable<Id>,
        position -> BigInt,
        /// `user_message`, `assistant_message`, `workflow`, `tool_call`, `sdk_hidden_context`, ...
        kind -> Text,
        /// Whether clients never see it.
        hidden -> Bool,
        /// JSON: the item as clients see it, or for a hidden one what the model needs of it.
        body -> Text,
        created_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Turns of the assistant.
    runs (id) {
        id -> Id,
        thread_id -> Id,
        user_id -> Id,
        /// Place in the thread of the message it answers, or one of its own where there is no new message: the order of
        /// a thread's runs, whatever the clocks say.
        position -> BigInt,
        /// `queued`, `running`, `completed`, `failed`, `cancelled` or `interrupted`.
        status -> Text,
        /// The process that answers. Its lease is renewed while it lives.
        owner -> Id,
        /// Counts changes of owner: a write with an old epoch is refused.
        epoch -> BigInt,
        lease_expires_at -> UtcTime,
        last_seq -> BigInt,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        /// How its answer ended: `stop`, `length`, ...
        finish_reason -> Nullable<Text>,
        prompt_tokens -> BigInt,
        completion_tokens -> BigInt,
        /// The last assistant message it wrote.
        message_id -> Nullable<Id>,
        /// Whether its events are still in `run_events`.
        log_kept -> Bool,
        /// When its user asked for its end, which is for its owner to bring about.
        cancel_requested_at -> Nullable<UtcTime>,
        /// The user's message that it answers again.
        retry_of -> Nullable<Id>,
        created_at -> UtcTime,
        /// Absent exactly while the run is queued or running.
        finished_at -> Nullable<UtcTime>,
        /// What it reserves of the budget of its user while it is active, on the day when it was created.
        held_tokens -> BigInt,
        held_micros -> BigInt,
        /// What it cost; absent before its end, and when its model has no price.
        cost_micros -> Nullable<BigInt>,
        /// The shared budgets that hold as much, a scope per line.
        budget_scopes -> Text,
        /// JSON: the request that started it, for a process that continues it. Absent once it has ended.
        request -> Nullable<Text>,
        /// JSON: what it had used when its last step was stored. Absent before the first, and once it has ended.
        used -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// What runs emitted. A row may hold several neighbouring text deltas: it covers `first_seq..=last_seq`.
    run_events (run_id, first_seq) {
        run_id -> Id,
        first_seq -> BigInt,
        last_seq -> BigInt,
        /// JSON; of several deltas the one that they make together.
        event -> Text,
        /// Of several deltas: how many bytes of JSON each has between its quotes, with commas between them.
        cuts -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Submissions that named themselves with an idempotency key: a retry finds what the first try made.
    #[sql_name = "submissions"]
    idempotency_keys (user_id, key) {
        user_id -> Id,
        key -> Text,
        /// SHA-256 of what was submitted, in hex: the same key with another body is a conflict.
        fingerprint -> Text,
        thread_id -> Id,
        run_id -> Nullable<Id>,
        created_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// To-do lists.
    tasks (id) {
        id -> Id,
        user_id -> Id,
        title -> Text,
        description -> Nullable<Text>,
        /// `low`, `medium` or `high`.
        priority -> Text,
        /// JSON array of strings.
        tags -> Text,
        completed -> Bool,
        created_at -> UtcTime,
        updated_at -> UtcTime,
        /// Present exactly when `completed`.
        completed_at -> Nullable<UtcTime>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::Id;

    /// What users have used, a row for each day on which they did.
    usage_days (user_id, day) {
        user_id -> Id,
        /// Days since 1970-01-01, UTC.
        day -> BigInt,
        /// Runs that have ended.
        runs -> BigInt,
        /// Those whose cost is not known.
        unpriced_runs -> BigInt,
        prompt_tokens -> BigInt,
        completion_tokens -> BigInt,
        /// Millionths of the currency in which the prices are.
        cost_micros -> BigInt,
        /// What runs that continue hold.
        held_tokens -> BigInt,
        held_micros -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Files that go with messages. Their bytes are in the storage for attachments.
    attachments (id) {
        id -> Id,
        user_id -> Id,
        /// The thread of the message that has taken it; absent until one has.
        thread_id -> Nullable<Id>,
        name -> Text,
        mime_type -> Text,
        /// Bytes, as announced; what is uploaded must have as many.
        size -> BigInt,
        /// Whether it has been uploaded and looked at.
        ready -> Bool,
        /// The upload that is under way.
        upload_id -> Nullable<Id>,
        /// Bytes of that upload so far.
        received -> BigInt,
        created_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// What users think of items.
    feedback (item_id, user_id) {
        item_id -> Id,
        user_id -> Id,
        thread_id -> Id,
        /// `positive` or `negative`.
        kind -> Text,
        /// When it was given; of several the last.
        created_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Deleted attachments whose bytes may still exist. A trigger writes this table.
    attachment_leftovers (attachment_id) {
        attachment_id -> Id,
        deleted_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Processes that serve the database.
    processes (id) {
        id -> Id,
        /// Whether it holds the advisory lock that is named after it.
        holds_lock -> Bool,
        /// When it last wrote this row.
        seen_at -> UtcTime,
        /// How often runs were taken from it. Its journal writes only while it knows this number.
        fence -> BigInt,
        /// Whether it reads `log_segments`. While one process does not, no process writes them.
        reads_segments -> Bool,
        /// Name of its machine.
        host -> Nullable<Text>,
        /// Where it listens.
        address -> Nullable<Text>,
        version -> Nullable<Text>,
        started_at -> Nullable<UtcTime>,
        /// Since when it accepts no new runs because it stops.
        draining_since -> Nullable<UtcTime>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::Id;

    /// What the active runs of a process have emitted and `run_events` does not have yet: a row per tick of its
    /// journal.
    log_segments (process_id, number) {
        process_id -> Id,
        /// Counts the ticks of the process.
        number -> BigInt,
        /// Events of any number of runs, packed.
        events -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Tools whose calls the user of a thread has approved for the rest of the thread.
    tool_approvals (thread_id, tool) {
        thread_id -> Id,
        /// The name that models know.
        tool -> Text,
        created_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// What models read in place of the oldest turns of a thread.
    thread_summaries (thread_id) {
        thread_id -> Id,
        /// Position of the last item in the summary; -1 if there is no summary yet.
        through_position -> BigInt,
        text -> Text,
        /// The job that writes the next summary.
        job_id -> Nullable<Id>,
        /// No other job begins before this time.
        next_job_at -> UtcTime,
        updated_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Permissions to register an account.
    invitations (id) {
        id -> Id,
        /// SHA-256 of the code, in hex: the code itself is stored nowhere.
        code_hash -> Text,
        /// The only email address that may use it, normalised; absent if anybody may who has the code.
        email -> Nullable<Text>,
        /// How many accounts can still be registered with it.
        uses_left -> BigInt,
        created_at -> UtcTime,
        expires_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Changes of access of the last minutes, which each process reads. Written in the transaction of the change.
    access_changes (id) {
        id -> Id,
        /// Whose access has changed.
        subject_id -> Id,
        changed_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Users of identity providers.
    foreign_identities (issuer, subject) {
        issuer -> Text,
        /// What the provider calls the user.
        subject -> Text,
        user_id -> Id,
        /// As the provider says; need not be unique.
        email -> Nullable<Text>,
        /// JSON array of strings.
        roles -> Text,
        created_at -> UtcTime,
        /// Budget class, as the provider says.
        budget_class -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Keys of internal services.
    service_keys (id) {
        id -> Id,
        /// Unique.
        name -> Text,
        /// SHA-256 of the key, in hex: the key itself is stored nowhere.
        key_hash -> Text,
        /// JSON array: the methods that it may call.
        methods -> Text,
        /// JSON array: the users that it may act for.
        users -> Text,
        requests_per_minute -> Nullable<BigInt>,
        created_at -> UtcTime,
        expires_at -> Nullable<UtcTime>,
        revoked_at -> Nullable<UtcTime>,
        /// To the minute.
        last_used_at -> Nullable<UtcTime>,
        /// The budget class of what it starts.
        budget_class -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Client tokens that were cancelled before they expire.
    cancelled_tokens (id) {
        id -> Id,
        expires_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Who did what for which user.
    audit_log (id) {
        id -> Id,
        at -> UtcTime,
        /// `key:NAME`, `user:ID`, or `user` for one who is erased.
        actor -> Text,
        key_id -> Nullable<Id>,
        user_id -> Nullable<Id>,
        /// Name of a method or a command.
        action -> Text,
        /// `allowed`, or the code of the error with which it was refused.
        outcome -> Text,
        request_id -> Nullable<Text>,
        /// Of the client.
        address -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Accounts whose erasure is requested and not done.
    account_erasures (user_id) {
        user_id -> Id,
        requested_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::UtcTime;

    /// Users of identity providers whose accounts were erased: tokens from before create no new account. Kept for as
    /// long as such a token may be valid.
    erased_identities (identity_hash) {
        /// SHA-256 of issuer and subject, in hex.
        identity_hash -> Text,
        erased_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    /// The usage of erased users, a row for each day: sums that belong to no user.
    anonymous_usage (day) {
        /// Days since 1970-01-01, UTC.
        day -> BigInt,
        runs -> BigInt,
        unpriced_runs -> BigInt,
        prompt_tokens -> BigInt,
        completion_tokens -> BigInt,
        cost_micros -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    /// What all users together have used of a budget that they share, on one day.
    budget_days (scope, day) {
        /// `all`, `agent:NAME` or `class:NAME`.
        scope -> Text,
        /// Days since 1970-01-01, UTC.
        day -> BigInt,
        tokens -> BigInt,
        /// Millionths of the currency in which the prices are.
        cost_micros -> BigInt,
        /// What runs that continue hold.
        held_tokens -> BigInt,
        held_micros -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// What is held of budgets by work that has no row of an active run: transcriptions, and runs that were deleted
    /// with their threads.
    budget_holds (id) {
        /// Of a run: the id of the run.
        id -> Id,
        user_id -> Id,
        /// The process that does the work. Its lease is renewed while it lives.
        owner -> Id,
        lease_expires_at -> UtcTime,
        /// The day that holds it, in days since 1970-01-01, UTC.
        day -> BigInt,
        /// 1 for a run, and 0 for other work.
        runs -> BigInt,
        tokens -> BigInt,
        micros -> BigInt,
        /// The shared budgets that hold as much, a scope per line.
        scopes -> Text,
        /// JSON: what the run had used when its last step was stored.
        used -> Nullable<Text>,
        /// What is charged if the process dies and it is not known what was used.
        prompt_tokens -> BigInt,
        cost_micros -> Nullable<BigInt>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::UtcTime;

    /// Failed logins.
    login_failures (email_hash) {
        /// SHA-256 of the email, in hexadecimal digits.
        email_hash -> Text,
        /// In a row, without a success.
        failures -> BigInt,
        last_at -> UtcTime,
        /// No login is tried before.
        blocked_until -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::{Id, UtcTime};

    /// Roles that the operator has given to users.
    user_roles (user_id, role) {
        user_id -> Id,
        role -> Text,
        granted_at -> UtcTime,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    /// What all users have used on one day, by agent and model. The rows of a day are added up when they are read.
    usage_sums (day, agent, model, slot) {
        /// Days since 1970-01-01, UTC.
        day -> BigInt,
        /// Empty if it is not known.
        agent -> Text,
        /// Empty if it is not known.
        model -> Text,
        /// Which of the rows that share the writes.
        slot -> BigInt,
        /// Accounts whose first usage of the day was booked here.
        users -> BigInt,
        runs -> BigInt,
        unpriced_runs -> BigInt,
        prompt_tokens -> BigInt,
        completion_tokens -> BigInt,
        /// Millionths of the currency in which the prices are.
        cost_micros -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::sql::Id;

    /// What a user has used in one calendar month.
    usage_months (user_id, month) {
        /// Months since January 1970, UTC.
        month -> BigInt,
        user_id -> Id,
        runs -> BigInt,
        unpriced_runs -> BigInt,
        /// Input and output.
        tokens -> BigInt,
        /// Millionths of the currency in which the prices are.
        cost_micros -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    /// How often models and tools have failed in one hour.
    error_hours (hour, kind, name, code) {
        /// Hours since 1970-01-01, UTC.
        hour -> BigInt,
        /// `model` or `tool`.
        kind -> Text,
        name -> Text,
        /// The error code.
        code -> Text,
        count -> BigInt,
    }
}

diesel::joinable!(threads -> users (user_id));
diesel::joinable!(usage_months -> users (user_id));
diesel::joinable!(items -> threads (thread_id));
diesel::joinable!(runs -> threads (thread_id));
diesel::joinable!(run_events -> runs (run_id));
diesel::joinable!(idempotency_keys -> threads (thread_id));
diesel::joinable!(tasks -> users (user_id));
diesel::joinable!(feedback -> items (item_id));
diesel::joinable!(attachments -> threads (thread_id));
diesel::joinable!(tool_approvals -> threads (thread_id));
diesel::joinable!(thread_summaries -> threads (thread_id));
diesel::allow_tables_to_appear_in_same_query!(
    users,
    threads,
    items,
    runs,
    run_events,
    idempotency_keys,
    tasks,
    feedback,
    usage_days,
    usage_sums,
    usage_months,
    error_hours,
    attachments,
    attachment_leftovers,
    processes,
    log_segments,
    tool_approvals,
    thread_summaries,
    invitations,
    access_changes,
    foreign_identities,
    service_keys,
    cancelled_tokens,
    audit_log,
    account_erasures,
    erased_identities,
    anonymous_usage,
    budget_days,
    budget_holds,
    login_failures,
    user_roles
);
