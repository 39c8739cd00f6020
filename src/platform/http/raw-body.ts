/** Routes that check a signature over the bytes of the body, which must therefore reach them as they came. */
export const RAW_ROUTES: ReadonlySet<string> = new Set(['/api/v1/webhooks/sendgrid'])

/** The body of such a route; without a body nothing was sent. */
export const rawBody = (body: unknown): Uint8Array => (body instanceof Uint8Array ? body : new Uint8Array())
