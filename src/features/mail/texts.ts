import type { Locale } from '~/platform/locale'
import type { MailTemplate } from './schema'
import { english } from './texts/english'
import { portuguese } from './texts/portuguese'

/** What a mail may mention. Everything is text; nothing here is secret. */
export interface About {
  name: string
  /** How long the link is good, in words. */
  validity: string
  clientName: string
  newEmail: string
  /** Of a lock: after how many failures, and for how long, in words. */
  attempts: number
  lockedFor: string
  /** Of a sign-in: from where, with what, and when. */
  address: string
  device: string
  moment: string
  /** Of a budget: spent and allowed, with their currency. */
  spent: string
  limit: string
}

export interface Wording {
  /** Fixed: names only ever stand in the text, escaped (QUEUE-01). */
  subject: string
  heading: string
  paragraphs: string[]
  button: string
  /** Small, under the button. */
  note?: string
}

/** All that is said in one language. */
export interface Texts {
  /** BCP 47 */
  language: string
  greeting(name: string): string
  /** Over the link, for who cannot use the button. */
  otherwise: string
  footer: string
  minutes(count: number): string
  hours(count: number): string
  mails: Record<MailTemplate, (about: About) => Wording>
}

const TEXTS: Record<Locale, Texts> = { en: english, pt: portuguese }

/** Of a language tag such as `pt-BR`; English for any other. */
export const textsFor = (locale: string): Texts => (/^pt\b/i.test(locale) ? TEXTS.pt : TEXTS.en)
