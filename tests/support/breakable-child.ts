/** Preloaded into a server's processes (BUN_OPTIONS): at SIGUSR2 an API process rejects a promise that nobody handles. */
if (process.env.EVO_CHILD === 'api') process.on('SIGUSR2', () => void Promise.reject(new Error('broken on purpose')))
