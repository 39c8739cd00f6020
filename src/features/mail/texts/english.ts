import type { Texts } from '../texts'

const UNASKED = 'If this was not you, ignore this mail: nothing changes.'
const NOT_ME = 'If this was not you, somebody else may have your password: choose a new one now.'
const NEW_PASSWORD = 'Choose a new password'
const once = (validity: string) => `The link works once and is valid for ${validity}.`
const counted = (count: number, unit: string) => `${count} ${unit}${count === 1 ? '' : 's'}`

export const english: Texts = {
  language: 'en',
  greeting: (name) => `Hello ${name},`,
  otherwise: 'If the button does not work, open this address:',
  footer: 'Evo AI sent this mail because of something that was done with your address. Nobody reads replies to it.',
  minutes: (count) => counted(count, 'minute'),
  hours: (count) => counted(count, 'hour'),
  mails: {
    'verify-email': ({ validity }) => ({
      subject: 'Email Verification - Evo AI',
      heading: 'Confirm your e-mail address',
      paragraphs: ['thank you for signing up. Confirm that this address is yours to activate your account.'],
      button: 'Confirm address',
      note: `${once(validity)} ${UNASKED}`,
    }),
    'reset-password': ({ validity }) => ({
      subject: 'Password Reset - Evo AI',
      heading: NEW_PASSWORD,
      paragraphs: ['somebody asked for a new password for your account.'],
      button: 'Choose a password',
      note: `${once(validity)} ${UNASKED}`,
    }),
    welcome: () => ({
      subject: 'Welcome to Evo AI',
      heading: 'Welcome to Evo AI',
      paragraphs: ['your address is confirmed and your account is active. Define an agent, give it a model and tools, and talk to it.'],
      button: 'Open Evo AI',
    }),
    'already-registered': () => ({
      subject: 'You already have an account - Evo AI',
      heading: 'You already have an account',
      paragraphs: ['somebody tried to sign up with your address, which has an account already. Sign in, or ask there for a new password.'],
      button: 'Open Evo AI',
      note: UNASKED,
    }),
    'change-email': ({ validity }) => ({
      subject: 'Confirm your new address - Evo AI',
      heading: 'Confirm your new address',
      paragraphs: ['this address shall take the place of the one that your account has now. Confirm that it is yours.'],
      button: 'Confirm address',
      note: `${once(validity)} ${UNASKED}`,
    }),
    'email-change-requested': ({ newEmail }) => ({
      subject: 'Your address is about to change - Evo AI',
      heading: 'Your address is about to change',
      paragraphs: [
        `somebody who knows your password asked to sign in with ${newEmail} instead of this address from now on.`,
        'If this was not you, choose a new password now, before the other address is confirmed.',
      ],
      button: NEW_PASSWORD,
    }),
    'account-locked': ({ attempts, lockedFor }) => ({
      subject: 'Security Alert - Account Locked',
      heading: 'Your account is locked for a while',
      paragraphs: [
        `somebody gave a wrong password or code for your account ${attempts} times. Nobody can sign in from there for ${lockedFor}.`,
        'You can sign in at once if you choose a new password.',
      ],
      button: NEW_PASSWORD,
    }),
    'second-factor-changed': () => ({
      subject: 'Your second factor was changed - Evo AI',
      heading: 'Your second factor was changed',
      paragraphs: ['the second factor of your account, or the codes that stand in for it, was set up, renewed or taken away.', NOT_ME],
      button: NEW_PASSWORD,
    }),
    'password-changed': () => ({
      subject: 'Your password was changed - Evo AI',
      heading: 'Your password was changed',
      paragraphs: ['the password of your account was changed, and every other sign-in was ended.', NOT_ME],
      button: NEW_PASSWORD,
    }),
    'new-sign-in': ({ address, device, moment }) => ({
      subject: 'New sign-in to your account - Evo AI',
      heading: 'New sign-in to your account',
      paragraphs: [`somebody signed in to your account from ${address} with ${device} on ${moment}, as never before.`, NOT_ME],
      button: NEW_PASSWORD,
    }),
    'budget-reached': ({ clientName, spent, limit }) => ({
      subject: 'Budget reached - Evo AI',
      heading: 'Your budget is reached',
      paragraphs: [
        `the agents of ${clientName} have spent ${spent} of ${limit}.`,
        'Once the budget is used up, their runs are refused until it is raised or the next period begins.',
      ],
      button: 'Open Evo AI',
    }),
    invitation: ({ clientName, validity }) => ({
      subject: 'Invitation to Evo AI',
      heading: 'You are invited',
      paragraphs: [`${clientName} invites you to work on its agents. Choose a name and a password to join.`],
      button: 'Accept the invitation',
      note: `${once(validity)} If you do not know who this is, ignore this mail.`,
    }),
  },
}
