let list: Promise<ReadonlySet<string>> | undefined

/** Whether it is one of some 49,000 passwords that leaked most often, in whatever case. The list is read when it is first needed: it takes 20 MB. */
export async function isCommon(password: string): Promise<boolean> {
  list ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set(dictionary['passwords-common']))
  return (await list).has(password.toLowerCase())
}
