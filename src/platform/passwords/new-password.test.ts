import { expect, test } from 'bun:test'
import { DomainError } from '../errors'
import { createHashNewPassword } from './new-password'

const hashNewPassword = createHashNewPassword({
  passwords: {
    waitForRoom: async () => undefined,
    hash: async (password) => `hash of ${password}`,
    verify: async () => false,
    close: () => undefined,
  },
})
const about = { email: 'mary.shelley@acme.example', names: ['Acme Robotics Ltd', null] }

const codeOf = (password: string) =>
  hashNewPassword('/password', { chosen: password, about }).then(
    () => 'accepted',
    (error) => (error instanceof DomainError ? `${error.errors?.[0]?.pointer} ${error.errors?.[0]?.code}` : String(error)),
  )

test.each(['password1234', 'Password1234', 'qwertyuiop', '1234567890', 'iloveyou1'])(
  'PWD-14: %s is one of the common ones',
  async (password) => {
    expect(await codeOf(password)).toBe('/password password-compromised')
  },
)

test.each([
  'aaaaaaaa',
  '88888888',
  'AbAbAbAb',
  '123123123',
  '12341234',
  'qwerqwerq',
  '87654321',
  '90123456',
  'abcdefgh',
  'lkjhgfdsa',
  'qwertzui',
])('PWD-14: %s is made as the common ones are', async (password) => {
  expect(await codeOf(password)).toBe('/password password-compromised')
})

test.each([
  'My Evo-AI password',
  'evoai-evoai',
  'ACME robotics ltd 2026',
  'acme2026!!',
  'mary.shelley',
  'Mary Shelley!1818',
  'shelley-mary',
])('PWD-14: %s repeats what a guesser knows', async (password) => {
  expect(await codeOf(password)).toBe('/password password-context')
})

test.each([
  'four unusual words here',
  'acme makes fine anvils', // a name among other words
  'pass word with spaces 🙂',
  '        ',
  '语语语语语语语语',
  'abcd-wxyz',
  'abcdeabcde',
  `${'🙂 '.repeat(21)}!`,
])('PWD-15: %s is accepted', async (password) => {
  expect(await codeOf(password)).toBe('accepted')
})

test('a password that somebody gives another may be weak, and no longer than any other', async () => {
  expect(await hashNewPassword('/password', { initial: 'password1234' })).toBe('hash of password1234')
  expect(await codeOf('語'.repeat(171))).toBe('/password length')
})
