"""Requests made up from the OpenAPI document itself: whatever they say, the gateway answers with a documented status, never
with a server error, and never by hanging."""

import schemathesis
from hypothesis import HealthCheck, settings

EXPECTED = {200, 400, 401, 403, 404, 405, 409, 413, 415, 429, 501}


def test_no_made_up_request_is_answered_with_a_server_error(stack):
    document = stack.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    seen = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ("/metrics", "/health", "/health/ready", "/docs", "/openapi.json"):
            continue

        @settings(max_examples=5, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))
        @schemathesis_given(operation)
        def check(case):
            reply = case.call(base_url=stack.url, headers={"Authorization": f"Bearer {stack.key}"}, timeout=30)
            assert reply.status_code in EXPECTED, f"{operation.method} {operation.path}: {reply.status_code} {reply.text[:500]}"

        check()
        seen += 1
    assert seen > 20


def schemathesis_given(operation):
    import hypothesis

    return hypothesis.given(case=operation.as_strategy())
