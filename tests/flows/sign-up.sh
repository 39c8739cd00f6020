#!/usr/bin/env bash
# Sign-up: an account, the mail with its link, and the proof that the link was read.
. "$(dirname "$0")/lib.sh"
EMAIL=$(new_address)

say 'Register. The answer is the same for an address that is known already.'
post /api/v1/auth/register "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\",\"name\":\"Flow Ltd\"}"

say 'Until the address is proven, signing in is refused with a text that the web frontend knows.'
post /api/v1/auth/login "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}"

say 'The mail was written by a worker. Its link carries a code that counts once.'
CODE=$(mail_code "$EMAIL")
get "/api/v1/auth/verify-email/$CODE"
echo
get "/api/v1/auth/verify-email/$CODE"

say 'Now the account is open.'
post /api/v1/auth/login "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}" | grep -o '"token_type":"bearer"'
