import type { AnonymousPrincipal } from '../principal'
import { originOf } from './origin'

/** The caller of a route that asks for no credential. */
export const actorOf = (request: Request): AnonymousPrincipal => ({ kind: 'anonymous', origin: originOf(request) })
