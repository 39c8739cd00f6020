import { type Static, t } from 'elysia'
import { GivenPassword, text } from '~/platform/http/schema'

const Code = t.String({
  minLength: 6,
  maxLength: 32,
  error: 'Must be the six digits of the device or a recovery code',
  description: 'The six digits that the device shows, or a recovery code. Each is good once.',
})

export const Enrolment = t.Object({ current_password: GivenPassword }, { examples: [{ current_password: 'correct horse battery' }] })
export const Confirmation = t.Object({ code: Code }, { examples: [{ code: '123456' }] })
export const Proof = t.Object(
  { current_password: GivenPassword, code: Code },
  { examples: [{ current_password: 'correct horse battery', code: '123456' }] },
)
export const SecondStep = t.Object(
  {
    mfa_token: text({
      minLength: 1,
      maxLength: 200,
      description: 'From the `second-factor-required` that the password was answered with.',
    }),
    code: Code,
  },
  { examples: [{ mfa_token: 'the mfa_token of the first step', code: '123456' }] },
)

export const NewFactor = t.Object(
  {
    secret: t.String({ description: 'Base32, for typing in.' }),
    otpauth_url: t.String({ description: 'For a QR code: what authenticator apps read.' }),
  },
  { title: 'NewFactor' },
)
export type NewFactor = Static<typeof NewFactor>

export const RecoveryCodes = t.Object(
  { recovery_codes: t.Array(t.String(), { description: 'Shown this once. Each stands in for the device once.' }) },
  { title: 'RecoveryCodes' },
)
export type RecoveryCodes = Static<typeof RecoveryCodes>

export const FactorState = t.Object(
  { totp: t.Boolean({ description: 'Whether a device is set up.' }), recovery_codes_left: t.Integer() },
  { title: 'FactorState' },
)
export type FactorState = Static<typeof FactorState>
