import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { startApp, type TestApp } from '../support/start-app'

const CHROMIUM = '/usr/bin/chromium'
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const SLOW = 60_000

const found = existsSync(CHROMIUM)
if (!found) console.warn(`tests/browser/docs.test.ts is skipped: there is no ${CHROMIUM} (apt-get install chromium)`)

/** What a page may never do. */
interface Complaints {
  foreignRequests: string[]
  errors: string[]
}

describe.skipIf(!found)('the docs page in a browser without internet', () => {
  let app: TestApp
  let browser: Browser
  beforeAll(async () => {
    app = await startApp()
    // A profile of its own: launch() makes one and removes it.
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
  }, SLOW)
  afterAll(async () => {
    await browser.close()
    await app.close()
  }, SLOW)

  /** A page of a fresh visitor. Requests to other hosts are cut and noted, as is what the browser finds wrong, breaches of the policy included. */
  const openPage = async (path: string): Promise<{ page: Page; complaints: Complaints }> => {
    const complaints: Complaints = { foreignRequests: [], errors: [] }
    const context = await browser.newContext()
    await context.route('**/*', (route) => {
      if (new URL(route.request().url()).origin === app.url) return route.continue()
      complaints.foreignRequests.push(route.request().url())
      return route.abort()
    })
    const page = await context.newPage()
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.errors.push(message.text())
    })
    page.on('pageerror', (error) => complaints.errors.push(error.message))
    await page.goto(`${app.url}${path}`)
    await page.locator('.opblock').first().waitFor({ timeout: SLOW })
    return { page, complaints }
  }

  const authorize = async (page: Page, input: string, value: string) => {
    await page.locator('.auth-wrapper > button.authorize').click()
    await page.locator(input).fill(value)
    await page
      .locator('.auth-container', { has: page.locator(input) })
      .getByRole('button', { name: 'Apply credentials' })
      .click()
    await page.locator('.close-modal').click()
  }

  /** "Try it out" and "Execute" of one operation; resolves with what the page then shows as the answer. */
  const tryOut = async (
    page: Page,
    operationId: string,
    fill: (operation: ReturnType<Page['locator']>) => Promise<void> = async () => {},
  ) => {
    const operation = page.locator(`.opblock[id$="-${operationId}"]`)
    await scrollUntil(page, async () => (await operation.count()) > 0)
    await operation.locator('.opblock-summary-control').click()
    await operation.getByRole('button', { name: 'Try it out' }).click()
    await fill(operation)
    await operation.getByRole('button', { name: 'Execute' }).click()
    const answer = operation.locator('.live-responses-table')
    await answer.waitFor({ timeout: SLOW })
    return {
      status: (await answer.locator('tbody .response-col_status').first().textContent())?.trim(),
      body: (await answer.locator('.microlight').first().textContent()) ?? '',
    }
  }

  /** Of a long document Swagger UI draws what is in sight: `look` is asked after each step down the page until it says true. */
  const scrollUntil = async (page: Page, look: () => Promise<boolean>) => {
    await page.mouse.move(200, 400)
    for (let step = 0; step < 200 && !(await look()); step++) {
      await page.mouse.wheel(0, 500)
      await page.waitForTimeout(50)
    }
  }

  /** The operations of the whole page, by their ids. */
  const operationsOf = async (page: Page, enough: number): Promise<number> => {
    const seen = new Set<string>()
    await scrollUntil(page, async () => {
      for (const id of await page.locator('.opblock').evaluateAll((blocks) => blocks.map(({ id }) => id))) seen.add(id)
      return seen.size >= enough
    })
    return seen.size
  }

  const nothingWrong = { foreignRequests: [], errors: [] }

  test(
    'it shows every documented operation',
    async () => {
      const { page, complaints } = await openPage('/docs')
      const { body } = await app.stranger('GET', '/openapi.json')
      const documented = Object.values<object>(body.paths).flatMap((item) => Object.keys(item))
      expect(await operationsOf(page, documented.length)).toBe(documented.length)
      expect(await page.locator('.info .title').textContent()).toContain(body.info.title)
      expect(complaints).toEqual(nothingWrong)
    },
    SLOW,
  )

  test(
    'Authorize takes an access token, and "Try it out" then calls the API as that user, on a later visit too',
    async () => {
      const { page, complaints } = await openPage('/docs')
      await authorize(page, '#auth-bearer-value', app.ada.token)
      const first = await tryOut(page, 'postAuthMe')
      expect(first.status).toBe('200')
      expect(JSON.parse(first.body)).toMatchObject({ id: app.ada.userId, email: 'ada@example.com' })

      await page.goto(`${app.url}/docs`)
      await page.locator('.opblock').first().waitFor({ timeout: SLOW })
      expect((await tryOut(page, 'postAuthMe')).status).toBe('200')
      expect(complaints).toEqual(nothingWrong)
    },
    SLOW,
  )

  test(
    'on a phone the page is as wide as the screen, also once there is an answer',
    async () => {
      const { page } = await openPage('/docs')
      await page.setViewportSize({ width: 375, height: 812 })
      expect((await tryOut(page, 'getRoot')).status).toBe('200')
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(375)
    },
    SLOW,
  )

  test(
    "Authorize takes an agent's own key, and that is enough to chat with it",
    async () => {
      const { clientId, call } = app.ada
      const agent = await call('POST', '/api/v1/agents/', {
        client_id: clientId,
        name: 'scout',
        type: 'llm',
        model: 'demo/echo',
        config: {},
      })
      const { page, complaints } = await openPage('/docs')
      await authorize(page, '#api_key_value', agent.body.config.api_key)
      const { status, body } = await tryOut(page, 'postChatByAgentIdByExternalId', async (operation) => {
        await operation.locator('[data-param-name="agent_id"] input').fill(agent.body.id)
        await operation.locator('[data-param-name="external_id"] input').fill('visitor-1')
        await operation.locator('.body-param__text').fill(JSON.stringify({ message: 'Hello from the docs' }))
      })
      expect(status).toBe('200')
      expect(JSON.parse(body)).toMatchObject({ status: 'success', response: expect.stringContaining('Hello from the docs') })
      expect(complaints).toEqual(nothingWrong)
    },
    SLOW,
  )

  test(
    'a file is imported with nothing else filled in than what is demanded',
    async () => {
      const { page, complaints } = await openPage('/docs')
      await authorize(page, '#auth-bearer-value', app.ada.token)
      const agents = [{ name: 'uploaded', type: 'llm', model: 'demo/echo', config: {} }]
      const { status, body } = await tryOut(page, 'postAgentsImport', async (operation) => {
        await operation.locator('[data-param-name="x-client-id"] input').fill(app.ada.clientId)
        const buffer = Buffer.from(JSON.stringify({ agents }))
        await operation.locator('input[type=file]').setInputFiles({ name: 'agents.json', mimeType: 'application/json', buffer })
      })
      expect(status).toBe('201')
      expect(JSON.parse(body)).toMatchObject([{ name: 'uploaded', folder_id: null }])
      expect(complaints).toEqual(nothingWrong)
    },
    SLOW,
  )

  test(
    '/redoc shows the operations too',
    async () => {
      const { page, complaints } = await openPage('/redoc')
      expect(await operationsOf(page, 21)).toBeGreaterThan(20)
      expect(complaints).toEqual(nothingWrong)
    },
    SLOW,
  )
})
