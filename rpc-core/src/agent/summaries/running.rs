//! The jobs that are at work, so that a new run of their thread can interrupt them.

use parking_lot::Mutex;
use std::collections::HashMap;
use threadline_schema::ids::ThreadId;
use tokio_util::sync::CancellationToken;

/// How often the jobs of a thread are interrupted in a row. The next one is written to its end: a user who writes
/// quickly has a summary too.
const MAX_INTERRUPTIONS: u32 = 3;

/// Maximum number of threads that are remembered without a job at work.
const MAX_IDLE: usize = 1_000;

/// The jobs of this process that are at work, by thread.
#[derive(Debug, Default)]
pub(crate) struct RunningSummaries {
    jobs: Mutex<HashMap<ThreadId, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// The newest job; `None` if it has ended.
    job: Option<RunningJob>,
    /// How many jobs were interrupted since one ended.
    interruptions: u32,
}

/// A job that is at work.
#[derive(Debug, Clone, Default)]
pub(super) struct RunningJob {
    /// Cancelled to interrupt it.
    pub(super) interrupted: CancellationToken,
    /// Cancelled when it has ended.
    pub(super) ended: CancellationToken,
}

impl RunningSummaries {
    /// Interrupts the job of a thread, because a run of it begins: on a server that answers one request at a time, the
    /// user would wait for the summary. The next job begins after the end of that run.
    pub(in crate::agent) fn interrupt(&self, thread_id: ThreadId) {
        if let Some(Entry { job: Some(job), interruptions }) = self.jobs.lock().get_mut(&thread_id)
            && *interruptions < MAX_INTERRUPTIONS
            && !job.interrupted.is_cancelled()
        {
            *interruptions += 1;
            job.interrupted.cancel();
        }
    }

    /// Records that a job begins. Returns the interrupted one, if it has not ended yet.
    pub(super) fn begin(&self, thread_id: ThreadId) -> (RunningJob, Option<RunningJob>) {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= MAX_IDLE {
            jobs.retain(|_, entry| entry.job.is_some());
        }
        let job = RunningJob::default();
        let before = jobs.entry(thread_id).or_default().job.replace(job.clone());
        (job, before.filter(|before| before.interrupted.is_cancelled()))
    }

    /// Records that a job has ended.
    pub(super) fn end(&self, thread_id: ThreadId, job: &RunningJob) {
        job.ended.cancel();
        let mut jobs = self.jobs.lock();
        let Some(entry) = jobs.get_mut(&thread_id) else { return };
        // Another one may have begun meanwhile.
        if entry.job.as_ref().is_some_and(|newest| newest.ended.is_cancelled()) {
            entry.job = None;
        }
        if !job.interrupted.is_cancelled() {
            entry.interruptions = 0;
            if entry.job.is_none() {
                jobs.remove(&thread_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_interrupts_the_job_of_its_thread_some_times() {
        let (running, thread) = (RunningSummaries::default(), ThreadId::nil());
        running.interrupt(thread);
        for _ in 0..MAX_INTERRUPTIONS {
            let (job, before) = running.begin(thread);
            assert!(before.is_none() && !job.interrupted.is_cancelled());
            running.interrupt(thread);
            assert!(job.interrupted.is_cancelled());
            running.end(thread, &job);
        }
        let (job, _) = running.begin(thread);
        running.interrupt(thread);
        assert!(!job.interrupted.is_cancelled(), "this one is written");
        running.end(thread, &job);
        assert!(running.jobs.lock().is_empty());
        let (job, _) = running.begin(thread);
        running.interrupt(thread);
        assert!(job.interrupted.is_cancelled());
        // The next one begins before that has ended.
        let (next, before) = running.begin(thread);
        assert!(!before.unwrap().ended.is_cancelled());
        running.end(thread, &job);
        running.interrupt(thread);
        assert!(next.interrupted.is_cancelled());
    }
}
