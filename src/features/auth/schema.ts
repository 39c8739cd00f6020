import { t } from 'elysia'
import { Email, GivenPassword, LinkCode, Name, passwordOf } from '~/platform/http/schema'

/** Who signs up in the examples of the API document. */
const ADA = { email: 'ada@example.com', password: 'correct horse battery' }
const SOME_CODE = 'the code of the link'

export const authSchemas = ({ passwordMinLength }: { passwordMinLength: number }) => {
  const NewPassword = passwordOf(passwordMinLength)
  return {
    Registration: t.Object({ email: Email, password: NewPassword, name: Name }, { examples: [{ ...ADA, name: 'Ada Ltd' }] }),
    Login: t.Object({ email: Email, password: GivenPassword }, { examples: [ADA] }),
    EmailOnly: t.Object({ email: Email }, { examples: [{ email: ADA.email }] }),
    Reset: t.Object({ token: LinkCode, new_password: NewPassword }, { examples: [{ token: SOME_CODE, new_password: ADA.password }] }),
    Change: t.Object(
      { current_password: GivenPassword, new_password: NewPassword },
      { examples: [{ current_password: ADA.password, new_password: 'purple monkey dishwasher' }] },
    ),
    EmailChange: t.Object(
      { current_password: GivenPassword, new_email: Email },
      { examples: [{ current_password: ADA.password, new_email: 'ada.lovelace@example.com' }] },
    ),
    Verification: t.Object({ token: LinkCode }, { examples: [{ token: SOME_CODE }] }),
  }
}

export interface Registration {
  email: string
  password: string
  name: string
}
