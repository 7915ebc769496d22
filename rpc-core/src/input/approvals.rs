//! Decisions about tool calls that wait for approval.
//!
//! A decision is about one stored call: its id, its tool and its arguments. Whatever is not clearly an approval refuses
//! the call.

use crate::agent::{ApprovedCall, ResolvedAgent};
use crate::error::Error;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use threadline_engine::wire::{CallApproval, ToolCallBody};
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::{
    ApprovalOutcome, StructuredInput, StructuredInputAnswer, StructuredInputItem, StructuredInputStatus,
    StructuredInputSubmission,
};
use threadline_schema::ids::ItemId;
use threadline_tools::{ApprovalDecision, EXPIRED_RESULT, refused_result};

/// A call that the user has decided about.
pub(super) struct DecidedCall {
    pub(super) outcome: ApprovalOutcome,
    /// The call with the decision.
    pub(super) body: ToolCallBody,
    /// The questions with the answers.
    pub(super) questions: StructuredInputItem,
    /// The tool whose calls are approved for the rest of the thread.
    pub(super) approved_tool: Option<String>,
}

impl DecidedCall {
    /// Decides about a call.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the call is approved with arguments that its tool does not take, `SERVICE_UNAVAILABLE` if
    /// they cannot be checked. The call waits on.
    pub(super) fn new(
        approval: CallApproval,
        body: ToolCallBody,
        questions: StructuredInputItem,
        submission: StructuredInputSubmission,
        agent: &ResolvedAgent,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        check_ids(&questions, &submission)?;
        let mut this = Self { outcome: ApprovalOutcome::Expired, body, questions, approved_tool: None };
        if now >= approval.expires_at {
            this.refuse(approval, EXPIRED_RESULT.to_owned());
            return Ok(this);
        }
        let mut edited = None;
        match ApprovalDecision::read(&submission).map_err(Error::invalid)? {
            ApprovalDecision::Refuse(reason) => {
                this.outcome = ApprovalOutcome::Refused;
                this.record_answers(submission);
                this.refuse(approval, refused_result(reason.as_deref()));
                return Ok(this);
            }
            ApprovalDecision::Approve => this.outcome = ApprovalOutcome::Approved,
            ApprovalDecision::ApproveAlways => this.outcome = ApprovalOutcome::ApprovedAlways,
            ApprovalDecision::Edit(arguments) => {
                this.outcome = ApprovalOutcome::Edited;
                edited = Some(check_arguments(&this.body.name, arguments, agent)?);
            }
        }
        this.record_answers(submission);
        this.approve(approval, edited);
        Ok(this)
    }

    /// Returns the call for the run that makes it; `None` if it is refused.
    pub(super) fn approved_call(&self, item_id: ItemId) -> Option<ApprovedCall> {
        self.outcome.is_approval().then(|| ApprovedCall { item_id, body: self.body.clone() })
    }

    fn approve(&mut self, approval: CallApproval, edited: Option<Map<String, Value>>) {
        let Self { outcome, body, questions, approved_tool } = self;
        body.approval = Some(CallApproval { outcome: Some(*outcome), ..approval });
        // From now on it is a call of the run that makes it, the only one of that run's first turn.
        body.waits_for = None;
        body.turn = 0;
        let is_remembered = match outcome {
            ApprovalOutcome::ApprovedAlways => true,
            ApprovalOutcome::Approved => approval.is_first,
            // The user did not agree with what the model wanted.
            _ => false,
        };
        *approved_tool = is_remembered.then(|| body.name.clone());
        if let Some(arguments) = edited {
            body.arguments = Value::Object(arguments.clone()).to_string();
            if let Some(shown) = &mut questions.approval {
                shown.edited_arguments = Some(arguments);
            }
        }
        self.show_outcome();
    }

    fn refuse(&mut self, approval: CallApproval, result: String) {
        self.body.approval = Some(CallApproval { outcome: Some(self.outcome), ..approval });
        self.body.result = Some(result);
        self.show_outcome();
    }

    fn show_outcome(&mut self) {
        let Self { outcome, questions, .. } = self;
        if let Some(shown) = &mut questions.approval {
            shown.outcome = Some(*outcome);
        }
        let is_answered = outcome.is_approval() || *outcome == ApprovalOutcome::Refused;
        questions.status = if is_answered { StructuredInputStatus::Answered } else { StructuredInputStatus::Skipped };
        skip_unanswered(&mut questions.inputs);
    }

    fn record_answers(&mut self, submission: StructuredInputSubmission) {
        record_answers(&mut self.questions.inputs, submission);
    }
}

/// Returns whether this decision has answered the questions about a call: the same outcome by the same answers.
pub(super) fn was_decided_by(questions: &StructuredInputItem, submission: &StructuredInputSubmission) -> bool {
    let Some(outcome) = questions.approval.as_ref().and_then(|shown| shown.outcome) else { return false };
    let decided = match ApprovalDecision::read(submission) {
        Ok(ApprovalDecision::Refuse(_)) => ApprovalOutcome::Refused,
        Ok(ApprovalDecision::Approve) => ApprovalOutcome::Approved,
        Ok(ApprovalDecision::ApproveAlways) => ApprovalOutcome::ApprovedAlways,
        Ok(ApprovalDecision::Edit(_)) => ApprovalOutcome::Edited,
        Err(_) => return false,
    };
    // Whatever was decided too late has this outcome, and its answers are not stored.
    if outcome == ApprovalOutcome::Expired {
        return true;
    }
    let mut inputs = questions.inputs.clone();
    record_answers(&mut inputs, submission.clone());
    skip_unanswered(&mut inputs);
    outcome == decided && inputs == questions.inputs
}

fn record_answers(inputs: &mut [StructuredInput], mut submission: StructuredInputSubmission) {
    for input in inputs {
        let (id, answer) = id_and_answer(input);
        *answer = submission.answers.remove(id).filter(|given| !given.skipped);
    }
}

fn skip_unanswered(inputs: &mut [StructuredInput]) {
    for input in inputs {
        let (_, answer) = id_and_answer(input);
        answer.get_or_insert(StructuredInputAnswer { values: Vec::new(), skipped: true });
    }
}

/// Checks that a submission answers no other questions.
fn check_ids(questions: &StructuredInputItem, submission: &StructuredInputSubmission) -> Result<(), Error> {
    let mut inputs = questions.inputs.clone();
    let ids: Vec<&str> = inputs.iter_mut().map(|input| id_and_answer(input).0).collect();
    match submission.answers.keys().find(|id| !ids.contains(&id.as_str())) {
        None => Ok(()),
        Some(id) => {
            let id: String = id.chars().take(100).collect();
            Err(Error::invalid(format!("`answers` names {id:?}, which is not one of these questions.")))
        }
    }
}

fn check_arguments(
    tool: &str,
    arguments: Map<String, Value>,
    agent: &ResolvedAgent,
) -> Result<Map<String, Value>, Error> {
    let value = Value::Object(arguments);
    match agent.tools.check_arguments(tool, &value) {
        Some(Ok(())) => {}
        Some(Err(problem)) => return Err(Error::invalid(format!("The arguments do not fit: {problem}."))),
        None => {
            let message = format!("The tool {tool} is not available, so the arguments cannot be checked.");
            return Err(Error::new(ErrorCode::ServiceUnavailable, message));
        }
    }
    let Value::Object(arguments) = value else { return Err(Error::invalid("The arguments must be an object.")) };
    Ok(arguments)
}

fn id_and_answer(input: &mut StructuredInput) -> (&str, &mut Option<StructuredInputAnswer>) {
    match input {
        StructuredInput::MultipleChoice(input) => (&input.id, &mut input.answer),
        StructuredInput::Freeform(input) => (&input.id, &mut input.answer),
    }
}
