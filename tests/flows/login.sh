#!/usr/bin/env bash
# Login: a token, who it is for, renewing it, and its end.
. "$(dirname "$0")/lib.sh"
signed_up

say 'A short-lived access token and a refresh token that changes with each use.'
ANSWER=$(post /api/v1/auth/login "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}")
ACCESS=$(field access_token <<<"$ANSWER")
REFRESH=$(field refresh_token <<<"$ANSWER")

say 'Who am I? A POST without a body, as the web frontend sends it.'
curl -sS -X POST "$API/api/v1/auth/me" -H "authorization: Bearer $ACCESS"

say 'Renew.'
ANSWER=$(post /api/v1/auth/refresh "{\"refresh_token\":\"$REFRESH\"}")
ACCESS=$(field access_token <<<"$ANSWER")
grep -o '"token_type":"bearer"' <<<"$ANSWER"

say 'My sign-ins, on which devices.'
get /api/v1/auth/sessions "authorization: Bearer $ACCESS"

say 'Sign out: the token is refused from now on, by every process.'
status /api/v1/auth/logout -X POST -H "authorization: Bearer $ACCESS"
status /api/v1/auth/me -X POST -H "authorization: Bearer $ACCESS"
