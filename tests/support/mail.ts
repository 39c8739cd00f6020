import type { Mail } from '~/features/mail/sender'

/** As a sender is given it. */
export const mail: Mail = {
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  to: 'sam@acme.example',
  from: 'noreply@evo.example',
  subject: 'Email Verification - Evo AI',
  text: 'Hello',
  html: '<p>Hello</p>',
}
