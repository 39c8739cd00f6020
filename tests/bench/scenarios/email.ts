import { insertClient, insertUser } from '~/features/users/queries'
import type { Taken } from '../mail-sink'
import type { Options } from '../options'
import { createMeasure, giveToFloor, giveToWorker, MAILS_AT_ONCE, type Queues, until } from '../queues'
import { type Finding, ofRounds, round } from '../report'
import { alternate, median } from '../rounds'

const USERS = 200

/** The loop that sends by @sendgrid/mail shows what that library allows with the transport that it comes with. */
const COMPARED = [
  { answerMs: 0, floor: 'email' },
  { answerMs: 0, floor: 'library' },
  { answerMs: 50, floor: 'email' },
] as const

/** Mails a second of one worker process, against a bare loop with the same provider. */
export async function email(queues: Queues, options: Options): Promise<Finding[]> {
  const recipients = await seedRecipients(queues)
  const findings: Finding[] = []
  for (const { answerMs, floor } of COMPARED) findings.push(await measure(queues, options, recipients, answerMs, floor))
  return findings
}

async function measure(
  queues: Queues,
  { rounds, seconds }: Options,
  recipients: Recipients,
  answerMs: number,
  floor: 'email' | 'library',
): Promise<Finding> {
  const { sink } = queues
  await fetch(`${sink.url}/pace/${answerMs}`, { method: 'POST' })
  const body = JSON.stringify(floor === 'email' ? MAIL : BY_LIBRARY)
  const taken = async () => (await (await fetch(`${sink.url}/taken`)).json()) as Taken
  /** From the telling to the last mail's arrival at the provider. */
  const timed = async (count: number, give: () => Promise<number>) => {
    const before = (await taken()).count
    const startedAt = await give()
    await until(async () => (await taken()).count >= before + count)
    return (await taken()).lastAt - startedAt
  }
  const { clientId, userIds } = recipients
  const ask = (index: number) => ({ clientId, payload: { template: 'password-changed', user_id: userIds[index % USERS] } })
  const guess = answerMs === 0 ? 300 : 100
  const results = await alternate(rounds, {
    server: createMeasure(guess, seconds, (count) =>
      timed(count, () =>
        giveToWorker(
          queues,
          'email',
          Array.from({ length: count }, (_, at) => ask(at)),
        ),
      ),
    ),
    floor: createMeasure(guess, seconds, (count) =>
      timed(count, () =>
        giveToFloor(
          queues,
          floor,
          Array.from({ length: count }, () => body),
        ),
      ),
    ),
  })
  const cells = (side: 'server' | 'floor') => ({ 'mails/s': round(median(results.map((result) => result[side]))) })
  return {
    title: `Mails of one worker process, a provider that answers ${answerMs === 0 ? 'at once' : `after ${answerMs} ms`}${floor === 'library' ? '; the floor sends by @sendgrid/mail too' : ''}`,
    notes: [
      `floor: XREADGROUP and XACK, ${MAILS_AT_ONCE} calls ${floor === 'library' ? 'of @sendgrid/mail' : 'of fetch'} at once as the worker has them; mails stand ready in the stream and are written nowhere`,
      'worker: the whole process of EVO_ROLE=worker, mails composed and each attempt and outcome written to PostgreSQL, which syncs its log to the disk',
    ],
    rows: [
      { side: 'worker', cells: cells('server') },
      { side: 'floor', cells: cells('floor') },
    ],
    verdicts: [
      { what: 'mails/s against the floor', ...ofRounds(results.map(({ server, floor }) => server / floor)), goal: { atLeast: 0.5 } },
    ],
  }
}

interface Recipients {
  clientId: string
  userIds: string[]
}

async function seedRecipients({ database: { db } }: Queues): Promise<Recipients> {
  const client = await insertClient(db, { name: 'Mails', email: 'mails@example.com' })
  if (client === undefined) throw new Error('the client is there already')
  const userIds: string[] = []
  for (let number = 0; number < USERS; number++) {
    const user = await insertUser(db, {
      email: `reader-${number}@example.com`,
      passwordHash: '',
      isActive: true,
      emailVerified: true,
      isAdmin: false,
      clientId: client.id,
    })
    if (user === undefined) throw new Error('the user is there already')
    userIds.push(user.id)
  }
  return { clientId: client.id, userIds }
}

/** As large as those that the worker writes. */
const MAIL = {
  personalizations: [{ to: [{ email: 'reader@example.com' }], custom_args: { delivery_id: crypto.randomUUID() } }],
  from: { email: 'noreply@example.com' },
  subject: 'Your password was changed',
  content: [
    { type: 'text/plain', value: 'x'.repeat(500) },
    { type: 'text/html', value: 'x'.repeat(4000) },
  ],
}

/** The same as @sendgrid/mail is given it. */
const BY_LIBRARY = {
  to: 'reader@example.com',
  from: MAIL.from.email,
  subject: MAIL.subject,
  text: 'x'.repeat(500),
  html: 'x'.repeat(4000),
}
