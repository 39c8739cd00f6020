/** As PostgreSQL spells one, and as ids are spelt wherever they are stored or compared. PostgreSQL reads the pattern too. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** As somebody else may have written it. */
export const UUID_IN_ANY_CASE = new RegExp(UUID, 'i')
