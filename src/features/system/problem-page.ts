import type { ProblemName } from '~/platform/errors'
import { PROBLEMS } from '~/platform/http/problems'

/** A page for people who follow the `type` of a problem. All of its text is ours. */
export function problemPage(name: ProblemName): string {
  const { status, title, meaning } = PROBLEMS[name]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}code{font-size:.95em}</style>
<h1>${title}</h1>
<p><code>${name}</code>, status ${status}</p>
<p>${escapeHtml(meaning)}</p>
<p>Every error of this API is a problem document (RFC 9457): <code>type</code>, <code>title</code>, <code>status</code>, <code>detail</code>, <code>instance</code>, <code>trace_id</code> and, where fields were refused, <code>errors</code>.</p>
</html>
`
}

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
