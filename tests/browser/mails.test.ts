import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import { TEMPLATES } from '~/features/mail/schema'
import { LOCALES } from '~/platform/locale'
import { startApp, type TestApp } from '../support/start-app'

const CHROMIUM = '/usr/bin/chromium'
const SLOW = 60_000

const found = existsSync(CHROMIUM)
if (!found) console.warn(`tests/browser/mails.test.ts is skipped: there is no ${CHROMIUM} (apt-get install chromium)`)

describe.skipIf(!found)('the mails in a browser', () => {
  let app: TestApp
  let browser: Browser
  beforeAll(async () => {
    app = await startApp()
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-sync'] })
  }, SLOW)
  afterAll(async () => {
    await browser.close()
    await app.close()
  }, SLOW)

  test(
    'every one is readable in light and dark, fits a phone and asks for nothing from elsewhere',
    async () => {
      const page = await browser.newPage({ viewport: { width: 360, height: 740 } })
      const strayed: string[] = []
      page.on('request', (request) => {
        if (!request.url().startsWith(app.url)) strayed.push(request.url())
      })
      for (const template of TEMPLATES)
        for (const locale of LOCALES) {
          await page.goto(`${app.url}/dev/mailbox/previews/${template}/${locale}`)
          for (const colorScheme of ['light', 'dark'] as const) {
            await page.emulateMedia({ colorScheme })
            const { overflow, background, contrast } = await page.evaluate<Record<string, number>>(MEASURE)
            const seen = { overflow, isDark: Number(background) < 0.5, isReadable: Number(contrast) >= 4.5 }
            expect({ template, locale, ...seen }).toEqual({
              template,
              locale,
              overflow: 0,
              isDark: colorScheme === 'dark',
              isReadable: true,
            })
          }
        }
      expect(strayed).toEqual([])
      await page.close()
    },
    SLOW,
  )

  test(
    'a picture of one in light and of the same in dark differ, and neither is blank',
    async () => {
      const page = await browser.newPage({ viewport: { width: 360, height: 740 } })
      await page.goto(`${app.url}/dev/mailbox/previews/verify-email/en`)
      const light = await page.screenshot()
      await page.emulateMedia({ colorScheme: 'dark' })
      const dark = await page.screenshot()
      expect(light.equals(dark)).toBe(false)
      for (const picture of [light, dark]) expect(picture.length).toBeGreaterThan(5000)
      await page.close()
    },
    SLOW,
  )

  test(
    'the page of previews shows them all',
    async () => {
      const page = await browser.newPage()
      await page.goto(`${app.url}/dev/mailbox/previews`)
      expect(await page.locator('details').count()).toBe(TEMPLATES.length * LOCALES.length)
      await page.close()
    },
    SLOW,
  )
})

/** Runs in the page: how far it reaches over the screen, how bright it is, and the contrast (WCAG 2) of each text to what is behind it. */
const MEASURE = `(() => {
  const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number)
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((value) => {
      const share = value / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at)
      if ((channels(backgroundColor)[3] ?? 1) > 0) return backgroundColor
    }
    return 'rgb(255,255,255)'
  }
  const contrasts = [...document.querySelectorAll('h1, p, a')].map((element) => {
    const [text, ground] = [luminance(getComputedStyle(element).color), luminance(behind(element))]
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)
  })
  return {
    overflow: Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth),
    background: luminance(behind(document.body)),
    contrast: Math.min(...contrasts),
  }
})()`
