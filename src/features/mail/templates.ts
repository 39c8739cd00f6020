import { renderHtml, renderText } from './layout'
import type { MailTemplate } from './schema'
import { type About, type Texts, textsFor } from './texts'

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
  /** The recipient's language; English unless it is one that we speak. */
  locale?: string
  /** Of the templates that carry a one-time link. */
  token?: string
  /** Of an invitation: who invites. */
  clientName?: string
  /** The address that somebody wants to have instead. */
  newEmail?: string
  /** Of a sign-in from a place or with a program that the account has not known. */
  signIn?: { address: string; userAgent: string | null; at: Date }
  /** Of a budget, in US dollars. */
  budget?: { spentUsd: number; limitUsd: number }
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

/** Where each mail leads below the frontend's address. What follows `?` is the token and nothing else. */
const PATHS: Record<MailTemplate, `/${string}` | ''> = {
  'verify-email': '/security/verify-email?code=',
  'reset-password': '/security/reset-password?token=',
  'change-email': '/security/confirm-email-change?token=',
  invitation: '/security/accept-invitation?token=',
  welcome: '/dashboard',
  'already-registered': '',
  'email-change-requested': '/security/forgot-password',
  'account-locked': '/security/forgot-password',
  'second-factor-changed': '/security/forgot-password',
  'password-changed': '/security/forgot-password',
  'new-sign-in': '/security/forgot-password',
  'budget-reached': '/dashboard',
}

/** One source for each mail in each language, told as HTML and as text. All that varies is text and is escaped (QUEUE-01). */
export function createTemplates(settings: TemplateSettings): RenderMail {
  const { appUrl, verifyTtlSeconds, resetTtlSeconds, invitationTtlSeconds } = settings
  const ttlSeconds: Partial<Record<MailTemplate, number>> = {
    'verify-email': verifyTtlSeconds,
    'change-email': verifyTtlSeconds,
    'reset-password': resetTtlSeconds,
    invitation: invitationTtlSeconds,
  }
  return (template, facts) => {
    const texts = textsFor(facts.locale ?? 'en')
    const about = describe(facts, texts, settings, ttlSeconds[template] ?? 0)
    const { subject, heading, paragraphs, button, note } = texts.mails[template](about)
    const path = PATHS[template]
    const link = `${appUrl}${path}${path.endsWith('=') ? encodeURIComponent(facts.token ?? '') : ''}`
    const content = {
      language: texts.language,
      heading,
      paragraphs: [texts.greeting(about.name), ...paragraphs],
      button: { text: button, link, otherwise: texts.otherwise },
      note,
      footer: texts.footer,
    }
    return { subject, link, text: renderText(content), html: renderHtml(content) }
  }
}

function describe(
  { email, clientName, newEmail, signIn, budget }: Facts,
  texts: Texts,
  { lockout }: TemplateSettings,
  seconds: number,
): About {
  const { money, moment } = formatsOf(texts.language)
  return {
    name: nameOf(email),
    validity: duration(seconds, texts),
    clientName: oneLine(clientName ?? ''),
    newEmail: newEmail ?? '',
    attempts: lockout.attempts,
    lockedFor: duration(lockout.seconds, texts),
    address: oneLine(signIn?.address ?? ''),
    device: oneLine(signIn?.userAgent ?? '') || '?',
    moment: signIn === undefined ? '' : `${moment.format(signIn.at)} UTC`,
    spent: budget === undefined ? '' : money.format(budget.spentUsd),
    limit: budget === undefined ? '' : money.format(budget.limitUsd),
  }
}

interface Formats {
  money: Intl.NumberFormat
  moment: Intl.DateTimeFormat
}

/** Of each language once: making one takes longer than all else about a mail. */
const formats = new Map<string, Formats>()

function formatsOf(language: string): Formats {
  let found = formats.get(language)
  if (found === undefined) {
    found = {
      money: new Intl.NumberFormat(language, { style: 'currency', currency: 'USD' }),
      moment: new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' }),
    }
    formats.set(language, found)
  }
  return found
}

const MAX_NAME = 64

/** The part before the `@`, as the reference has it. Control characters go, so that a name cannot end a line. */
const nameOf = (email: string) => oneLine(email.split('@')[0] ?? '')

const oneLine = (name: string) => [...name.replace(/[\p{C}\p{Z}]+/gu, ' ')].slice(0, MAX_NAME).join('').trim()

const duration = (seconds: number, { hours, minutes }: Texts) =>
  seconds >= 7200 || seconds === 3600 ? hours(Math.round(seconds / 3600)) : minutes(Math.round(seconds / 60))
