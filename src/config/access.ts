import type { Reader } from './reader'

const GENERATED = 'generated in EVO_DATA_DIR outside production'

/** Tokens, passwords, keys, and the first accounts. */
export function readAccess(read: Reader, { apiUrl }: { apiUrl: string }) {
  read.group = 'Access'
  return {
    jwtSecret: read.secret('JWT_SECRET_KEY', 'Signs access tokens (HS256), at least 32 bytes.', GENERATED),
    jwtAlgorithm: read.choice('JWT_ALGORITHM', 'Kept for the reference; HS256 is the only one.', 'HS256', ['HS256']),
    jwtPreviousSecrets: read.secrets(
      'JWT_PREVIOUS_SECRETS',
      'Other signing secrets that are accepted: the next one and retired ones, separated by commas.',
    ),
    accessTokenSeconds: read.integer('JWT_EXPIRATION_TIME', 'Life of an access token in seconds.', 1800, 60, 86_400),
    refreshIdleHours: read.integer('REFRESH_TOKEN_IDLE_HOURS', 'A sign-in that is not refreshed for so long ends, in hours.', 168, 1, 8760),
    refreshMaxDays: read.integer(
      'REFRESH_TOKEN_MAX_DAYS',
      'Longest life of a sign-in, however often it is refreshed, in days.',
      30,
      1,
      365,
    ),
    refreshOverlapSeconds: read.integer(
      'REFRESH_OVERLAP_SECONDS',
      'How long a used refresh token still gives the same successor (two tabs, a lost answer); used later, it ends the sign-in.',
      10,
      0,
      60,
    ),
    issuer: read.text('JWT_ISSUER', '`iss` of our tokens.', apiUrl, { shown: '$API_URL' }),
    audience: read.text('JWT_AUDIENCE', '`aud` of our tokens.', 'evo-ai-api'),
    encryptionKeys: read
      .secrets('ENCRYPTION_KEY', 'Key-encryption keys, newest first, separated by commas; each at least 32 bytes.', { shown: GENERATED })
      .join(','), // empty when absent
    bcryptCost: read.integer('BCRYPT_COST', 'Work factor of new password hashes.', 12, 4, 15),
    passwordMinLength: read.integer('PASSWORD_MIN_LENGTH', 'Least length of a password in characters.', 8, 8, 128),
    maxLoginAttempts: read.integer('MAX_LOGIN_ATTEMPTS', 'Wrong passwords per account and network, after which it is locked.', 5, 1, 100),
    lockoutMinutes: read.integer('LOGIN_LOCKOUT_MINUTES', 'How long it stays locked.', 30, 1, 1440),
    tokenExpiryHours: read.integer('TOKEN_EXPIRY_HOURS', 'Validity of a verification link in hours.', 24, 1, 720),
    resetExpiryHours: read.integer('RESET_TOKEN_EXPIRY_HOURS', 'Validity of a password reset link in hours.', 1, 1, 72),
    invitationHours: read.integer('INVITATION_EXPIRY_HOURS', 'Validity of an invitation in hours.', 168, 1, 720),
    adminsNeedSecondFactor: read.flag(
      'ADMIN_REQUIRE_SECOND_FACTOR',
      'Platform admins without a second factor can do nothing but set one up.',
      false,
    ),
    adminEmail: read.account('ADMIN_EMAIL', 'The first admin, created when there is none.', 'admin@evoai.com'),
    adminInitialPassword: read.password('ADMIN_INITIAL_PASSWORD', 'Its first password.'),
  }
}

/** What `bun run db:seed` makes; the server itself never reads it. */
export function readDemo(read: Reader) {
  read.group = 'Demo data'
  return {
    email: read.account('DEMO_EMAIL', 'The demo user of `bun run db:seed`.', 'demo@example.com'),
    password: read.password('DEMO_PASSWORD', 'Its password.'),
    clientName: read.text('DEMO_CLIENT_NAME', 'The client that it belongs to.', 'Demo Client'),
  }
}

export function readRates(read: Reader) {
  read.group = 'Rates'
  const perMinute = (name: string, doc: string, fallback: number, shown?: string) =>
    read.integer(name, doc, fallback, 1, 100_000_000, shown === undefined ? {} : { shown })
  const signInPerMinute = perMinute('RATE_SIGN_IN_PER_MINUTE', 'Sign-in, refresh, sign-up and mail requests per address and minute.', 60)
  const mailRequestsPerHour = read.integer(
    'RATE_MAIL_REQUESTS_PER_HOUR',
    'Requests for a mail (forgotten password, verification) per network and hour.',
    60,
    1,
    1_000_000,
  )
  const requestsPerMinute = perMinute('RATE_REQUESTS_PER_MINUTE', 'Requests per caller and minute that change nothing.', 6000)
  return {
    signInPerMinute,
    mailRequestsPerHour,
    requestsPerMinute,
    writesPerMinute: perMinute(
      'RATE_WRITES_PER_MINUTE',
      'Requests per caller and minute that change something.',
      Math.max(1, Math.floor(requestsPerMinute / 5)),
      'a fifth of RATE_REQUESTS_PER_MINUTE',
    ),
    chatsPerMinute: perMinute('RATE_CHATS_PER_MINUTE', 'Runs started per caller and minute.', 600),
    refusedPerMinute: perMinute(
      'RATE_REFUSED_PER_MINUTE',
      'Bad tokens and keys per address and minute that are answered 401, not 429.',
      600,
    ),
    replicas: read.integer(
      'EVO_API_REPLICAS',
      'Containers that serve the API. While Redis is away, each process allows its share of the rates, at sign-in half of it.',
      1,
      1,
      10_000,
    ),
  }
}
