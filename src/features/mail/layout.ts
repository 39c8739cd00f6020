/** A mail, said once and rendered twice: as HTML and as text. All strings are plain text. */
export interface Content {
  /** BCP 47 */
  language: string
  heading: string
  paragraphs: string[]
  button: { text: string; link: string; otherwise: string }
  note?: string | undefined
  /** The small print under the mail. */
  footer: string
}

const FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

/** Inline are the colours for light; programs that know of dark read the style sheet, whose rules must win over the inline ones. */
const DARK = `:root{color-scheme:light dark;supported-color-schemes:light dark}
@media (prefers-color-scheme:dark){
.page{background:#18181b!important;color:#fafafa!important}
.card{background:#27272a!important;border-color:#3f3f46!important}
.small{color:#a1a1aa!important}
.button{background:#2563eb!important}
.link{color:#93c5fd!important}
}`

export function renderHtml({ language, heading, paragraphs, button, note, footer }: Content): string {
  const link = escapeHtml(button.link)
  return `<!doctype html>
<html lang="${escapeHtml(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${escapeHtml(heading)}</title>
<style>${DARK}</style>
</head>
<body class="page" style="margin:0;padding:24px 12px;background:#f4f4f5;color:#18181b;${FONT};font-size:16px;line-height:1.5">
<div class="card" style="max-width:496px;margin:0 auto;padding:32px;background:#ffffff;border:1px solid #e4e4e7;border-radius:12px">
<h1 style="font-size:22px;line-height:1.3;margin:0 0 16px">${escapeHtml(heading)}</h1>
${paragraphs.map((text) => `<p style="margin:0 0 16px;overflow-wrap:anywhere">${escapeHtml(text)}</p>`).join('\n')}
<p style="margin:24px 0"><a class="button" href="${link}" style="display:inline-block;padding:12px 24px;border-radius:8px;background:#1d4ed8;color:#ffffff;text-decoration:none;font-weight:600">${escapeHtml(button.text)}</a></p>
<p class="small" style="margin:0 0 16px;font-size:14px;color:#52525b">${escapeHtml(button.otherwise)} <br><a class="link" href="${link}" style="word-break:break-all;color:#1d4ed8">${link}</a></p>
${note === undefined ? '' : `<p class="small" style="margin:0 0 16px;font-size:14px;color:#52525b">${escapeHtml(note)}</p>`}
<p class="small" style="margin:24px 0 0;font-size:13px;color:#71717a">${escapeHtml(footer)}</p>
</div>
</body>
</html>
`
}

export function renderText({ heading, paragraphs, button, note, footer }: Content): string {
  const parts = [heading, ...paragraphs, `${button.text}:\n${button.link}`, ...(note === undefined ? [] : [note]), `-- \n${footer}`]
  return `${parts.join('\n\n')}\n`
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => ENTITIES[character] as string)
