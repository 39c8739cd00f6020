#!/usr/bin/env bash
# Errors: one body for all of them (RFC 9457), and what each status means.
. "$(dirname "$0")/lib.sh"
signed_up

say '401: no credential, or one that is refused.'
get /api/v1/clients/
echo
get /api/v1/clients/ 'authorization: Bearer not.a.token'

say '403: signed in, and not allowed. 404: not there, or another client’s: both look the same.'
get /api/v1/admin/users "$AUTH"
echo
get /api/v1/agents/00000000-0000-4000-8000-000000000000 "$AUTH"

say '422: each field that is wrong, by its pointer; never what was sent.'
post /api/v1/agents/ "{\"client_id\":\"$CLIENT\",\"name\":\"no spaces please\",\"type\":\"llm\"}" "$AUTH"

say '409: the same Idempotency-Key gives the first answer; for another request it is refused with 422.'
NEW_FOLDER="{\"client_id\":\"$CLIENT\",\"name\":\"Once\"}"
FIRST=$(post /api/v1/agents/folders "$NEW_FOLDER" "$AUTH" 'idempotency-key: flow-1' | field id)
SECOND=$(post /api/v1/agents/folders "$NEW_FOLDER" "$AUTH" 'idempotency-key: flow-1' | field id)
[ "$FIRST" = "$SECOND" ] && echo "one folder: $FIRST"
post /api/v1/agents/folders "{\"client_id\":\"$CLIENT\",\"name\":\"Twice\"}" "$AUTH" 'idempotency-key: flow-1'

say 'Every problem type has a page.'
get /problems/idempotency-key-reused | head -c 200
