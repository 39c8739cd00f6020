// Lints the API document on stdin with Spectral's rules for OpenAPI; prints a line for each finding of severity error or warning.
import { readFileSync } from 'node:fs'
import spectral from '@stoplight/spectral-core'
import rulesets from '@stoplight/spectral-rulesets'

/** Where we know better: the operator names no contact, the reference's lists end in a slash, and a summary often says all; a WebSocket opens with 101, and our own tests demand an answer of everything else. */
const OFF = ['info-contact', 'path-keys-no-trailing-slash', 'operation-description', 'operation-success-response']
const rules = Object.fromEntries(OFF.map((name) => [name, 'off']))

const linter = new spectral.Spectral()
linter.setRuleset({ extends: [rulesets.oas], rules })
for (const { code, message, path, severity } of await linter.run(readFileSync(0, 'utf8')))
  if (severity < 2) console.log(`${severity === 0 ? 'error' : 'warning'} ${code} ${path.join('/')} ${message}`)
