#!/usr/bin/env bash
# Audit: who did what, for the platform's admins; and whether nobody touched the log.
. "$(dirname "$0")/lib.sh"
signed_up
as_admin
USER_ID=$(curl -sS -X POST "$API/api/v1/auth/me" -H "$AUTH" | field id)

say 'The sign-in of a moment ago, once the worker has written it.'
until get "/api/v1/admin/audit-logs?user_id=$USER_ID&action=login&limit=1" "$ADMIN" | grep '"action":"login"'; do sleep 0.2; done

say 'The entries are chained: a changed, missing or moved one is found.'
get "/api/v1/admin/audit-logs/verify?client_id=$CLIENT" "$ADMIN"

say 'It is nobody else’s business.'
status /api/v1/admin/audit-logs -H "$AUTH"
