import type { Mailbox } from './sender'

/**
 * The provider of development: nothing leaves the machine, and the links are printed. Not through the log, which would hide them as the secrets they are.
 * @param write takes one line
 */
export const createMailbox = ({ write }: { write: (line: string) => void }): Mailbox => ({
  name: 'mailbox',
  announce: ({ to, subject, link }) => write(`Mail for ${to}: ${subject}\n  ${link}`),
})
