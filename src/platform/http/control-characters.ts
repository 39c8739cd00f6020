// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/

/** Tab and line breaks are not counted: free text has them. */
export const hasControl = (text: string): boolean => CONTROL.test(text)
