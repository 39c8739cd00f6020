import { t } from 'elysia'
import { Email, GivenPassword, Name, passwordOf } from '~/platform/http/schema'

export const authSchemas = ({ passwordMinLength }: { passwordMinLength: number }) => {
  const NewPassword = passwordOf(passwordMinLength)
  return {
    Registration: t.Object({ email: Email, password: NewPassword, name: Name }),
    Login: t.Object({ email: Email, password: GivenPassword }),
    EmailOnly: t.Object({ email: Email }),
    Reset: t.Object({ token: t.String({ minLength: 1, maxLength: 200 }), new_password: NewPassword }),
    Change: t.Object({ current_password: GivenPassword, new_password: NewPassword }),
    EmailChange: t.Object({ current_password: GivenPassword, new_email: Email }),
    Verification: t.Object({ token: t.String({ minLength: 1, maxLength: 200 }) }),
  }
}

export interface Registration {
  email: string
  password: string
  name: string
}
