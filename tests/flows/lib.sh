# What the flows share; sourced by each. API, ADMIN_EMAIL and ADMIN_PASSWORD may be set by the caller.
set -euo pipefail
API=${API:-http://localhost:8000}
ADMIN_EMAIL=${ADMIN_EMAIL:-admin@evoai.com}
JSON='content-type: application/json'
PASSWORD='correct horse battery'

# say TEXT: what the next step is.
say() { printf '\n# %s\n' "$1"; }
# field NAME < JSON: the first text of that name.
field() { grep -o "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4; }
# post PATH BODY [HEADER…], get PATH [HEADER…]: print the answer's body.
post() { local path=$1 body=$2; shift 2; curl -sS "$API$path" -H "$JSON" "${@/#/-H}" -d "$body"; }
get() { local path=$1; shift; curl -sS "$API$path" "${@/#/-H}"; }
# status PATH [CURL OPTION…]: the status alone.
status() { local path=$1; shift; curl -sS -o /dev/null -w '%{http_code}' "$API$path" "$@"; }

# A new address each time, so that a flow may be run again.
new_address() { echo "flow-$(date +%s)-$RANDOM@example.com"; }

# mail_code ADDRESS: the code in the newest mail to it. Only with the development mailbox.
mail_code() {
  local code tries=0
  until code=$(get /dev/mailbox 'accept: application/json' | grep -o "{[^{]*$1[^}]*" | head -1 | sed 's/.*[?&]\(code\|token\)=\([A-Za-z0-9_-]*\).*/\2/') && [ -n "$code" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { echo "no mail to $1" >&2; return 1; }
    sleep 0.1
  done
  echo "$code"
}

# signed_up: makes an account; sets EMAIL, TOKEN and CLIENT.
signed_up() {
  EMAIL=$(new_address)
  post /api/v1/auth/register "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\",\"name\":\"Flow Ltd\"}" >/dev/null
  get "/api/v1/auth/verify-email/$(mail_code "$EMAIL")" >/dev/null
  TOKEN=$(post /api/v1/auth/login "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}" | field access_token)
  CLIENT=$(curl -sS -X POST "$API/api/v1/auth/me" -H "authorization: Bearer $TOKEN" | field client_id)
  AUTH="authorization: Bearer $TOKEN"
}

# as_admin: sets ADMIN to the header of a signed-in admin.
as_admin() {
  : "${ADMIN_PASSWORD:?set ADMIN_PASSWORD to the password that the first start printed}"
  ADMIN="authorization: Bearer $(post /api/v1/auth/login "{\"email\":\"$ADMIN_EMAIL\",\"password\":\"$ADMIN_PASSWORD\"}" | field access_token)"
}
