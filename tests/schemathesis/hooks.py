"""Checks of schemathesis for this API.

`positive_data_acceptance` expects that the service accepts what the schema allows. Some refusals depend on the data or on the
settings of the service, which no schema can say: those have the words below.
"""

import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

BEYOND_SCHEMAS = [
    "names no session of yours",
    "names no agent",
    "names no item",
    "days can be asked for at a time",
    "must not be after `until`",
    "must be the cursor",
    "There is no action",
    "names no method",
    "Name at least one method",
    "is not a media type",
    "must be an email address",
    "is not a valid token",
    "Only a client token can be cancelled",
    # A format is not a requirement in JSON Schema 2020-12.
    "UUID parsing failed",
    "takes ids of attachments",
    # ChatKit demands what JSON-RPC leaves open.
    "needs the member",
    "The message has no text.",
    "bytes; at most",
    "bytes in total",
    "were sent",
    "must be the number of an event, or a cursor",
    "is not a cursor of this list",
]


@schemathesis.check
def valid_input_is_accepted(ctx, response, case):
    """What the schema allows is accepted, unless data or settings forbid it.

    Only for the systematic phase: random values find each time another refusal that no schema can state.
    """
    if case.meta is None or case.meta.phase.name.value != "coverage":
        return None
    if response.status_code in (400, 413) and any(words in response.text for words in BEYOND_SCHEMAS):
        return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.check
def no_server_error(ctx, response, case):
    """No status 5xx, but for what the server was not set up for."""
    if response.status_code == 503 and "This server turns no speech into text" in response.text:
        return None
    return not_a_server_error(ctx, response, case)
