import { Elysia } from 'elysia'
import type { Admission } from '../admission'
import type { AnonymousPrincipal } from '../principal'
import { actorOf } from './actor'
import { tell } from './session'

export type Stranger = ReturnType<typeof createStranger>

/** Routes registered after `.use(stranger)` ask for no credential and see an `actor`, each under the sign-in rate of its address. */
export const createStranger = ({ admission }: { admission: Admission }) =>
  new Elysia({ name: 'stranger' }).derive({ as: 'scoped' }, async ({ request, set }): Promise<{ actor: AnonymousPrincipal }> => {
    const actor = actorOf(request)
    const { rate } = await admission.admitAddress(actor.origin.address, 'sign-in')
    tell(set)(rate)
    return { actor }
  })
