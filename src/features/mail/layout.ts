/** One part of a mail, said once and rendered twice: as HTML and as text. All strings are plain text. */
export type Block = { paragraph: string } | { button: string; link: string } | { note: string }

export interface Content {
  heading: string
  blocks: Block[]
  /** The small print under the mail. */
  footer: string
}

const FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

export function renderHtml({ heading, blocks, footer }: Content): string {
  const body = blocks.map(blockHtml).join('\n')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(heading)}</title>
</head>
<body style="margin:0;padding:24px 12px;${FONT};font-size:16px;line-height:1.5">
<div style="max-width:560px;margin:0 auto">
<h1 style="font-size:22px;line-height:1.3;margin:0 0 16px">${escapeHtml(heading)}</h1>
${body}
<p style="margin:32px 0 0;font-size:13px;opacity:.7">${escapeHtml(footer)}</p>
</div>
</body>
</html>
`
}

export function renderText({ heading, blocks, footer }: Content): string {
  return [heading, ...blocks.map(blockText), `-- \n${footer}`].join('\n\n').concat('\n')
}

function blockHtml(block: Block): string {
  if ('paragraph' in block) return `<p style="margin:0 0 16px">${escapeHtml(block.paragraph)}</p>`
  if ('note' in block) return `<p style="margin:0 0 16px;font-size:14px;opacity:.8">${escapeHtml(block.note)}</p>`
  const link = escapeHtml(block.link)
  return `<p style="margin:24px 0"><a href="${link}" style="display:inline-block;padding:12px 24px;border-radius:8px;background:#1d4ed8;color:#ffffff;text-decoration:none;font-weight:600">${escapeHtml(block.button)}</a></p>
<p style="margin:0 0 16px;font-size:14px;opacity:.8">If the button does not work, open this address: <br><a href="${link}" style="word-break:break-all">${link}</a></p>`
}

function blockText(block: Block): string {
  if ('paragraph' in block) return block.paragraph
  if ('note' in block) return block.note
  return `${block.button}:\n${block.link}`
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => ENTITIES[character] as string)
