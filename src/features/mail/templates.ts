import { type Content, renderHtml, renderText } from './layout'
import type { MailTemplate } from './schema'

export interface Rendered {
  subject: string
  text: string
  html: string
  /** Where the button leads, for the development mailbox. */
  link: string
}

export interface Facts {
  /** The recipient's address. */
  email: string
  /** Of the templates that carry a one-time link. */
  token?: string
  /** Of an invitation: who invites. */
  clientName?: string
  /** The address that somebody wants to have instead. */
  newEmail?: string
}

export interface TemplateSettings {
  /** The web frontend, without a slash at the end. Never taken from a request (OTT-07). */
  appUrl: string
  verifyTtlSeconds: number
  resetTtlSeconds: number
  invitationTtlSeconds: number
  /** So many wrong passwords lock an account for so long. */
  lockout: { attempts: number; seconds: number }
}

export type RenderMail = (template: MailTemplate, facts: Facts) => Rendered

interface Written extends Omit<Content, 'footer'> {
  subject: string
  link: string
}

const FOOTER = 'Evo AI sent this mail because of something that was done with your address. Nobody reads replies to it.'
const UNASKED = 'If this was not you, ignore this mail: nothing changes.'

/** Subjects are fixed and names only ever stand in the text, escaped (QUEUE-01). */
export function createTemplates({
  appUrl,
  verifyTtlSeconds,
  resetTtlSeconds,
  invitationTtlSeconds,
  lockout,
}: TemplateSettings): RenderMail {
  const templates: Record<MailTemplate, (name: string, token: string, about: string) => Written> = {
    'verify-email': (name, token) => {
      const link = `${appUrl}/security/verify-email?code=${encodeURIComponent(token)}`
      return {
        subject: 'Email Verification - Evo AI',
        link,
        heading: 'Confirm your e-mail address',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: 'thank you for signing up. Confirm that this address is yours to activate your account.' },
          { button: 'Confirm address', link },
          { note: `The link works once and is valid for ${duration(verifyTtlSeconds)}. ${UNASKED}` },
        ],
      }
    },
    'reset-password': (name, token) => {
      const link = `${appUrl}/security/reset-password?token=${encodeURIComponent(token)}`
      return {
        subject: 'Password Reset - Evo AI',
        link,
        heading: 'Choose a new password',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: 'somebody asked for a new password for your account.' },
          { button: 'Choose a password', link },
          { note: `The link works once and is valid for ${duration(resetTtlSeconds)}. ${UNASKED}` },
        ],
      }
    },
    'already-registered': (name) => ({
      subject: 'You already have an account - Evo AI',
      link: appUrl,
      heading: 'You already have an account',
      blocks: [
        { paragraph: `Hello ${name},` },
        {
          paragraph: 'somebody tried to sign up with your address, which has an account already. Sign in, or ask there for a new password.',
        },
        { button: 'Open Evo AI', link: appUrl },
        { note: UNASKED },
      ],
    }),
    'change-email': (name, token) => {
      const link = `${appUrl}/security/confirm-email-change?token=${encodeURIComponent(token)}`
      return {
        subject: 'Confirm your new address - Evo AI',
        link,
        heading: 'Confirm your new address',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: 'this address shall take the place of the one that your account has now. Confirm that it is yours.' },
          { button: 'Confirm address', link },
          { note: `The link works once and is valid for ${duration(verifyTtlSeconds)}. ${UNASKED}` },
        ],
      }
    },
    'email-change-requested': (name, _token, newEmail) => {
      const link = `${appUrl}/security/forgot-password`
      return {
        subject: 'Your address is about to change - Evo AI',
        link,
        heading: 'Your address is about to change',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: `somebody who knows your password asked to sign in with ${newEmail} instead of this address from now on.` },
          { paragraph: 'If this was not you, choose a new password now, before the other address is confirmed.' },
          { button: 'Choose a new password', link },
        ],
      }
    },
    'account-locked': (name) => {
      const link = `${appUrl}/security/forgot-password`
      return {
        subject: 'Security Alert - Account Locked',
        link,
        heading: 'Your account is locked for a while',
        blocks: [
          { paragraph: `Hello ${name},` },
          {
            paragraph: `somebody gave a wrong password or code for your account ${lockout.attempts} times. Nobody can sign in from there for ${duration(lockout.seconds)}.`,
          },
          { paragraph: 'You can sign in at once if you choose a new password.' },
          { button: 'Choose a new password', link },
        ],
      }
    },
    'second-factor-changed': (name) => {
      const link = `${appUrl}/security/forgot-password`
      return {
        subject: 'Your second factor was changed - Evo AI',
        link,
        heading: 'Your second factor was changed',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: 'the second factor of your account, or the codes that stand in for it, was set up, renewed or taken away.' },
          { paragraph: 'If this was not you, somebody else may have your password: choose a new one now.' },
          { button: 'Choose a new password', link },
        ],
      }
    },
    invitation: (name, token, clientName) => {
      const link = `${appUrl}/security/accept-invitation?token=${encodeURIComponent(token)}`
      return {
        subject: 'Invitation to Evo AI',
        link,
        heading: 'You are invited',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: `${clientName} invites you to work on its agents. Choose a name and a password to join.` },
          { button: 'Accept the invitation', link },
          {
            note: `The link works once and is valid for ${duration(invitationTtlSeconds)}. If you do not know who this is, ignore this mail.`,
          },
        ],
      }
    },
    'password-changed': (name) => {
      const link = `${appUrl}/security/forgot-password`
      return {
        subject: 'Your password was changed - Evo AI',
        link,
        heading: 'Your password was changed',
        blocks: [
          { paragraph: `Hello ${name},` },
          { paragraph: 'the password of your account was changed, and every other sign-in was ended.' },
          { paragraph: 'If this was not you, somebody else may have your password: choose a new one now.' },
          { button: 'Choose a new password', link },
        ],
      }
    },
  }
  return (template, { email, token = '', clientName = '', newEmail = '' }) => {
    const { subject, link, ...content } = templates[template](nameOf(email), token, newEmail === '' ? oneLine(clientName) : newEmail)
    const whole = { ...content, footer: FOOTER }
    return { subject, link, text: renderText(whole), html: renderHtml(whole) }
  }
}

const MAX_NAME = 64

/** The part before the `@`, as the reference has it. Control characters go, so that a name cannot end a line. */
const nameOf = (email: string) => oneLine(email.split('@')[0] ?? '')

const oneLine = (name: string) =>
  name
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .slice(0, MAX_NAME)
    .trim()

function duration(seconds: number): string {
  const [count, unit] = seconds >= 7200 || seconds === 3600 ? [Math.round(seconds / 3600), 'hour'] : [Math.round(seconds / 60), 'minute']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
